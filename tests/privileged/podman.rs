// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real podman that share a network namespace: one is checkpointed, the other goes on.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Criu, Engines, IptablesFlavour, LockMethod, Podman, Snapshot, TestHost};

use crate::case::Case;
use crate::pod::{Peers, Pod};
use crate::tool::{NOTHING, Tool};

pub(crate) const CASES: &[Case] = &[
    Case { name: "what a checkpoint by podman left is removed, and its pod has a network again", test: removed },
    Case { name: "podman restores a container after criu-gc only showed", test: restored_after_show },
    Case { name: "images that an earlier checkpoint by podman left in the directory are not read", test: kept_twice },
];

/// The container that is checkpointed.
const NAME: &str = "container";

/// A container that was checkpointed, and the host as it was before.
struct Checkpointed<'a> {
    host: &'a TestHost,
    podman: Podman<'a>,
    peers: Peers,
    before: Snapshot,
}

impl<'a> Checkpointed<'a> {
    fn new(host: &'a TestHost, pod: &Pod<'_>, engines: &'a Engines<'a>, options: &[&str]) -> Self {
        let podman = engines.podman();
        podman.start("sidecar", &pod.sidecar());
        let sidecar = pod.peer();
        podman.start(NAME, &pod.container());
        let peers = Peers { sidecar, container: pod.peer() };
        let images = podman.directory(NAME).join("checkpoint");
        let before = Tool::new(host, &images).watching(podman.upper_directory(NAME)).snapshot();
        podman.checkpoint(NAME, options);
        Checkpointed { host, podman, peers, before }
    }

    /// criu-gc on something of the container.
    fn tool(&self, named: &Path) -> Tool<'a> {
        Tool::new(self.host, named).watching(self.podman.upper_directory(NAME))
    }

    /// criu-gc on the images.
    fn images(&self) -> Tool<'a> {
        self.tool(&self.podman.directory(NAME).join("checkpoint"))
    }

    fn root(&self) -> PathBuf {
        self.podman.upper_directory(NAME)
    }
}

fn removed(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let (host, flavour) = (TestHost::new(), IptablesFlavour::Nft);
        let pod = Pod::new(&host, flavour);
        let engines = Engines::new(&host, criu, lock, flavour);
        let mut checkpointed = Checkpointed::new(&host, &pod, &engines, &[]);
        pod.has_residue(&checkpointed.root(), flavour, &mut checkpointed.peers);
        let tool = checkpointed.images().option("--netns", pod.network.path());
        tool.removes_everything_since(&checkpointed.before);
        pod.has_network_again(flavour, &mut checkpointed.peers);
    }
}

fn restored_after_show(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, &["--keep"]);
    pod.has_residue(&checkpointed.root(), flavour, &mut checkpointed.peers);
    checkpointed.images().show();
    checkpointed.podman.restore(NAME, &["--keep"]);
    assert!(checkpointed.podman.pid(NAME).is_some());
    pod.is_restored(&mut checkpointed.peers);
    assert_eq!(checkpointed.images().difference_to(&checkpointed.before), NOTHING);
    checkpointed.images().finds_nothing();
}

/// With `--keep` podman dumps into the directory again, and leaves there what the second dump does not write anew.
fn kept_twice(criu: &Criu) {
    let host = TestHost::new();
    let flavour = IptablesFlavour::Nft;
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Nftables, flavour);
    let mut checkpointed = Checkpointed::new(&host, &pod, &engines, &["--keep"]);
    let images = host.path(checkpointed.podman.directory(NAME)).join("checkpoint");
    let [first] = &mount_tables(&images)[..] else { panic!("not one mount namespace") };
    checkpointed.podman.restore(NAME, &["--keep"]);
    pod.is_restored(&mut checkpointed.peers);
    checkpointed.podman.checkpoint(NAME, &["--keep"]);
    pod.has_residue(&checkpointed.root(), flavour, &mut checkpointed.peers);
    let tables = mount_tables(&images);
    let second = tables.iter().find(|table| *table != first).expect("void: the images of one dump only");
    // The kernel may give the ids of mounts that are gone to others.
    fs::copy(images.join(second), images.join(first)).expect("an image");
    let tool = checkpointed.images().option("--work-dir", checkpointed.podman.directory(NAME));
    tool.removes_everything_since(&checkpointed.before);
    pod.has_network_again(flavour, &mut checkpointed.peers);
}

fn mount_tables(images: &Path) -> Vec<String> {
    let entries = fs::read_dir(images).expect("images").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("mountpoints-")).collect()
}
