// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A tmpfs of the tree's that is not gone although no mount looks like it: it was mounted again with other options, or
//! it is mounted nowhere, and a process keeps it by its working directory, a descriptor or a mapping.

use testkit::{Criu, TestHost};

use crate::attack::{Holder, assert_cleans, assert_not_called_clean};
use crate::attack_mounts::{NEW_MOUNTS, PLACE, Scene};
use crate::case::{Case, Cases};
use crate::places::has_link;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "a tmpfs that only the working directory of a process keeps is not gone", test: directory },
    Case { name: "a tmpfs that only the working directory of a thread keeps is not gone", test: thread },
    Case { name: "a tmpfs that only a descriptor keeps is not gone", test: descriptor },
    Case { name: "a tmpfs that only a mapping keeps is not gone", test: mapping },
    Case { name: "a link on a tmpfs that was mounted again with another size is removed", test: remounted },
    Case { name: "a tmpfs is gone although processes keep others, mounted or detached", test: others },
]));

/// A file of the tmpfs, by which it can be kept.
const FILE: &str = "/dev/shm/sem.name";

fn directory(criu: &Criu) {
    assert_kept_by(criu, "", &format!("cd {PLACE} detach {PLACE}"));
}

fn thread(criu: &Criu) {
    assert_kept_by(criu, "thread ", &format!("cd {PLACE} detach {PLACE}"));
}

fn descriptor(criu: &Criu) {
    assert_kept_by(criu, "", &format!("open {FILE} detach {PLACE}"));
}

fn mapping(criu: &Criu) {
    assert_kept_by(criu, "", &format!("map {FILE} detach {PLACE}"));
}

/// The tmpfs is taken off lazily in a mount namespace of its holder's own; the tree's and all copies end.
fn assert_kept_by(criu: &Criu, before: &str, words: &str) {
    let host = TestHost::new();
    let (scene, other) = Scene::new(criu, &host, |holder| {
        let place = holder.namespace("mnt");
        Holder::go(&host, &format!("{before}enter {} unshare {NEW_MOUNTS} {words}", place.display()))
    });
    let tool = scene.tool();
    // While the first holder shows the tmpfs, the link can be seen to be there.
    assert!(has_link(&scene.holder.path(PLACE.as_ref())), "void");
    scene.holder.end();
    assert_not_called_clean(&tool, || true);
    let shown = tool.run(&["--show"]);
    let words = format!("process {} (holds) has a file on it open", other.pid);
    assert!(shown.stdout.contains(&words), "{shown}");
    other.end();
    tool.assert_finds_nothing();
}

/// The options of a tmpfs can be changed while it is in use.
fn remounted(criu: &Criu) {
    let host = TestHost::new();
    let (scene, ()) = Scene::new(criu, &host, |_| ());
    let namespace = scene.holder.namespace("mnt");
    let other = Holder::go(&host, &format!("enter {} remount {PLACE} size=3m", namespace.display()));
    let place = scene.holder.path(PLACE.as_ref());
    let tool = scene.tool();
    assert_cleans(&tool, || has_link(&place));
    tool.assert_finds_nothing();
    scene.holder.end();
    other.end();
    tool.assert_finds_nothing();
}

/// One has the host's tmpfs open, one another detached tmpfs.
fn others(criu: &Criu) {
    let host = TestHost::new();
    host.run("sh", &[&"-c", &"echo other > /dev/shm/other"]);
    let (scene, ()) = Scene::new(criu, &host, |_| ());
    let mounted = Holder::go(&host, "open /dev/shm/other cd /dev/shm map /dev/shm/other");
    let script = "mkdir /run/other && mount -t tmpfs other /run/other && touch /run/other/file";
    host.run("sh", &[&"-c", &script]);
    let detached = Holder::go(&host, "cd /run/other open /run/other/file detach /run/other");
    let tool = scene.tool();
    scene.holder.end();
    tool.assert_finds_nothing();
    mounted.end();
    detached.end();
}
