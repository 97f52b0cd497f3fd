// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs that do the least that must be done, and decide nothing.

mod host;
mod images;
mod nft;

use crate::sys;

/// Runs one of them.
pub(crate) fn run(name: &str, words: &[String]) {
    match name {
        "nothing" => {}
        "nft-dump" => nft::dump(nft::CHAINS.as_slice()),
        "nft-flush" => nft::dump_and_flush(),
        "nft-chains" => nft::list_chains(),
        "legacy-dump" => drop(std::hint::black_box(sys::read_legacy_filter())),
        "networks" => host::networks(),
        "mount-tables" => host::mount_tables(),
        "host" => host::all(),
        "hop" => images::hop(words[0].as_ref()),
        other => panic!("no floor {other}"),
    }
}
