// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real podman that share a network namespace: one is checkpointed, the other goes on.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Criu, Engines, IptablesFlavour, LockMethod, Podman, Snapshot, Specification, TestHost};

use crate::case::Case;
use crate::pod::{Peers, Pod};
use crate::tool::{NOTHING, Tool};

pub(crate) const CASES: &[Case] = &[
    Case { name: "what a checkpoint by podman left is removed, and its pod has a network again", test: removed },
    Case { name: "podman restores a container after criu-gc only showed", test: restored_after_show },
    Case { name: "images that an earlier checkpoint by podman left in the directory are not read", test: kept_twice },
    Case { name: "what stays after podman refused to export a checkpoint is removed", test: refused_export },
    Case { name: "what a checkpoint left is removed by podman's export, unpacked", test: unpacked_export },
];

/// The container that is checkpointed.
const NAME: &str = "container";

/// Two containers, and the host as it was while both ran.
struct Pair<'a> {
    host: &'a TestHost,
    podman: Podman<'a>,
    peers: Peers,
    before: Snapshot,
}

impl<'a> Pair<'a> {
    fn start(host: &'a TestHost, pod: &Pod<'_>, engines: &'a Engines<'a>) -> Self {
        Self::start_by(host, pod, engines, |podman, container| podman.start(NAME, container))
    }

    fn start_by(
        host: &'a TestHost,
        pod: &Pod<'_>,
        engines: &'a Engines<'a>,
        start: impl Fn(&Podman<'_>, &Specification),
    ) -> Self {
        let podman = engines.podman();
        podman.start("sidecar", &pod.sidecar());
        let sidecar = pod.peer();
        start(&podman, &pod.container());
        let peers = Peers { sidecar, container: pod.peer() };
        let images = podman.directory(NAME).join("checkpoint");
        let before = Tool::new(host, &images).watching(podman.upper_directory(NAME)).snapshot();
        Pair { host, podman, peers, before }
    }

    /// criu-gc on something of the container that was checkpointed.
    fn tool(&self, named: &Path) -> Tool<'a> {
        Tool::new(self.host, named).watching(self.root())
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
        let mut pair = Pair::start(&host, &pod, &engines);
        pair.podman.checkpoint(NAME, &[]);
        pod.has_residue(&pair.root(), flavour, &mut pair.peers);
        let lines = pair.tool(&pair.podman.directory(NAME)).removes_everything_since(&pair.before);
        assert!(!lines.iter().any(|line| line.starts_with("Note: ")), "{lines:#?}");
        pod.has_network_again(flavour, &mut pair.peers);
    }
}

fn restored_after_show(criu: &Criu) {
    let (host, flavour) = (TestHost::new(), IptablesFlavour::Nft);
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let mut pair = Pair::start(&host, &pod, &engines);
    pair.podman.checkpoint(NAME, &["--keep"]);
    pod.has_residue(&pair.root(), flavour, &mut pair.peers);
    let lines = pair.images().show();
    assert_eq!(lines.iter().filter(|line| line.starts_with("Link remap: ")).count(), 3, "{lines:#?}");
    pair.podman.restore(NAME, &["--keep"]);
    assert!(pair.podman.pid(NAME).is_some());
    pod.is_restored(&mut pair.peers);
    assert_eq!(pair.images().difference_to(&pair.before), NOTHING);
    pair.images().finds_nothing();
}

/// With `--keep` podman dumps into the directory again, and leaves there what the second dump does not write anew.
fn kept_twice(criu: &Criu) {
    let (host, flavour) = (TestHost::new(), IptablesFlavour::Nft);
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Nftables, flavour);
    let mut pair = Pair::start(&host, &pod, &engines);
    pair.podman.checkpoint(NAME, &["--keep"]);
    let images = host.path(pair.podman.directory(NAME)).join("checkpoint");
    let [first] = &mount_tables(&images)[..] else { panic!("not one mount namespace") };
    pair.podman.restore(NAME, &["--keep"]);
    pod.is_restored(&mut pair.peers);
    pair.podman.checkpoint(NAME, &["--keep"]);
    pod.has_residue(&pair.root(), flavour, &mut pair.peers);
    let tables = mount_tables(&images);
    let second = tables.iter().find(|table| *table != first).expect("void: the images of one dump only");
    // The kernel may give the ids of mounts that are gone to others.
    fs::copy(images.join(second), images.join(first)).expect("an image");
    let tool = pair.tool(&pair.podman.directory(NAME));
    tool.removes_everything_since(&pair.before);
    pod.has_network_again(flavour, &mut pair.peers);
}

/// podman refuses only when the checkpoint is made.
fn refused_export(criu: &Criu) {
    let (host, flavour) = (TestHost::new(), IptablesFlavour::Nft);
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let dependent = |podman: &Podman<'_>, container: &Specification| {
        podman.start_dependent(NAME, "sidecar", container);
    };
    let mut pair = Pair::start_by(&host, &pod, &engines, dependent);
    let archive = host.dir().with_file_name("export.tar");
    let refused = pair.podman.try_checkpoint(NAME, &["--export", archive.to_str().expect("a UTF-8 path")]);
    assert_eq!((refused.code(), archive.exists(), pair.podman.pid(NAME)), (125, false, None), "void: {refused}");
    pod.has_residue(&pair.root(), flavour, &mut pair.peers);
    let tool = pair.images().option("--netns", pod.network.path());
    tool.removes_everything_since(&pair.before);
    pod.has_network_again(flavour, &mut pair.peers);
}

/// The export is on a disk for good; podman's own images of the container go with the container.
fn unpacked_export(criu: &Criu) {
    let (host, flavour) = (TestHost::new(), IptablesFlavour::Nft);
    let pod = Pod::new(&host, flavour);
    let engines = Engines::new(&host, criu, LockMethod::Iptables, flavour);
    let mut pair = Pair::start(&host, &pod, &engines);
    let archive = host.dir().with_file_name("export.tar");
    let options = ["--compress", "none", "--export", archive.to_str().expect("a UTF-8 path")];
    pair.podman.checkpoint(NAME, &options);
    pod.has_residue(&pair.root(), flavour, &mut pair.peers);
    let unpacked = host.dir().with_file_name("export");
    fs::create_dir(&unpacked).expect("a new directory");
    host.run("tar", &[&"-xpf", &archive, &"-C", &unpacked]);
    let tool = pair.tool(&unpacked).option("--netns", pod.network.path());
    tool.removes_everything_since(&pair.before);
    pod.has_network_again(flavour, &mut pair.peers);
}

fn mount_tables(images: &Path) -> Vec<String> {
    let entries = fs::read_dir(images).expect("images").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("mountpoints-")).collect()
}
