// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps of trees in the host's own namespaces leave links, and locks of all three kinds.

use testkit::suite::{self, Case};
use testkit::{Criu, DumpOptions, IptablesFlavour, LockMethod, Snapshot, TestHost};

fn main() -> std::process::ExitCode {
    suite::run(&[Case { name: "iptables", test: iptables }, Case { name: "nftables", test: nftables }])
}

/// Dumps a tree with a deleted file and a connection; gives what is new on the host.
fn dump_and_list_residue(criu: &Criu, options: &DumpOptions) -> Vec<String> {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let picture = || -> Snapshot { host.snapshot(&[host.dir(), "/dev/shm".as_ref()]) };
    let before = picture();
    assert_eq!(before, picture(), "taking a picture changes the host");
    let dump = criu.dump(&host, &tree, &host.dir().with_file_name("images"), options);
    assert_eq!(tree.state(), None);
    println!("{} {:?} {:?}: {:?}", criu.version(), options.lock, options.flavour, dump.duration);
    before.difference(&picture())
}

fn count(residue: &[String], texts: &[&str]) -> usize {
    residue.iter().filter(|line| texts.iter().all(|text| line.contains(text))).count()
}

fn iptables() {
    for criu in Criu::all() {
        for flavour in IptablesFlavour::ALL {
            let residue = dump_and_list_residue(&criu, &DumpOptions { flavour, ..DumpOptions::default() });
            assert_eq!(count(&residue, &["+ link_remap.", "file", "links 2"]), 1, "{residue:#?}");
            let rules = match flavour {
                IptablesFlavour::Nft => "iptables-nft-save in the host: + filter: -A",
                IptablesFlavour::Legacy => "iptables-legacy-save in the host: + filter: -A",
            };
            assert_eq!(count(&residue, &[rules, "! --mark 0xc114", "DROP"]), 4, "{residue:#?}");
        }
    }
}

fn nftables() {
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    for criu in Criu::all() {
        let residue = dump_and_list_residue(&criu, &options);
        assert_eq!(count(&residue, &["+ link_remap."]), 1, "{residue:#?}");
        let tables = residue.iter().filter_map(|line| line.strip_prefix("nft in the host: + table inet CRIU-"));
        assert_eq!(tables.filter(|rest| !rest.contains(": ")).count(), 1, "{residue:#?}");
    }
}
