// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `iptables-legacy-save` prints. The words of a rule of CRIU's, with spaces between them, are read as the same words.
#![no_main]

use criu_gc::internals::firewall::rule_shape::{self, RuleShape};
use criu_gc::internals::system::xtables::{IpVersion, each_of_filter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = each_of_filter(data, |_| {}, |_, words| {
        for version in [IpVersion::V4, IpVersion::V6] {
            if rule_shape::of_xtables(version, words) != RuleShape::Foreign {
                assert!(words.iter().all(|word| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '"')));
            }
        }
    });
});
