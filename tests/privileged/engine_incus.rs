// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of a real Incus: one is stopped with its state, its neighbour is left alone.

use std::path::{Path, PathBuf};

use testkit::{
    Criu, Engines, Incus, IptablesFlavour, LockMethod, NetNamespace, Snapshot, Specification, TestHost, Word,
};

use crate::case::{Case, Cases};
use crate::places::{has_link, link_in, make_directory};
use crate::recording::link_recorder;
use crate::stored::stored;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newer_engines(&[
    Case { name: "real Incus: what a stateful stop left is removed by the instance's name", test: removed },
    Case { name: "real Incus: what a stateful stop left is removed by the instance's directory", test: by_directory },
    Case { name: "real Incus: what a stateful stop of a neighbour left stays", test: neighbour },
    Case {
        name: "real Incus: after a start without the state the record and what criu-gc prints let it stop again",
        test: discarded
    },
    Case { name: "real Incus: a stateful snapshot leaves nothing, and its container runs on", test: snapshot },
]));

const NAME: &str = "job";

/// A container that runs, and the host as it was then.
struct Scene<'a> {
    host: &'a TestHost,
    incus: Incus<'a>,
    job: Specification,
    volume: PathBuf,
    unused: NetNamespace,
    before: Snapshot,
}

fn with_scene(criu: &Criu, test: impl FnOnce(Scene<'_>)) {
    let host = TestHost::new();
    let engines = Engines::new(&host, criu, LockMethod::Nftables, IptablesFlavour::Nft);
    engines.configure(&format!("action-script {}", link_recorder(&host, "criu-gc-record").display()));
    let incus = engines.start_incus();
    let volume = make_directory(&host, "volume");
    let unused = host.make_net_namespace("unused");
    let job = specification(&unused, &volume);
    incus.start(NAME, &job);
    let before = Tool::new(&host, Path::new("/")).watching(incus.directory(NAME).join("rootfs")).snapshot();
    test(Scene { host: &host, incus, job, volume, unused, before });
}

/// A program that may be started again and again, with a file on its volume and one in its root directory that lost their
/// names. Incus makes the network: the one that is named here is not used.
fn specification(unused: &NetNamespace, volume: &Path) -> Specification {
    let words: [Word<'_>; 8] = [
        &"remove-old",
        &"/data/one.keep",
        &"remove-old",
        &"/tmp/two.keep",
        &"deleted",
        &"/data/one",
        &"deleted",
        &"/tmp/two",
    ];
    Specification::new(unused, volume, &words)
}

impl<'a> Scene<'a> {
    fn rootfs(&self) -> PathBuf {
        self.incus.directory(NAME).join("rootfs")
    }

    fn tool(&self, named: &Path) -> Tool<'a> {
        Tool::new(self.host, named).watching(self.rootfs())
    }

    fn stop_stateful(&self) {
        self.incus.stop_stateful(NAME);
        for place in [&self.volume, &self.rootfs().join("tmp")] {
            link_in(&self.host.path(place));
        }
    }

    fn assert_cleaned_by(&self, named: &Path) {
        self.stop_stateful();
        let lines = self.tool(named).assert_removes_everything_since(&self.before);
        let links: Vec<_> = lines.iter().filter(|line| line.starts_with("Link remap: ")).collect();
        assert_eq!(links.len(), 2, "{lines:#?}");
        // The honest next round: nothing is in the way of another state.
        self.incus.start_stateless(NAME, &self.job);
        self.stop_stateful();
    }
}

fn removed(criu: &Criu) {
    with_scene(criu, |scene| scene.assert_cleaned_by(Path::new("incus:job")));
}

fn by_directory(criu: &Criu) {
    with_scene(criu, |scene| scene.assert_cleaned_by(&scene.incus.directory(NAME)));
}

fn neighbour(criu: &Criu) {
    with_scene(criu, |scene| {
        let volume = make_directory(scene.host, "neighbours-volume");
        let [living, stopped] = ["living", "stopped"].map(|name| {
            let own = volume.join(name);
            std::fs::create_dir(&own).expect("a new directory");
            scene.incus.start(name, &specification(&scene.unused, &own));
            own
        });
        scene.incus.stop_stateful("stopped");
        let roots = ["living", "stopped"].map(|name| scene.incus.directory(name).join("rootfs"));
        let watch = |tool: Tool<'_>| roots.iter().fold(tool, |tool, root| tool.watching(root)).snapshot();
        let before = watch(scene.tool(Path::new("/")));
        scene.stop_stateful();
        let removed = scene.tool(Path::new("incus:job")).run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert_eq!(before.difference(&watch(scene.tool(Path::new("/")))), NOTHING, "{removed}");
        assert!(scene.incus.is_running("living") && !has_link(&scene.host.path(living)));
        // The neighbour's own name leads to what is its own.
        link_in(&scene.host.path(&stopped));
        let removed = Tool::new(scene.host, Path::new("incus:default/stopped")).run(&[]);
        assert!(removed.code() == 0 && !has_link(&scene.host.path(stopped)), "{removed}");
    });
}

/// The container that was started afresh changed the links, and without the images' directory nothing shows that it was no
/// restore: what criu-gc prints removes them, and nothing less.
fn discarded(criu: &Criu) {
    with_scene(criu, |scene| {
        scene.stop_stateful();
        let state = scene.host.path(scene.incus.directory(NAME).join("state"));
        let record = stored(&state);
        scene.incus.start_stateless(NAME, &scene.job);
        assert!(!state.exists(), "void: the state is there");
        let refused = scene.incus.try_stop_stateful(NAME);
        assert!(refused.code() != 0 && scene.incus.is_running(NAME), "void: {refused}");
        scene.tool(&record).assert_keeps_everything("changed-since");
        let removed = scene.tool(&record).run(&["--allow", "changed-since,older-than-dump"]);
        assert_eq!(removed.code(), 0, "{removed}");
        for place in [&scene.volume, &scene.rootfs().join("tmp")] {
            assert!(!has_link(&scene.host.path(place)), "{removed}");
        }
        scene.stop_stateful();
    });
}

fn snapshot(criu: &Criu) {
    with_scene(criu, |scene| {
        scene.incus.snapshot_stateful(NAME, "one");
        let images = scene.incus.snapshot_directory(NAME, "one");
        assert!(scene.host.path(images.join("state/inventory.img")).exists(), "void: no state");
        for named in [Path::new("incus:job"), &images] {
            scene.tool(named).assert_finds_nothing();
        }
        assert_eq!(scene.tool(Path::new("/")).difference_to(&scene.before), NOTHING);
        assert!(scene.incus.is_running(NAME));
        // Beside the state that was kept, one that is not.
        scene.stop_stateful();
    });
}
