// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real containerd, by `ctr`, that share a network namespace: one is checkpointed, the other goes on.

use std::path::{Path, PathBuf};

use testkit::{Containerd, Criu, Engines, IptablesFlavour, LockMethod, Snapshot, TestHost};

use crate::case::{Case, Cases};
use crate::pages::Page;
use crate::pod::{Peers, Pod};
use crate::recording::link_recorder;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "real ctr: what `tasks checkpoint --exit` left is removed by its directory", test: directory },
    Case { name: "real ctr: what `tasks checkpoint --exit` left is removed by the exported image", test: image },
    Case { name: "real ctr: the commands of its page do what the page says", test: page },
    Case { name: "real ctr: a leave-running checkpoint leaves nothing, and a failed restore is undone", test: failed },
]));

const NAME: &str = "job";
const FLAVOUR: IptablesFlavour = IptablesFlavour::Nft;

/// Two containers in a pod, and the host as it was while both ran.
struct Scene<'a> {
    host: &'a TestHost,
    pod: &'a Pod<'a>,
    containerd: Containerd<'a>,
    peers: Peers,
    before: Snapshot,
}

fn with_scene(criu: &Criu, lock: LockMethod, test: impl FnOnce(Scene<'_>)) {
    with_scene_of(criu, lock, |_, _| (), test);
}

/// The same, with engines that are configured otherwise.
fn with_scene_of(
    criu: &Criu,
    lock: LockMethod,
    configure: impl Fn(&TestHost, &Engines<'_>),
    test: impl FnOnce(Scene<'_>),
) {
    let host = TestHost::new();
    let engines = Engines::new(&host, criu, lock, FLAVOUR);
    configure(&host, &engines);
    let containerd = engines.start_containerd();
    let pod = Pod::new(&host, FLAVOUR);
    containerd.start("sidecar", &pod.sidecar());
    let sidecar = pod.peer();
    containerd.start(NAME, &pod.container());
    let peers = Peers { sidecar, container: pod.peer() };
    let before = Tool::new(&host, "/".as_ref()).watching(containerd.root(NAME)).snapshot();
    test(Scene { host: &host, pod: &pod, containerd, peers, before });
}

impl<'a> Scene<'a> {
    fn tool(&self, named: &Path) -> Tool<'a> {
        Tool::new(self.host, named).watching(self.containerd.root(NAME))
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.host.dir().with_file_name(name)
    }

    #[track_caller]
    fn checkpoint(&mut self, images: Option<&Path>) {
        self.containerd.checkpoint_task(NAME, images);
        self.pod.assert_has_residue(&self.containerd.root(NAME), FLAVOUR, &mut self.peers);
    }

    #[track_caller]
    fn assert_cleaned_by(&mut self, tool: &Tool<'_>) {
        tool.assert_removes_everything_since(&self.before);
        self.pod.assert_has_network_again(FLAVOUR, &mut self.peers);
    }

    /// The image of a checkpoint, in an archive.
    fn export(&self, part: &str) -> PathBuf {
        let images = self.containerd.images();
        let image = images.iter().find(|image| image.contains(part)).expect("void: no image of a checkpoint");
        let file = self.beside("export.tar");
        self.containerd.export(image, &file);
        file
    }
}

fn directory(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        with_scene(criu, lock, |mut scene| {
            let images = scene.beside("images");
            scene.checkpoint(Some(&images));
            let tool = scene.tool(&images);
            scene.assert_cleaned_by(&tool);
        });
    }
}

fn image(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, |mut scene| {
        scene.checkpoint(None);
        let tool = scene.tool(&scene.export("checkpoint"));
        scene.assert_cleaned_by(&tool);
    });
}

/// Without the link remaps, which CRIU took away when the container ran on, the restore fails, and locks the namespace.
fn failed(criu: &Criu) {
    with_scene(criu, LockMethod::Iptables, |mut scene| {
        scene.containerd.checkpoint_container(NAME, "docker.io/checkpoint/job:1");
        let images = scene.export("checkpoint/job");
        let tool = scene.tool(&images);
        assert_eq!(tool.difference_to(&scene.before), NOTHING, "void: it left something");
        scene.containerd.remove(NAME);
        let failed = scene.containerd.restore(NAME, "docker.io/checkpoint/job:1");
        assert_ne!(failed.code(), 0, "void: {failed}");
        scene.pod.assert_locked(FLAVOUR);
        // The new container has another layer, so nothing leads from the images to it.
        let told = Tool::new(scene.host, &images).run(&[]);
        assert!(told.code() == 1 && told.stdout.contains("Network lock chain: CRIU (not known: "), "{told}");
        assert!(told.stdout.contains("Note: /run/netns/pod has a chain CRIU"), "{told}");
        let removed = Tool::new(scene.host, &images).option("--netns", scene.pod.network.path()).run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        scene.pod.assert_sidecar_has_network(FLAVOUR, &mut scene.peers);
    });
}

fn page(criu: &Criu) {
    let mut page = Page::read("containerd.md");
    with_scene(criu, LockMethod::Iptables, |mut scene| {
        let images = scene.beside("images");
        for command in
            ["ctr tasks checkpoint --exit --image-path DIR CONTAINER", "criu-gc -D DIR --show", "criu-gc -D DIR"]
        {
            page.run(scene.host, command, &[("DIR", &images), ("CONTAINER", Path::new(NAME))]);
        }
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    with_scene(criu, LockMethod::Iptables, |mut scene| {
        let file = scene.beside("export.tar");
        let job = [("CONTAINER", Path::new(NAME))];
        for command in
            ["ctr tasks checkpoint --exit CONTAINER", "criu-gc ctr:CONTAINER --show", "criu-gc ctr:CONTAINER"]
        {
            page.run(scene.host, command, &job);
        }
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
        let images = page.run(scene.host, "ctr images list --quiet", &[]).stdout;
        let image = images.lines().find(|name| name.contains("checkpoint/")).expect("the image of a checkpoint");
        let words = [("FILE", file.as_path()), ("IMAGE", Path::new(image)), ("NETWORK", &scene.pod.network.path())];
        for command in
            ["ctr images export --skip-manifest-json FILE IMAGE", "criu-gc FILE --show", "criu-gc FILE --netns NETWORK"]
        {
            page.run(scene.host, command, &words);
        }
    });
    let record = |host: &TestHost, engines: &Engines<'_>| {
        engines.configure(&format!("action-script {}", link_recorder(host, "criu-gc-record").display()));
    };
    with_scene_of(criu, LockMethod::Iptables, record, |mut scene| {
        let images = scene.beside("images");
        scene.checkpoint(Some(&images));
        page.run_by_record(scene.host, &images, || std::fs::remove_dir_all(&images).expect("images"));
        scene.pod.assert_has_network_again(FLAVOUR, &mut scene.peers);
    });
    page.assert_all_run();
}
