// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real LXC that share a network namespace: one is checkpointed, the other goes on.

use std::path::{Path, PathBuf};

use testkit::{Criu, Engines, IptablesFlavour, LockMethod, Lxc, Snapshot, Specification, TestHost, Word};

use crate::case::{Case, Cases};
use crate::pages::Page;
use crate::pod::{Peers, Pod};
use crate::recorded::without_record;
use crate::recording::link_recorder;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "real LXC: what a checkpoint left is removed, and the pod has a network again", test: removed },
    Case { name: "real LXC: the commands of its page do what the page says", test: page },
    Case { name: "real LXC: a container is restored after criu-gc only showed", test: restored_after_show },
]));

const NAME: &str = "job";
const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// Two containers in a pod, and the host as it was while both ran.
struct Scene<'a> {
    host: &'a TestHost,
    pod: &'a Pod<'a>,
    lxc: Lxc<'a>,
    peers: Peers,
    before: Snapshot,
}

fn with_scene(criu: &Criu, lock: LockMethod, test: impl FnOnce(Scene<'_>)) {
    let host = TestHost::new();
    let engines = Engines::new(&host, criu, lock, FLAVOUR);
    engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
    let lxc = engines.set_up_lxc();
    let pod = Pod::new(&host, FLAVOUR);
    lxc.start("sidecar", &pod.sidecar());
    let sidecar = pod.peer();
    lxc.start(NAME, &pod.container());
    let peers = Peers { sidecar, container: pod.peer() };
    let before = Tool::new(&host, "/".as_ref()).watching(lxc.directory(NAME)).snapshot();
    let mut scene = Scene { host: &host, pod: &pod, lxc, peers, before };
    scene.lxc.checkpoint(NAME, &scene.images());
    let root = scene.lxc.directory(NAME).join("rootfs");
    pod.assert_has_residue(&root, FLAVOUR, &mut scene.peers);
    test(scene);
}

impl<'a> Scene<'a> {
    fn images(&self) -> PathBuf {
        self.host.dir().with_file_name("images")
    }

    fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &self.images()).watching(self.lxc.directory(NAME))
    }
}

fn removed(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        with_scene(criu, lock, |mut scene| {
            // A host without records.
            let tool = scene.tool();
            without_record(scene.host, &scene.images(), || tool.assert_removes_everything_since(&scene.before));
            scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
        });
    }
}

/// LXC restores no network that was given to a container.
fn restored_after_show(criu: &Criu) {
    let host = TestHost::new();
    let engines = Engines::new(&host, criu, LockMethod::Iptables, FLAVOUR);
    let lxc = engines.set_up_lxc();
    let pod = Pod::new(&host, FLAVOUR);
    let files: [Word<'_>; 6] = [&"deleted", &"/data/one", &"deleted", &"/tmp/two", &"semaphore", &"name"];
    lxc.start_alone(NAME, &Specification::new(&pod.network, &pod.volume, &files));
    let images = host.dir().with_file_name("images");
    let tool = Tool::new(&host, &images).watching(lxc.directory(NAME));
    let before = tool.snapshot();
    lxc.checkpoint(NAME, &images);
    let lines = tool.show();
    assert_eq!(lines.iter().filter(|line| line.starts_with("Link remap: ")).count(), 3, "{lines:#?}");
    let restored = lxc.restore(NAME, &images);
    assert_eq!(restored.code(), 0, "{restored}");
    assert!(lxc.pid(NAME).is_some());
    assert_eq!(tool.difference_to(&before), NOTHING);
    tool.assert_finds_nothing();
}

fn page(criu: &Criu) {
    let mut page = Page::read("lxc.md");
    with_scene(criu, LockMethod::Iptables, |mut scene| {
        // Where `lxc:NAME` finds them.
        let images = scene.lxc.directory(NAME).join("checkpoint");
        scene.host.run("cp", &[&"-a", &scene.images(), &images]);
        for command in ["criu-gc lxc:NAME --show", "criu-gc -D DIR --show", "criu-gc -D DIR"] {
            page.run(scene.host, command, &[("DIR", &images), ("NAME", Path::new(NAME))]);
        }
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    with_scene(criu, LockMethod::Iptables, |mut scene| {
        let images = scene.images();
        page.run_by_record(scene.host, &images, || std::fs::remove_dir_all(&images).expect("images"));
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    page.assert_all_run();
}
