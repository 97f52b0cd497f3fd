// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on "gone" (L3): a network namespace behind two walls, and a tmpfs that is mounted nowhere any more and
//! kept by the root directory of a process, by a copy of its mount, by a bound socket or by a loop device.

use std::path::PathBuf;

use testkit::{CommandExt, Criu, DumpOptions, Launch, LockMethod, Network, TestHost};

use crate::attack::{Holder, assert_not_called_clean, has_link};
use crate::attack_mounts::{NEW_MOUNTS, PLACE, Scene};
use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::refusals::wait_until;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a lock is not gone whose namespace is mounted in one that is only open", test: behind_two },
    Case { name: "attack: a tmpfs that only the root directory of a process keeps is not gone", test: root_directory },
    Case { name: "attack: a tmpfs that only a detached copy of its mount keeps is not gone", test: cloned },
    Case { name: "attack: a tmpfs that only a bound socket keeps is not gone", test: bound_socket },
    Case { name: "attack: a tmpfs that only a loop device keeps is not gone", test: loop_device },
]));

/// The network namespace is mounted in a mount namespace in which no process is.
fn behind_two(criu: &Criu) {
    let host = TestHost::new();
    let namespace = host.make_net_namespace("blue");
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(namespace)).start(&host);
    let ready = host.dir().with_file_name("bound");
    let script = format!(
        "exec unshare --mount --propagation private sh -c 'mkdir /run/kept && touch /run/kept/net && \
         mount --bind /run/netns/blue /run/kept/net && umount /run/netns/blue && touch {} && exec sleep 1000'",
        ready.display()
    );
    let inner = Holder::start_until(&host, &script, &ready);
    let outer = Holder::go(&host, &format!("open {}", inner.namespace("mnt").display()));
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    drop(tree);
    inner.end();
    host.run("ip", &[&"netns", &"delete", &"blue"]);
    let is_left = || {
        let mut command = host.command("nsenter");
        command.args([&format!("--mount=/proc/{}/fd/3", outer.pid), "--", "nsenter", "--net=/run/kept/net"]);
        command.args(["--", "nft", "list", "tables"]).finish().stdout.contains("CRIU-")
    };
    let tool = Tool::new(&host, &images_of(&host));
    assert_not_called_clean(&tool, is_left);
    outer.end();
    tool.assert_finds_nothing();
}

fn root_directory(criu: &Criu) {
    assert_kept_by(criu, |_| format!("cd / root {PLACE} detach dev/shm"));
}

fn cloned(criu: &Criu) {
    assert_kept_by(criu, |_| format!("clone {PLACE} detach {PLACE}"));
}

/// As that of a session bus: the address of the socket is a file of the tmpfs.
fn bound_socket(criu: &Criu) {
    assert_kept_by(criu, |_| format!("bind {PLACE}/socket detach {PLACE}"));
}

/// What a process does in a copy of the tree's mount namespace, before the tree and all copies end, keeps the tmpfs.
fn assert_kept_by(criu: &Criu, words: impl Fn(&Holder<'_>) -> String) {
    let host = TestHost::new();
    let (scene, other) = Scene::new(criu, &host, |holder| {
        let enter = format!("enter {} unshare {NEW_MOUNTS}", holder.namespace("mnt").display());
        Holder::go(&host, &format!("{enter} {}", words(holder)))
    });
    let tool = scene.tool();
    assert!(has_link(&scene.holder.path(PLACE.as_ref())), "void");
    scene.holder.end();
    assert_not_called_clean(&tool, || true);
    other.end();
    tool.assert_finds_nothing();
}

/// The kernel has the file behind the device open, and no process has.
fn loop_device(criu: &Criu) {
    let host = TestHost::new();
    let (scene, device) = Scene::new(criu, &host, |holder| {
        let disk = holder.path(format!("{PLACE}/disk").as_ref());
        std::fs::File::create_new(&disk).and_then(|file| file.set_len(1 << 20)).expect("a new file");
        let inside = PathBuf::from(format!("/proc/{}/root{PLACE}/disk", holder.pid));
        host.run("losetup", &[&"--find", &"--show", &inside]).stdout.trim().to_owned()
    });
    let tool = scene.tool();
    scene.holder.end();
    assert_not_called_clean(&tool, || true);
    host.run("losetup", &[&"--detach", &device]);
    let is_free = || host.command("losetup").arg(&device).finish().code() != 0;
    wait_until(|| is_free().then_some(())).expect("void: the device stays in use");
    tool.assert_finds_nothing();
}
