// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real runc that share a network namespace: one is checkpointed, the other goes on.

use testkit::{Bundle, Criu, Engines, IptablesFlavour, LockMethod, Runtime, Snapshot, TestHost};

use crate::case::Case;
use crate::neighbours::link_in;
use crate::pod::{LOCKS, Pod};
use crate::tool::{NOTHING, Tool};
use crate::traffic::Peer;

pub(crate) const CASES: &[Case] = &[
    Case { name: "what a checkpoint by runc left is removed, and its pod has a network again", test: removed },
    Case { name: "runc restores a container after criu-gc only showed", test: restored_after_show },
];

/// A pod with a sidecar and a container that was checkpointed.
struct Checkpointed<'a> {
    host: &'a TestHost,
    pod: &'a Pod<'a>,
    container: &'a Bundle<'a>,
    sidecar_peer: Peer,
    container_peer: Peer,
    before: Snapshot,
}

impl<'a> Checkpointed<'a> {
    fn new(host: &'a TestHost, pod: &'a Pod<'a>, sidecar: &Bundle<'_>, container: &'a Bundle<'a>) -> Self {
        sidecar.start();
        let sidecar_peer = pod.peer();
        container.start();
        let container_peer = pod.peer();
        let before = tool(host, pod, container).snapshot();
        assert!(pod.sidecar_answers());
        container.checkpoint();
        Checkpointed { host, pod, container, sidecar_peer, container_peer, before }
    }

    fn tool(&self) -> Tool<'a> {
        tool(self.host, self.pod, self.container)
    }
}

fn tool<'a>(host: &'a TestHost, pod: &Pod<'_>, container: &Bundle<'_>) -> Tool<'a> {
    Tool::new(host, &container.images()).watching(container.root()).option("--netns", pod.network.path())
}

fn removed(criu: &Criu) {
    for (lock, flavour) in LOCKS {
        let host = TestHost::new();
        let pod = Pod::new(&host, flavour);
        let engines = Engines::new(&host, criu, lock, flavour);
        let sidecar = engines.bundle(Runtime::Runc, "sidecar", &pod.sidecar());
        let container = engines.bundle(Runtime::Runc, "container", &pod.container());
        let mut checkpointed = Checkpointed::new(&host, &pod, &sidecar, &container);
        pod.link_places(&container.root()).iter().for_each(|place| drop(link_in(&host.path(place))));
        assert!(!pod.locks(flavour).is_empty() && !pod.sidecar_answers(), "void: the network is not locked");
        checkpointed.sidecar_peer.send();
        checkpointed.sidecar_peer.gets_no_answer();
        let lines = checkpointed.tool().removes_everything_since(&checkpointed.before);
        assert!(pod.sidecar_answers(), "{lines:#?}");
        checkpointed.sidecar_peer.gets_an_answer();
        checkpointed.container_peer.send();
        checkpointed.container_peer.is_reset();
        let links = lines.iter().filter(|line| line.starts_with("Link remap: ")).count();
        assert_eq!(links, 3, "{lines:#?}");
    }
}

fn restored_after_show(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let sidecar = engines.bundle(Runtime::Runc, "sidecar", &pod.sidecar());
    let container = engines.bundle(Runtime::Runc, "container", &pod.container());
    let mut checkpointed = Checkpointed::new(&host, &pod, &sidecar, &container);
    checkpointed.tool().show();
    container.restore();
    assert!(container.pid().is_some());
    checkpointed.container_peer.send();
    checkpointed.container_peer.gets_an_answer();
    assert!(pod.sidecar_answers());
    assert_eq!(checkpointed.tool().difference_to(&checkpointed.before), NOTHING);
}
