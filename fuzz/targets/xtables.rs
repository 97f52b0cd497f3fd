// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `iptables-legacy-save` prints: what is read from it is asked for again in the same words, or not at all.
#![no_main]

use criu_gc::internals::firewall::rule_shape;
use criu_gc::internals::system::xtables::{FilterTable, IpVersion};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(table) = FilterTable::parse_some(data, |_, _| true) else { return };
    for chain in &table.chains {
        for rule in &chain.rules {
            assert!(rule.iter().all(|word| !word.contains('\n')));
            for version in [IpVersion::V4, IpVersion::V6] {
                let _ = rule_shape::of_xtables(version, rule);
            }
        }
    }
});
