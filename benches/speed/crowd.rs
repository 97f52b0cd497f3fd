// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One small checkpoint, one container's, on hosts with many namespaces, processes and mounts.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use testkit::TestHost;

use crate::checkpoints::Dumped;
use crate::measure::{Limit, Line, Report, Subject, assert_says, interleave};
use crate::roles;

const ROUNDS: usize = 7;

/// Network namespaces that no process is in.
pub(crate) fn networks(report: &mut Report) {
    let host = TestHost::new();
    let small = Dumped::small(&host);
    let (container, _) = Dumped::container(&host);
    let mut made = 0;
    for size in [500, 2_000] {
        roles::add_networks(&host, made, size);
        made = size;
        show(report, &host, ("network namespaces, small", size), &small.images, "networks", Limit::Floor(4.0));
        show(report, &host, ("network namespaces, container", size), &container.images, "networks", Limit::Floor(6.0));
        // Nothing is left to be removed after the first: what is measured is the looks.
        let remove = Subject::criu_gc().args(["--yes"]).args([&small.images]);
        let shown = Subject::criu_gc().args(["--show"]).args([&small.images]);
        let [shown, ours] = interleave(&host, [shown, remove], ROUNDS);
        let (work, peer) = ("network namespaces, removal of a small one", Some(("--show", shown)));
        report.add(&Line { work, size, floor: None, peer, ours, limits: &[Limit::Peer(1.5)] });
    }
}

/// Processes in the host's namespaces.
pub(crate) fn processes(report: &mut Report) {
    let host = TestHost::new();
    let small = Dumped::small(&host);
    roles::add_processes(&host, 5_000);
    show(report, &host, ("processes, small", 5_000), &small.images, "networks", Limit::Floor(4.0));
}

/// A node of a cluster.
pub(crate) fn node(report: &mut Report) {
    let host = TestHost::new();
    let small = Dumped::small(&host);
    let (container, _) = Dumped::container(&host);
    fill_node(&host);
    show(report, &host, ("a node, small", 1_560), &small.images, "networks", Limit::Floor(5.0));
    show(report, &host, ("a node, container", 1_560), &container.images, "networks", Limit::Floor(7.0));
}

/// 250 network namespaces, 1,560 processes, 60 mount namespaces with 100 mounts each, 5,000 rules.
pub(crate) fn fill_node(host: &TestHost) {
    roles::add_networks(host, 0, 250);
    let rules = host.dir().join("rules");
    let mut text = String::from("*filter\n:SERVICES - [0:0]\n");
    for number in 0..5_000 {
        let (high, low) = (number >> 8, number & 255);
        writeln!(text, "-A SERVICES -d 10.0.{high}.{low}/32 -p tcp -m tcp --dport 80 -j REJECT").expect("memory");
    }
    text.push_str("COMMIT\n");
    fs::write(&rules, text).expect("a file");
    host.run("sh", &[&"-e", &"-c", &format!("iptables-nft-restore --noflush < {}", rules.display())]);
    roles::add_processes(host, 1_500);
    roles::add_mount_namespaces(host, 60, 100);
}

/// The host as it begins.
pub(crate) fn empty(report: &mut Report) {
    let host = TestHost::new();
    let small = Dumped::small(&host);
    show(report, &host, ("an empty host, small", 1), &small.images, "nothing", Limit::None);
}

fn show(report: &mut Report, host: &TestHost, (work, size): (&str, usize), images: &Path, floor: &str, limit: Limit) {
    assert_says(host, &["--show"], images, "link_remap");
    let ours = Subject::criu_gc().args(["--show"]).args([images]);
    let [floor, ours] = interleave(host, [Subject::floor(floor), ours], ROUNDS);
    let work = format!("{work}, show");
    report.add(&Line { work: &work, size, floor: Some(floor), peer: None, ours, limits: &[limit] });
}
