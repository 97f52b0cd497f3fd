// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose an object is: the index, with real dumps on a host that has several checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, LockMethod, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::filters::tables;
use crate::index_probe;
use crate::places::{images_of, link_in, make_directory};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "the index finds the owner of each link where two checkpoints name theirs alike", test: two_links },
    Case { name: "the index knows an owner of a link until its images are deleted", test: discarded },
    Case {
        name: "the index gives a link to the checkpoint that made it, not to an older one of the same path",
        test: same_path
    },
    Case { name: "the index finds the owner of a table by its run id", test: table },
    Case { name: "the index finds the owner of a rule by its connection", test: rule },
    Case { name: "the index finds what podman stores", test: podman_store },
    Case { name: "the index finds the links of an interrupted dump", test: interrupted },
    Case { name: "the index knows that a checkpoint was restored", test: restored },
]));

/// A tree with a link remap in a directory of its own.
pub(crate) fn start(host: &TestHost, name: &str) -> Workload {
    let file = make_directory(host, name).join("data");
    host.start_workload(&[&"deleted", &file])
}

pub(crate) fn beside(host: &TestHost, name: &str) -> PathBuf {
    host.dir().with_file_name(name)
}

/// Gives the host an empty directory of its own in place of the machine's: a host shares the machine's disk.
pub(crate) fn make_own(host: &TestHost, directory: &str) {
    host.run("mount", &[&"-t", &"tmpfs", &"own", &directory]);
}

pub(crate) fn name(path: &Path) -> String {
    format!("name:{}", path.display())
}

pub(crate) fn images(directories: &[&Path]) -> Vec<String> {
    directories.iter().map(|directory| format!("--images={}", directory.display())).collect()
}

/// The line about an object.
pub(crate) fn about(lines: &[String], object: &str) -> String {
    let rest = |line: &String| line.strip_prefix(object).map(|rest| rest.trim().to_owned());
    lines.iter().find_map(rest).unwrap_or_else(|| panic!("nothing about {object}: {lines:#?}"))
}

/// What the index says of an object, with these images.
pub(crate) fn owner(host: &TestHost, directories: &[&Path], object: &str) -> String {
    let words: Vec<String> = images(directories).into_iter().chain([object.to_owned()]).collect();
    about(&index_probe::run(host, &words), object)
}

pub(crate) fn certain(images: &Path) -> String {
    format!("certain {}", images.display())
}

fn two_links(criu: &Criu) {
    let host = TestHost::new();
    let trees = ["one", "other"].map(|name| start(&host, name));
    let [one, other] = ["images of one", "images of other"].map(|name| beside(&host, name));
    for (tree, images) in trees.iter().zip([&one, &other]) {
        criu.dump(&host, tree, images, &DumpOptions::default());
    }
    let links = ["one", "other"].map(|name| link_in(&host.dir().join(name)));
    assert_eq!(links[0].file_name(), links[1].file_name(), "void: the links differ in their names");
    for (link, images) in links.iter().zip([&one, &other]) {
        assert_eq!(owner(&host, &[&one, &other], &name(link)), certain(images));
    }
    let lines = index_probe::run(&host, &images(&[&one, &other]));
    for images in [&one, &other] {
        let line = format!("{} Restorable Directory None -", images.display());
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
}

fn discarded(criu: &Criu) {
    let host = TestHost::new();
    let trees = ["one", "other"].map(|name| start(&host, name));
    let [kept, gone] = ["kept", "gone"].map(|name| beside(&host, name));
    criu.dump(&host, &trees[0], &kept, &DumpOptions::default());
    criu.dump(&host, &trees[1], &gone, &DumpOptions::default());
    let link = link_in(&host.dir().join("other"));
    assert_eq!(owner(&host, &[&kept, &gone], &name(&link)), certain(&gone));
    fs::remove_dir_all(&gone).expect("the images");
    assert_eq!(owner(&host, &[&kept, &gone], &name(&link)), "unclaimed");
    assert_eq!(owner(&host, &[&kept, &gone], &name(&link_in(&host.dir().join("one")))), certain(&kept));
}

/// The first checkpoint was not restored, but somebody removed its link by hand, and the same tree was dumped once more.
fn same_path(criu: &Criu) {
    let host = TestHost::new();
    let [older, newer] = ["older", "newer"].map(|name| beside(&host, name));
    let tree = start(&host, "one");
    criu.dump(&host, &tree, &older, &DumpOptions::default());
    let directory = host.dir().join("one");
    let first = link_in(&directory);
    assert_eq!(owner(&host, &[&older], &name(&first)), certain(&older));
    for entry in fs::read_dir(&directory).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    let tree = host.start_workload(&[&"deleted", &directory.join("data")]);
    criu.dump(&host, &tree, &newer, &DumpOptions::default());
    let link = link_in(&directory);
    assert_eq!(link, first, "void: the links differ in their names");
    assert_eq!(owner(&host, &[&older, &newer], &name(&link)), certain(&newer));
    // Without the newer images the older ones still name it, but it changed after them.
    assert_eq!(owner(&host, &[&older], &name(&link)), format!("doubtful {}", older.display()));
}

fn table(criu: &Criu) {
    let host = TestHost::new();
    let [one, other] = ["one", "other"].map(|name| beside(&host, name));
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    let connect: [Word<'_>; 2] = [&"listen-connect", &"127.0.0.1:0"];
    let trees = [host.start_workload(&connect), host.start_workload(&connect)];
    criu.dump(&host, &trees[0], &one, &options);
    let first = tables(&host, None).pop().expect("void: no table");
    criu.dump(&host, &trees[1], &other, &options);
    let second = tables(&host, None).into_iter().find(|name| *name != first).expect("void: no second table");
    for (table, images) in [(&first, &one), (&second, &other)] {
        assert_eq!(owner(&host, &[&one, &other], &format!("table:{table}")), certain(images));
    }
    let planted = "CRIU-1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    host.run("nft", &[&"add", &"table", &"inet", &planted]);
    assert_eq!(owner(&host, &[&one, &other], &format!("table:{planted}")), "unclaimed");
}

fn rule(criu: &Criu) {
    let host = TestHost::new();
    let [one, other] = ["one", "other"].map(|name| beside(&host, name));
    let options = DumpOptions { lock: LockMethod::Iptables, ..DumpOptions::default() };
    let connect: [Word<'_>; 2] = [&"listen-connect", &"127.0.0.1:0"];
    let trees = [host.start_workload(&connect), host.start_workload(&connect)];
    let connections = [&trees[0], &trees[1]].map(|tree| tree.connections().remove(0));
    criu.dump(&host, &trees[0], &one, &options);
    criu.dump(&host, &trees[1], &other, &options);
    for (connection, images) in connections.iter().zip([&one, &other]) {
        for (from, to) in [(connection.local, connection.peer), (connection.peer, connection.local)] {
            assert_eq!(owner(&host, &[&one, &other], &format!("rule:{from},{to}")), certain(images));
        }
    }
    assert_eq!(owner(&host, &[&one, &other], "rule:127.0.0.1:1,127.0.0.1:2"), "unclaimed");
}

/// Nobody names it: podman's storage is searched, root's and a user's.
fn podman_store(criu: &Criu) {
    let host = TestHost::new();
    let store = host.dir().with_file_name("storage");
    let images = store.join("overlay-containers").join("0123abcd").join("userdata/checkpoint");
    fs::create_dir_all(&images).expect("podman's directories");
    let list = r#"[{"id":"0123abcd","names":["job"]}]"#;
    fs::write(store.join("overlay-containers/containers.json"), list).expect("podman's list");
    let tree = start(&host, "one");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let link = link_in(&host.dir().join("one"));
    let configuration = format!("[storage]\ngraphroot = \"{}\"\n", store.display());
    make_own(&host, "/etc");
    fs::create_dir(host.path("/etc/containers")).expect("a directory");
    fs::write(host.path("/etc/containers/storage.conf"), configuration).expect("podman's configuration");
    assert_eq!(owner(&host, &[], &name(&link)), certain(&images));
    let lines = index_probe::run(&host, &[]);
    let line = format!("{} Restorable Directory Some(Podman) job", images.display());
    assert!(lines.contains(&line), "{lines:#?}");
    let lines = index_probe::run(&host, &["--no-stores".to_owned(), name(&link)]);
    assert_eq!(about(&lines, &name(&link)), "unclaimed");
}

fn interrupted(criu: &Criu) {
    let host = TestHost::new();
    let images = images_of(&host);
    let tree = start(&host, "one");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    fs::remove_file(images.join("inventory.img")).expect("an inventory");
    let link = link_in(&host.dir().join("one"));
    assert_eq!(owner(&host, &[&images], &name(&link)), certain(&images));
    let lines = index_probe::run(&host, &self::images(&[&images]));
    assert!(lines.contains(&format!("{} Incomplete Directory None -", images.display())), "{lines:#?}");
}

fn restored(criu: &Criu) {
    let host = TestHost::new();
    let images = images_of(&host);
    let tree = start(&host, "one");
    let dump = criu.dump(&host, &tree, &images, &DumpOptions::default());
    let _restored = criu.restore(&host, &dump, &DumpOptions::default());
    let lines = index_probe::run(&host, &self::images(&[&images]));
    assert!(lines.contains(&format!("{} Restored Directory None -", images.display())), "{lines:#?}");
}
