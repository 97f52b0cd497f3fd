// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the index finds checkpoints that nobody names, and whose word it takes.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use testkit::{
    Access, CommandExt, Container, Criu, DumpOptions, IptablesFlavour, Launch, Network, TestHost, wait_until,
};

use crate::case::{Case, Cases};
use crate::filters::make_tables;
use crate::index::{about, beside, certain, images, make_own, name, owner, start};
use crate::index_probe;
use crate::overlay_links::Overlay;
use crate::places::{images_of, link_in, make_directory};
use crate::recording::recording;
use crate::restorable::{Killed, post_restore};
use crate::stored::{dump_and_discard, stored};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "the index finds the directory that a criu works in", test: working_criu },
    Case { name: "the index takes a record for images that are gone", test: record },
    Case { name: "the index finds images by the record that names their directory", test: recorded },
    Case { name: "the index reads the archives of the kubelet, and says which it does not read", test: kubelet },
    Case { name: "the index follows no link out of a store", test: linked_store },
    Case { name: "the index prefers images of root to a stranger's copy of them", test: foreign_copy },
    Case { name: "the index says that two copies of images claim a link", test: copies },
    Case { name: "the index gives a chain to the checkpoint whose devices its namespace has", test: chain },
    Case { name: "the index says which images it cannot read", test: garbled },
    Case { name: "the index tells the volumes of two containers apart", test: volumes },
    Case { name: "the index finds the owner of a link in the upper directory of an overlay", test: overlay },
    Case { name: "the index finds whose half-restored processes and ghost files are", test: half_restored },
]));

/// A host with a link of a dump into this directory; gives the link.
fn dumped(criu: &Criu, host: &TestHost, images: &Path) -> PathBuf {
    let tree = start(host, "one");
    fs::create_dir_all(images).expect("a directory");
    criu.dump(host, &tree, images, &DumpOptions::default());
    link_in(&host.dir().join("one"))
}

/// What the index says of an object, of what it finds by itself.
fn found(host: &TestHost, object: &str) -> String {
    owner(host, &[], object)
}

fn working_criu(criu: &Criu) {
    let host = TestHost::new();
    let images = images_of(&host);
    let link = dumped(criu, &host, &images);
    assert_eq!(found(&host, &name(&link)), "unclaimed");
    let program = beside(&host, "criu");
    fs::copy("/bin/sleep", &program).expect("a program");
    let pid = beside(&host, "pid");
    let script =
        format!("echo $$ > '{}' && cd '{}' && exec '{}' 1000", pid.display(), images.display(), program.display());
    let mut process = host.command("sh").args(["-c", &script]).spawn().expect("a process");
    let is_found = || (found(&host, &name(&link)) == certain(&images)).then_some(());
    // The shell goes there first, and only then is it a criu.
    let seen = wait_until(is_found);
    host.run("kill", &[&fs::read_to_string(&pid).expect("a pid").trim()]);
    process.wait().expect("a process");
    seen.expect("it is not found");
    assert_eq!(found(&host, &name(&link)), "unclaimed");
}

fn record(criu: &Criu) {
    let host = TestHost::new();
    let tree = start(&host, "one");
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    let link = link_in(&host.dir().join("one"));
    assert_eq!(found(&host, &name(&link)), certain(&record));
    let lines = index_probe::run(&host, &[]);
    assert!(lines.contains(&format!("{} Unknown Record None -", record.display())), "{lines:#?}");
    fs::remove_file(host.path(&record)).expect("a record");
    assert_eq!(found(&host, &name(&link)), "unclaimed");
}

fn recorded(criu: &Criu) {
    let host = TestHost::new();
    let tree = start(&host, "one");
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let link = link_in(&host.dir().join("one"));
    assert_eq!(found(&host, &name(&link)), certain(&images_of(&host)));
    let lines = index_probe::run(&host, &[]);
    let of_record = lines.iter().filter(|line| line.starts_with(&*stored(&images_of(&host)).to_string_lossy()));
    assert_eq!(of_record.count(), 0, "{lines:#?}");
}

fn kubelet(criu: &Criu) {
    let host = TestHost::new();
    let directory = beside(&host, "pod");
    let link = dumped(criu, &host, &directory.join("checkpoint"));
    fs::write(directory.join("config.dump"), "{}").expect("a file");
    make_own(&host, "/var/lib");
    let store = "/var/lib/kubelet/checkpoints";
    fs::create_dir_all(host.path(store)).expect("a directory");
    let archive = format!("{store}/checkpoint-pod_ns-c-2026-11-27T10:00:00Z.tar");
    host.run("tar", &[&"--force-local", &"-C", &directory, &"-cf", &archive, &"."]);
    fs::remove_dir_all(&directory).expect("images");
    let claim = found(&host, &name(&link));
    assert!(claim.starts_with(&format!("certain {archive}")), "{claim}");
    let packed = format!("{store}/packed.tar");
    host.run("sh", &[&"-c", &format!("gzip -c '{archive}' > {packed}; rm '{archive}'")]);
    let lines = index_probe::run(&host, &[name(&link)]);
    assert_eq!(about(&lines, &name(&link)), "unclaimed");
    assert!(lines.contains(&format!("unseen: {packed} is compressed and was not read")), "{lines:#?}");
}

fn linked_store(criu: &Criu) {
    let host = TestHost::new();
    let images = images_of(&host);
    let link = dumped(criu, &host, &images);
    make_own(&host, "/var/lib");
    let container = host.path("/var/lib/docker/containers/0123abcd/checkpoints");
    fs::create_dir_all(&container).expect("a directory");
    symlink(&images, container.join("cp")).expect("a link");
    assert_eq!(found(&host, &name(&link)), "unclaimed");
    fs::remove_file(container.join("cp")).expect("a link");
    let inside = Path::new("/var/lib/docker/containers/0123abcd/checkpoints/cp");
    copy(&host, &images, inside);
    assert_eq!(found(&host, &name(&link)), certain(inside));
}

/// A copy with all times and owners.
fn copy(host: &TestHost, from: &Path, to: &Path) {
    host.command("cp").arg("-a").args([from, to]).succeed();
}

fn foreign_copy(criu: &Criu) {
    let host = TestHost::new();
    let (own, theirs) = (images_of(&host), beside(&host, "theirs"));
    let link = dumped(criu, &host, &own);
    copy(&host, &own, &theirs);
    let entries = fs::read_dir(&theirs).expect("images").map(|entry| entry.expect("an entry").path());
    for path in entries.chain([theirs.clone()]) {
        chown(&path, Some(1000), Some(1000)).expect("an owner");
    }
    assert_eq!(owner(&host, &[&own, &theirs], &name(&link)), certain(&own));
    assert_eq!(owner(&host, &[&theirs], &name(&link)), format!("doubtful {}", theirs.display()));
}

fn copies(criu: &Criu) {
    let host = TestHost::new();
    let (own, backup) = (images_of(&host), beside(&host, "backup"));
    let link = dumped(criu, &host, &own);
    copy(&host, &own, &backup);
    let claim = owner(&host, &[&own, &backup], &name(&link));
    assert_eq!(claim, format!("ambiguous {} {}", backup.display(), own.display()));
}

fn chain(criu: &Criu) {
    let host = TestHost::new();
    let [blue, red] = ["blue", "red"].map(|name| host.make_net_namespace(name));
    make_tables(&host, Some(&blue.path()), IptablesFlavour::Nft);
    host.connect(&blue, "10.9.0.1/24", "10.9.0.2/24");
    let [blue_path, red_path] = [&blue, &red].map(|namespace| namespace.path());
    let other = dumped(criu, &host, &beside(&host, "other"));
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(blue)).start(&host);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let directories = [images_of(&host), beside(&host, "other")];
    let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
    let of = |path: &Path| owner(&host, &directories, &format!("chain:{}", path.display()));
    assert_eq!(of(&blue_path), certain(directories[0]));
    assert_eq!(of(&red_path), "unclaimed");
    assert_eq!(owner(&host, &directories, &name(&other)), certain(directories[1]));
    // Only the other checkpoint: nothing ties it to that namespace.
    assert_eq!(owner(&host, &directories[1..], &format!("chain:{}", blue_path.display())), "unclaimed");
}

fn half_restored(criu: &Criu) {
    let killed = Killed::new(criu, &[], post_restore());
    let host = &killed.host;
    let innocent = host.start_workload(&[&"listen", &"127.0.0.1:0"]);
    let script = "for task in /proc/[0-9]*; do grep -qx workload $task/comm && grep -q '^SigBlk:.fffffff' $task/status && \
                  echo ${task#/proc/}; done; true";
    let stranded = host.run("sh", &[&"-c", &script]).stdout;
    assert!(stranded.lines().count() > 0, "void: nothing is half restored");
    for pid in stranded.lines() {
        assert_eq!(found(host, &format!("process:{pid}")), certain(&images_of(host)), "{pid}");
    }
    assert_eq!(found(host, &format!("process:{}", innocent.pid())), "unclaimed");
    let ghosts = killed.names(".ghost");
    assert!(!ghosts.is_empty(), "void: no ghost file");
    for ghost in &ghosts {
        assert_eq!(found(host, &name(ghost)), certain(&images_of(host)));
    }
    let own = host.dir().join("mine.cr.1.ghost");
    fs::write(&own, "a user's own").expect("a file");
    assert_eq!(found(host, &name(&own)), "unclaimed");
}

/// Two containers with the same paths: only the mounts tell which link is whose.
fn volumes(criu: &Criu) {
    let host = TestHost::new();
    let [one, other] = ["one", "other"].map(|name| {
        let volume = make_directory(&host, name);
        let root = format!("root of {name}");
        let container = Container::new(&host, &root).bind(&volume, "/data".as_ref(), Access::ReadWrite);
        let tree = Launch::new(&[&"deleted", &"/data/file"]).container(&container).start(&host);
        let images = beside(&host, &format!("images of {name}"));
        criu.dump(&host, &tree, &images, &DumpOptions::default());
        (link_in(&volume), images)
    });
    assert_eq!(one.0.file_name(), other.0.file_name(), "void: the links differ in their names");
    for (link, images) in [&one, &other] {
        assert_eq!(owner(&host, &[&one.1, &other.1], &name(link)), certain(images));
    }
}

/// Whoever looks into the upper directory sees another device number than through the overlay.
fn overlay(criu: &Criu) {
    let host = TestHost::new();
    let overlay = Overlay::mounted(&host);
    let tree = overlay.start_tree(&["deleted", "/tmp/one"]);
    overlay.dump(criu, &tree);
    drop(tree);
    let link = link_in(&overlay.upper.join("tmp"));
    let merged = overlay.root().join("tmp").join(link.file_name().expect("a name"));
    for path in [&link, &merged] {
        assert_eq!(owner(&host, &[&images_of(&host)], &name(path)), certain(&images_of(&host)), "{}", path.display());
    }
    overlay.unmount();
    assert_eq!(owner(&host, &[&images_of(&host)], &name(&link)), certain(&images_of(&host)));
    let look_alike = make_directory(&host, "mine").join(link.file_name().expect("a name"));
    fs::write(&look_alike, "a user's own").expect("a file");
    assert_eq!(owner(&host, &[&images_of(&host)], &name(&look_alike)), "unclaimed");
}

fn garbled(criu: &Criu) {
    let host = TestHost::new();
    let own = images_of(&host);
    let link = dumped(criu, &host, &own);
    let odd = beside(&host, "odd");
    copy(&host, &own, &odd);
    fs::write(odd.join("remap-fpath.img"), [0xff; 64]).expect("an image");
    let lines = index_probe::run(&host, &images(&[&own, &odd]));
    assert!(lines.contains(&format!("{} Unknown Directory None -", odd.display())), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("unseen: {}", odd.display()))), "{lines:#?}");
    assert_eq!(owner(&host, &[&own, &odd], &name(&link)), certain(&own));
}
