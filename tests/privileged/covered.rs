// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Links of a tree that shares the host's mounts, on whose path mounts came or went after the dump: what is below a
//! mount, or on one that is not mounted now, is not gone, and a look-alike that shows in its place is not removed.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Criu, Finished, TestHost};

use crate::attack::{assert_cleans, assert_not_called_clean, assert_untouched, plant};
use crate::attack_laws::dump_with_link;
use crate::case::{Case, Cases};
use crate::places::{has_link, images_of, link_in, make_directory};
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "a link below a mount that covers it is not gone, and is removed without that", test: covered },
    Case { name: "a link is not gone below a mount over a directory above it", test: covered_above },
    Case { name: "a link on a mount that another mount covers is not gone", test: stacked },
    Case { name: "a link on a mount below a covered directory is not gone", test: covered_mount },
    Case { name: "a link on a filesystem that is not mounted now is not gone", test: unmounted },
    Case { name: "a link in a directory of a filesystem that is not mounted now is not gone", test: unmounted_above },
    Case { name: "a file on a mount that covers the link is not taken for it", test: look_alike },
    Case { name: "a removed link is gone although mounts are on its path", test: gone },
    Case { name: "a link is gone with its directory, also where that was made again", test: gone_with_directory },
    Case { name: "a link of /dev/shm is removed and gone without the right to look below mounts", test: weak },
]));

/// A host with a directory, and criu-gc for the images of a dump in it.
struct Scene {
    host: TestHost,
    own: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let host = TestHost::new();
        let own = make_directory(&host, "own");
        Scene { host, own }
    }

    fn dump(&self, criu: &Criu, directory: &Path) {
        dump_with_link(criu, &self.host, &directory.join("data"));
        assert!(has_link(&self.host.path(directory)), "void: there is no link");
    }

    fn tool(&self) -> Tool<'_> {
        Tool::on(&self.host)
    }

    fn mount(&self, words: &[&str], at: &Path) {
        let at = at.to_str().expect("a path of text");
        let words: Vec<&str> = words.iter().copied().chain([at]).collect();
        self.host.run("sh", &[&"-c", &format!("mount {}", words.join(" "))]);
    }

    fn unmount(&self, at: &Path) {
        self.host.run("umount", &[&at]);
    }

    /// Whether there is a link where the host sees the directory.
    fn has_link(&self, directory: &Path) -> bool {
        has_link(&self.host.path(directory))
    }

    /// It is not called clean, and the reason says these words.
    #[track_caller]
    fn assert_not_clean(&self, words: &str) -> Finished {
        let tool = self.tool();
        assert_not_called_clean(&tool, || true);
        let shown = tool.run(&["--show"]);
        assert!(shown.stdout.contains(words), "{words}: {shown}");
        shown
    }

    #[track_caller]
    fn assert_cleans(&self, directory: &Path) {
        assert_cleans(&self.tool(), || self.has_link(directory));
        self.tool().assert_finds_nothing();
    }
}

const TMPFS: [&str; 3] = ["-t", "tmpfs", "cover"];

fn covered(criu: &Criu) {
    let scene = Scene::new();
    scene.dump(criu, &scene.own);
    scene.mount(&TMPFS, &scene.own);
    assert!(!scene.has_link(&scene.own), "void: nothing covers it");
    scene.assert_not_clean("another mount covers it; to remove it, unmount ");
    scene.unmount(&scene.own);
    scene.assert_cleans(&scene.own);
}

fn covered_above(criu: &Criu) {
    let scene = Scene::new();
    let inner = scene.own.join("a/b");
    fs::create_dir_all(&inner).expect("new directories");
    scene.dump(criu, &inner);
    scene.mount(&TMPFS, &scene.own);
    scene.assert_not_clean("another mount covers it");
    // The same path is there again.
    fs::create_dir_all(scene.host.path(&inner)).expect("new directories");
    scene.assert_not_clean("another mount covers it");
    scene.unmount(&scene.own);
    scene.assert_cleans(&inner);
}

fn stacked(criu: &Criu) {
    let scene = Scene::new();
    scene.mount(&TMPFS, &scene.own);
    scene.dump(criu, &scene.own);
    scene.mount(&TMPFS, &scene.own);
    scene.assert_not_clean("which another mount covers");
    scene.unmount(&scene.own);
    scene.assert_cleans(&scene.own);
}

fn covered_mount(criu: &Criu) {
    let scene = Scene::new();
    let inner = scene.own.join("inner");
    fs::create_dir(&inner).expect("a new directory");
    scene.mount(&TMPFS, &inner);
    scene.dump(criu, &inner);
    scene.mount(&TMPFS, &scene.own);
    scene.assert_not_clean("which another mount covers");
    scene.unmount(&scene.own);
    scene.assert_cleans(&inner);
}

/// A disk that is taken off for a while.
fn unmounted(criu: &Criu) {
    let scene = Scene::new();
    let disk = make_directory(&scene.host, "disk");
    let bind = ["--bind", disk.to_str().expect("a path of text")];
    scene.mount(&bind, &scene.own);
    scene.dump(criu, &scene.own);
    scene.unmount(&scene.own);
    scene.assert_not_clean("has not changed since before the dump");
    // Another filesystem in its place, which is younger than the dump.
    scene.mount(&TMPFS, &scene.own);
    scene.assert_not_clean("has not changed since before the dump");
    scene.unmount(&scene.own);
    scene.mount(&bind, &scene.own);
    scene.assert_cleans(&scene.own);
}

fn unmounted_above(criu: &Criu) {
    let scene = Scene::new();
    let disk = make_directory(&scene.host, "disk");
    fs::create_dir(disk.join("inner")).expect("a new directory");
    let bind = ["--bind", disk.to_str().expect("a path of text")];
    scene.mount(&bind, &scene.own);
    scene.dump(criu, &scene.own.join("inner"));
    scene.unmount(&scene.own);
    scene.assert_not_clean("has not changed since before the dump");
    scene.mount(&bind, &scene.own);
    scene.assert_cleans(&scene.own.join("inner"));
}

fn look_alike(criu: &Criu) {
    let scene = Scene::new();
    let other = make_directory(&scene.host, "other");
    plant(&other);
    scene.dump(criu, &scene.own);
    scene.mount(&["--bind", other.to_str().expect("a path of text")], &scene.own);
    let removed = scene.tool().run(&[]);
    assert_untouched(&other, &removed);
    assert_eq!(removed.code(), 1, "GOT: clean: {removed}");
    scene.unmount(&scene.own);
    scene.assert_cleans(&scene.own);
    assert_untouched(&other, &removed);
}

/// `/home` is a filesystem of its own, and others came and went.
fn gone(criu: &Criu) {
    let scene = Scene::new();
    scene.mount(&TMPFS, &scene.own);
    let inner = scene.own.join("inner");
    fs::create_dir(scene.host.path(&inner)).expect("a new directory");
    scene.mount(&TMPFS, &inner);
    scene.dump(criu, &inner);
    fs::remove_file(link_in(&scene.host.path(&inner))).expect("the link");
    scene.tool().assert_finds_nothing();
    // One that covers it, and goes again.
    scene.mount(&TMPFS, &inner);
    scene.unmount(&inner);
    scene.tool().assert_finds_nothing();
}

fn gone_with_directory(criu: &Criu) {
    let scene = Scene::new();
    let inner = scene.own.join("inner");
    fs::create_dir(&inner).expect("a new directory");
    scene.dump(criu, &inner);
    fs::remove_dir_all(&inner).expect("the directory");
    scene.tool().assert_finds_nothing();
    fs::create_dir(&inner).expect("a new directory");
    scene.tool().assert_finds_nothing();
}

fn weak(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"semaphore", &"name"]);
    criu.dump(&host, &tree, &images_of(&host), &testkit::DumpOptions::default());
    let without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    let tool = Tool::on(&host).under(&without);
    assert_cleans(&tool, || has_link(&host.path("/dev/shm")));
    let shown = tool.run(&["--show", "--exit-code"]);
    assert_eq!(shown.code(), 0, "{shown}");
}
