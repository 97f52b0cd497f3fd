// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers of the kernel about nf_tables, interfaces and addresses: rules hold what root of a namespace put there.
#![no_main]

use criu_gc::internals::firewall::TableView;
use criu_gc::internals::firewall::rule_shape;
use criu_gc::internals::system::xtables::IpVersion;
use criu_gc::internals::system::{interfaces, nft};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    interfaces::fuzzing::decode(data);
    let Ok(table) = nft::fuzzing::table(data) else { return };
    let _ = TableView::of(&table);
    for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
        for version in [None, Some(IpVersion::V4), Some(IpVersion::V6)] {
            let _ = rule_shape::of_nft(version, &rule.expressions);
        }
    }
});
