// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What looks like a checkpoint's residue, and is a user's own or another checkpoint's.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, DumpResult, LockMethod, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::refusals::wait_until;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a user's own files with names like link remaps survive", test: own_files },
    Case { name: "a user's own file in the place of a link remap that is gone survives", test: own_file_in_place },
    Case { name: "of two checkpoints with iptables, the one that is not cleaned can be restored", test: iptables },
    Case { name: "of two checkpoints with nftables, the one that is not cleaned can be restored", test: nftables },
    Case { name: "two checkpoints of one command line are both cleaned", test: both },
]));

const CONTENT: &str = "a user's own";

fn own_files(criu: &Criu) {
    let host = TestHost::new();
    let elsewhere = directory(&host, "elsewhere");
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"semaphore", &"name"]);
    let tool = Tool::new(&host, &images_of(&host));
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let own = plant(&host, &elsewhere, &link_in(host.dir()));
    tool.show();
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    tool.assert_finds_nothing();
    for path in own {
        assert_eq!(fs::read(&path).ok().as_deref(), Some(CONTENT.as_bytes()), "{} is gone", path.display());
        fs::remove_file(path).expect("a file");
    }
    assert_eq!(tool.difference_to(&before), NOTHING, "{}", removed.stdout);
}

/// Makes files with names as like as can be: the next numbers, the same number elsewhere, and more than the number.
fn plant(host: &TestHost, elsewhere: &Path, link: &Path) -> Vec<PathBuf> {
    let name = link.file_name().and_then(|name| name.to_str()).expect("a name");
    let number: u32 = name.rsplit('.').next().and_then(|number| number.parse().ok()).expect("link_remap.N");
    let shared = host.path("/dev/shm");
    let names = [number - 1, number + 1, 7_777_777].map(|number| format!("link_remap.{number}"));
    let more = ["link_remap.0N", "link_remap.N.bak", "link_remap.N~", "LINK_REMAP.N", "link_remap.", "link_remap"];
    let more = more.map(|pattern| pattern.replace('N', &number.to_string()));
    let here = names.iter().chain(&more).map(|name| host.dir().join(name));
    let there = [elsewhere.join(name), shared.join("link_remap.7777777")];
    let planted: Vec<PathBuf> = here.chain(there).collect();
    for path in &planted {
        assert!(!path.exists(), "void: {} is CRIU's", path.display());
        fs::write(path, CONTENT).expect("a new file");
    }
    planted
}

/// Of the very name, in the very directory: only what the file is can tell.
fn own_file_in_place(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let link = link_in(host.dir());
    fs::remove_file(&link).and_then(|()| fs::write(&link, CONTENT)).expect("a new file");
    let tool = Tool::new(&host, &images_of(&host));
    tool.assert_keeps_everything("other-size");
    assert_eq!(fs::read(link).ok().as_deref(), Some(CONTENT.as_bytes()));
}

fn iptables(criu: &Criu) {
    assert_other_can_be_restored(criu, &DumpOptions { lock: LockMethod::Iptables, ..DumpOptions::default() });
}

fn nftables(criu: &Criu) {
    assert_other_can_be_restored(criu, &DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() });
}

/// Both trees have the same directives, so that CRIU gives its links the same numbers.
fn assert_other_can_be_restored(criu: &Criu, options: &DumpOptions) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let [one, other] = ["one", "other"].map(|name| start_tree(&host, name));
    let clean = Tool::new(&host, &images_of(&host)).snapshot();
    let kept = criu.dump(&host, &other, &host.dir().with_file_name("other images"), options);
    let before = Tool::new(&host, &images_of(&host)).snapshot();
    criu.dump(&host, &one, &images_of(&host), options);
    let names = ["one", "other"].map(|name| link_in(&host.dir().join(name)).file_name().map(ToOwned::to_owned));
    assert_eq!(names[0], names[1], "void: the links differ in their names already");
    Tool::new(&host, &images_of(&host)).assert_removes_everything_since(&before);
    assert_restores(criu, &host, &kept, options);
    assert_eq!(Tool::new(&host, &images_of(&host)).difference_to(&clean), NOTHING);
}

/// CRIU's own judgement that nothing is missing.
fn assert_restores(criu: &Criu, host: &TestHost, dump: &DumpResult, options: &DumpOptions) {
    let restored = criu.restore(host, dump, options);
    wait_until(|| (restored.state() == Some('S')).then_some(())).expect("the restored tree is dead");
    Tool::new(host, &dump.images).assert_finds_nothing();
}

fn both(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let [one, other] = ["one", "other"].map(|name| start_tree(&host, name));
    let (images, others) = (images_of(&host), host.dir().with_file_name("other images"));
    let before = Tool::new(&host, &images).snapshot();
    criu.dump(&host, &one, &images, &DumpOptions::default());
    criu.dump(&host, &other, &others, &DumpOptions::default());
    let lines = Tool::new(&host, &images).option("-D", &others).assert_removes_everything_since(&before);
    for directory in [&images, &others] {
        let heading = format!("Checkpoint {}:", directory.display());
        assert!(lines.contains(&heading), "{heading}: {lines:#?}");
    }
}

/// A tree with a link remap in a directory of its own, and a connection.
fn start_tree(host: &TestHost, name: &str) -> Workload {
    let file = directory(host, name).join("data");
    let words: [Word<'_>; 4] = [&"deleted", &file, &"listen-connect", &"127.0.0.1:0"];
    host.start_workload(&words)
}

fn directory(host: &TestHost, name: &str) -> PathBuf {
    let directory = host.dir().join(name);
    fs::create_dir(&directory).expect("a new directory");
    directory
}

/// The only link remap in the directory.
pub(crate) fn link_in(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path());
    let is_link = |path: &PathBuf| path.to_string_lossy().contains("/link_remap.");
    let mut links: Vec<PathBuf> = entries.filter(is_link).collect();
    assert_eq!(links.len(), 1, "void: {links:?}");
    links.remove(0)
}
