// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real podman whose runtime is crun, in one network namespace: one is checkpointed, the other goes on.

use std::path::Path;

use testkit::{Criu, Engines, IptablesFlavour, LockMethod, TestHost};

use crate::case::{Case, Cases};
use crate::pod::{Peers, Pod};
use crate::tool::Tool;

inventory::submit!(Cases::with_newer_engines(&[Case {
    name: "real podman, crun: what a checkpoint left is removed, and its pod has a network again",
    test: removed
}]));

const NAME: &str = "container";
const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

fn removed(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let host = TestHost::new();
        let pod = Pod::new(&host, FLAVOUR);
        let engines = Engines::new(&host, criu, lock, FLAVOUR);
        let podman = engines.set_up_podman_with_crun();
        podman.start("sidecar", &pod.sidecar());
        let sidecar = pod.peer();
        podman.start(NAME, &pod.container());
        let mut peers = Peers { sidecar, container: pod.peer() };
        let root = podman.upper_directory(NAME);
        let tool = Tool::new(&host, Path::new("podman:container")).watching(&root);
        let before = tool.snapshot();
        podman.checkpoint(NAME, &[]);
        pod.assert_has_residue(&root, FLAVOUR, &mut peers);
        tool.assert_removes_everything_since(&before);
        pod.assert_has_network_again(FLAVOUR, &mut peers);
    }
}
