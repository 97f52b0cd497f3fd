// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps on filesystems that only the mount namespace of another process shows.

use std::fs;
use std::path::PathBuf;

use testkit::{Access, CommandExt, Container, Criu, DumpOptions, Launch, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::container_links::{Dump, assert_gone_with_tmpfs, assert_is_at, directory, mount_tmpfs};
use crate::links::images_of;
use crate::refusals::wait_until;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap on a volume that only another container has mounted is removed", test: container },
    Case { name: "a link remap on a /dev/shm that only another mount namespace has is removed", test: shared_memory },
    Case { name: "a link remap on a tmpfs whose last mount namespace ended is gone with it", test: ended },
    Case { name: "link remaps of one path in two mount namespaces of a tree are removed", test: nested },
]));

fn container(criu: &Criu) {
    let host = TestHost::new();
    let (volume, tree) = start_tree(&host, "/data", &[&"deleted", &"/data/one"]);
    let other = Container::new(&host, "other").bind(&volume, "/mnt/there".as_ref(), Access::ReadWrite);
    let other = Launch::new(&[]).container(&other).start(&host);
    host.run("umount", &[&volume]);
    let lines = assert_removes_from(criu, &host, &tree, &format!("/proc/{}/root/mnt/there", other.pid()));
    // Of the processes in the namespace any will do.
    assert!(lines[0].contains("(at /proc/") && lines[0].contains("/root/mnt/there/link_remap."), "{lines:#?}");
}

/// The namespace is a copy of the host's from a moment before the volume went, as a service of its own has it.
fn shared_memory(criu: &Criu) {
    let host = TestHost::new();
    let (volume, tree) = start_tree(&host, "/dev/shm", &[&"semaphore", &"name"]);
    let other = start_in_a_copy_of_the_mounts(&host);
    host.run("umount", &[&volume]);
    let place = format!("/proc/{other}/root{}", volume.display());
    assert_is_at(&assert_removes_from(criu, &host, &tree, &place), place.as_ref());
}

fn ended(criu: &Criu) {
    let host = TestHost::new();
    let (volume, tree) = start_tree(&host, "/data", &[&"deleted", &"/data/one"]);
    let other = start_in_a_copy_of_the_mounts(&host);
    host.run("umount", &[&volume]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let tool = Tool::new(&host, &images_of(&host));
    assert_is_at(&tool.show(), format!("/proc/{other}/root{}", volume.display()).as_ref());
    host.run("kill", &[&other]);
    wait_until(|| (!fs::exists(host.path(format!("/proc/{other}"))).expect("proc")).then_some(())).expect("the end");
    assert_gone_with_tmpfs(&tool);
}

/// Each of the two links is `/data/link_remap.N`; only the mount of its file tells which directory that is.
fn nested(criu: &Criu) {
    let host = TestHost::new();
    let [one, other] = ["one", "other"].map(|name| directory(&host, name));
    let container = Container::new(&host, "root").bind(&one, "/data".as_ref(), Access::ReadWrite);
    let container = container.bind(&other, "/other".as_ref(), Access::ReadWrite);
    let child: [Word<'_>; 7] = [&"child", &"own-mounts", &"/other", &"/data", &"deleted", &"/data/one", &"end"];
    let words: Vec<Word<'_>> = [&"deleted" as Word<'_>, &"/data/one"].into_iter().chain(child).collect();
    let dump = Dump::new(criu, &host, &container, &words);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    for place in [one, other] {
        let is_there = |line: &String| {
            line.starts_with("Link remap: /data/link_remap.")
                && line.contains(&format!("(at {}/link_remap.", place.display()))
        };
        assert!(lines.iter().any(is_there), "{}: {lines:#?}", place.display());
    }
}

/// A tree that has a tmpfs from outside at this place.
fn start_tree(host: &TestHost, place: &str, words: &[Word<'_>]) -> (PathBuf, Workload) {
    let volume = directory(host, "volume");
    mount_tmpfs(host, &volume);
    let container = Container::new(host, "root").bind(&volume, place.as_ref(), Access::ReadWrite);
    (volume, Launch::new(words).container(&container).start(host))
}

/// The process that is alone in a new mount namespace, as the host numbers it.
fn start_in_a_copy_of_the_mounts(host: &TestHost) -> String {
    let script = "unshare --mount --propagation private sleep 1000 >/dev/null 2>&1 & echo $!";
    let pid = host.command("sh").args(["-c", script]).succeed().stdout.trim().to_owned();
    let program = host.path(format!("/proc/{pid}/comm"));
    wait_until(|| (fs::read_to_string(&program).ok()? == "sleep\n").then_some(())).expect("a new mount namespace");
    pid
}

/// What `--show` says of a dump that then is cleaned, seen from the place where alone its volume still is.
fn assert_removes_from(criu: &Criu, host: &TestHost, tree: &Workload, place: &str) -> Vec<String> {
    let tool = Tool::new(host, &images_of(host)).watching(place);
    let before = tool.snapshot();
    criu.dump(host, tree, &images_of(host), &DumpOptions::default());
    tool.assert_removes_everything_since(&before)
}
