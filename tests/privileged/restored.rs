// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints that are restored: by another version of CRIU, which leaves the table; and beside one that is cleaned.

use std::path::PathBuf;

use testkit::{Criu, DumpOptions, DumpResult, IptablesFlavour, LockMethod, Restored, TestHost};

use crate::case::{Case, Cases};
use crate::filters::{make_tables, tables};
use crate::tool::{NOTHING, Tool};
use crate::traffic::{Net, Outside, Peer};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "the table that a restore by another version left is removed, and data flow again", test: by_another },
    Case { name: "a checkpoint can be restored after another was cleaned, with nftables", test: tables_side_by_side },
    Case { name: "a checkpoint can be restored after another was cleaned, with iptables", test: rules_side_by_side },
]));

/// A host with a peer of the trees behind a device.
fn listen_outside(host: &TestHost) -> Outside {
    let elsewhere = host.make_net_namespace("elsewhere");
    host.connect(&elsewhere, "10.9.0.1/24", "10.9.0.2/24");
    Outside::listen(&Net::at(host, &elsewhere.path()), "10.9.0.2:0")
}

fn images(host: &TestHost, name: &str) -> PathBuf {
    host.dir().with_file_name(name)
}

/// Dumps a tree with a connection to the peer.
fn dump(criu: &Criu, host: &TestHost, outside: &Outside, name: &str, options: &DumpOptions) -> (DumpResult, Peer) {
    let tree = host.start_workload(&[&"connect", &outside.address()]);
    let peer = outside.accept();
    (criu.dump(host, &tree, &images(host, name), options), peer)
}

fn others(criu: &Criu) -> Vec<Criu> {
    Criu::all().into_iter().filter(|other| other.version() != criu.version()).collect()
}

/// The versions call the table differently, so that a restore does not find what it has to take away.
fn by_another(criu: &Criu) {
    for other in others(criu) {
        let host = TestHost::new();
        let outside = listen_outside(&host);
        let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
        let (dumped, mut peer) = dump(criu, &host, &outside, "images", &options);
        let restored = other.restore(&host, &dumped, &options);
        assert_eq!((is_running(&restored), tables(&host, None).len()), (true, 1), "void");
        peer.send();
        peer.assert_gets_no_answer();
        let tool = Tool::new(&host, &dumped.images);
        let lines = tool.show();
        let connections: Vec<&String> = lines.iter().filter(|line| line.starts_with("Locked tcp")).collect();
        let [connection] = connections[..] else { panic!("{lines:#?}") };
        assert!(connection.ends_with("(by the network lock table; to be removed)"), "{connection}");
        let is_restored =
            |line: &String| line.starts_with("Process ") && line.contains("was restored from these images");
        assert!(lines.iter().any(is_restored), "{lines:#?}");
        let removed = tool.run(&[]);
        assert_eq!((removed.code(), tables(&host, None)), (0, Vec::new()), "{removed}");
        peer.assert_gets_an_answer();
        assert!(is_running(&restored));
        tool.assert_finds_nothing();
    }
}

fn tables_side_by_side(criu: &Criu) {
    assert_cleaned_side_by_side(criu, &DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() });
}

fn rules_side_by_side(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        assert_cleaned_side_by_side(criu, &DumpOptions { flavour, ..DumpOptions::default() });
    }
}

/// Two trees are connected to one peer, and both are dumped; one is cleaned, the other comes back.
fn assert_cleaned_side_by_side(criu: &Criu, options: &DumpOptions) {
    let host = TestHost::new();
    make_tables(&host, None, options.flavour);
    let outside = listen_outside(&host);
    let one = Tool::new(&host, &images(&host, "one"));
    let other = Tool::new(&host, &images(&host, "other"));
    let clean = one.snapshot();
    let (dumped, mut peer) = dump(criu, &host, &outside, "other", options);
    let before = one.snapshot();
    let shown = other.show();
    let (_, mut forgotten) = dump(criu, &host, &outside, "one", options);
    one.assert_removes_everything_since(&before);
    assert_eq!(other.show(), shown);
    forgotten.send();
    forgotten.assert_reset();
    peer.send();
    peer.assert_gets_no_answer();
    let restored = criu.restore(&host, &dumped, options);
    peer.assert_gets_an_answer();
    assert_eq!((is_running(&restored), other.difference_to(&clean)), (true, NOTHING.map(String::from).to_vec()));
    other.assert_finds_nothing();
}

/// On its way back to sleep at first, asleep then; neither stopped nor dead.
fn is_running(restored: &Restored) -> bool {
    matches!(restored.state(), Some('R' | 'S'))
}
