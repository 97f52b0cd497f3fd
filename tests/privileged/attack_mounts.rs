// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A tmpfs of the tree's is gone only if every mount namespace was read (L3): one may be kept without a process that
//! shows it. What could not be read counts only for what could be there.

use std::fs;

use testkit::{CommandExt, Container, Criu, DumpOptions, Launch, TestHost};

use crate::attack::{Holder, assert_cleans, assert_not_called_clean, has_link, names_in};
use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a tmpfs that a process shows is found, and gone with the process", test: shown },
    Case { name: "attack: a tmpfs whose namespace only a bind mount keeps is not gone", test: bound },
    Case { name: "attack: a tmpfs whose namespace only a descriptor keeps is not gone", test: opened },
    Case { name: "attack: a tmpfs whose namespace only a thread has is not gone", test: threaded },
    Case { name: "attack: a tmpfs is not gone where the first process of its namespace is chrooted", test: chrooted },
    Case { name: "attack: who may not look at a process does not call its tmpfs gone", test: unreadable },
    Case { name: "attack: a namespace that cannot be read counts only for what could be there", test: elsewhere },
]));

pub(crate) const PLACE: &str = "/dev/shm";

/// `CLONE_NEWNS`
pub(crate) const NEW_MOUNTS: &str = "0x20000";

/// A tree whose semaphore is in a tmpfs of its own, and a process in a copy of its mount namespace.
pub(crate) struct Scene<'a> {
    host: &'a TestHost,
    pub(crate) holder: Holder<'a>,
}

impl<'a> Scene<'a> {
    /// The tree is dumped; before that `keep` does something with the namespace of the holder.
    pub(crate) fn new<T>(criu: &Criu, host: &'a TestHost, keep: impl FnOnce(&Holder<'a>) -> T) -> (Self, T) {
        let container = Container::new(host, "root").tmpfs(PLACE.as_ref());
        let tree = Launch::new(&[&"semaphore", &"name"]).container(&container).start(host);
        let holder = Holder::go(host, &format!("enter /proc/{}/ns/mnt unshare {NEW_MOUNTS}", tree.pid()));
        let kept = keep(&holder);
        criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
        (Self { host, holder }, kept)
    }

    pub(crate) fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &images_of(self.host))
    }
}

fn shown(criu: &Criu) {
    let host = TestHost::new();
    let (scene, ()) = Scene::new(criu, &host, |_| ());
    let place = scene.holder.path(PLACE.as_ref());
    assert!(has_link(&place), "void");
    assert_cleans(&scene.tool(), || has_link(&place));
    assert_gone_with_its_holder(criu);
}

/// The honest end: nothing keeps the namespace any more.
fn assert_gone_with_its_holder(criu: &Criu) {
    let host = TestHost::new();
    let (scene, ()) = Scene::new(criu, &host, |_| ());
    let tool = scene.tool();
    scene.holder.end();
    tool.assert_finds_nothing();
}

/// Snap and systemd pin namespaces so.
fn bound(criu: &Criu) {
    let host = TestHost::new();
    let (scene, ()) = Scene::new(criu, &host, |holder| {
        host.run("touch", &[&"/run/pinned"]);
        // Only a namespace with a higher id than the host's can be mounted there, and each processor counts for itself.
        let processors = std::thread::available_parallelism().expect("processors").get();
        let is_pinned = (0..processors).any(|processor| {
            let copy = format!("cpu {processor} enter {} unshare {NEW_MOUNTS}", holder.namespace("mnt").display());
            let copy = Holder::go(&host, &copy);
            let bound = host.command("mount").arg("--bind").arg(copy.namespace("mnt")).arg("/run/pinned").finish();
            copy.end();
            bound.status.success()
        });
        assert!(is_pinned, "void: nothing keeps the namespace");
    });
    let tool = scene.tool();
    scene.holder.end();
    let is_left = || pinned_has_link(&host, "/run/pinned");
    assert_not_called_clean(&tool, is_left);
    host.run("umount", &[&"/run/pinned"]);
    tool.assert_finds_nothing();
}

/// An engine that holds a descriptor of its container's namespace.
fn opened(criu: &Criu) {
    assert_kept_by(criu, |holder| format!("open {}", holder.namespace("mnt").display()), "fd/3");
}

/// Another process goes where these words say, and keeps the namespace, to which this link of its leads.
fn assert_kept_by(criu: &Criu, words: impl Fn(&Holder<'_>) -> String, link: &str) {
    let host = TestHost::new();
    let (scene, other) = Scene::new(criu, &host, |holder| Holder::go(&host, &words(holder)));
    let tool = scene.tool();
    scene.holder.end();
    let path = format!("/proc/{}/{link}", other.pid);
    assert_not_called_clean(&tool, || pinned_has_link(&host, &path));
    other.end();
    tool.assert_finds_nothing();
}

/// Of the process the first thread is elsewhere.
fn threaded(criu: &Criu) {
    let host = TestHost::new();
    let (scene, other) = Scene::new(criu, &host, |holder| {
        Holder::go(&host, &format!("thread enter {}", holder.namespace("mnt").display()))
    });
    let tool = scene.tool();
    scene.holder.end();
    let tasks = fs::read_dir(host.path(format!("/proc/{}/task", other.pid))).expect("threads").flatten();
    let mut places = tasks.map(|task| task.path().join("root").join("dev/shm"));
    let place = places.find(|place| has_link(place)).expect("void: no thread is in the namespace");
    assert_not_called_clean(&tool, || has_link(&place));
    other.end();
    tool.assert_finds_nothing();
}

/// Its mount table shows only what is below its root.
fn chrooted(criu: &Criu) {
    let words = |holder: &Holder<'_>| format!("enter {} chroot /tmp", holder.namespace("mnt").display());
    assert_kept_by(criu, words, "ns/mnt");
}

/// Whose process may do more than the tool.
fn unreadable(criu: &Criu) {
    let host = TestHost::new();
    let (scene, ()) = Scene::new(criu, &host, |_| ());
    let place = scene.holder.path(PLACE.as_ref());
    let tool = scene.tool().under(&["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    assert_not_called_clean(&tool, || has_link(&place));
    if has_link(&place) {
        assert_cleans(&scene.tool(), || has_link(&place));
    }
}

/// What the dump left is in the host's own mount namespace, and it locked nothing.
fn elsewhere(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("data");
    let tree = host.start_workload(&[&"deleted", &file]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let more = Holder::start(&host, "exec unshare --mount --net --propagation private sleep 1000");
    let tool = Tool::new(&host, &images_of(&host));
    let weak =
        Tool::new(&host, &images_of(&host)).under(&["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    assert_cleans(&weak, || has_link(host.dir()));
    more.end();
    tool.assert_finds_nothing();
}

/// Whether the namespace that this path of the host names still has the tree's tmpfs with a link in it.
fn pinned_has_link(host: &TestHost, namespace: &str) -> bool {
    names_in(host, namespace.as_ref(), PLACE).contains("link_remap.")
}
