// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Records that outlive their images: what the images left is removed by the record, and by nothing but its identities.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use testkit::{
    CommandExt, Container, Criu, DumpOptions, FinalState, IptablesFlavour, Launch, LockMethod, TestHost, Word, Workload,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::places::{has_link, images_of, link_in};
use crate::recorded::fates;
use crate::recording::{RECORD, STORE, record_of, recording};
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool, binary};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "links and rules of a dump are removed by its record, without its images", test: all },
    Case { name: "what a record names is shown as JSON", test: json },
    Case { name: "the next dump succeeds after the removal by a record", test: next_dump },
    Case { name: "a table, and a chain, are removed by their record, without the images", test: closed },
    Case { name: "the links of a container are removed by its record, when it has ended", test: container },
    Case { name: "a record leads to its images where they still are", test: with_images },
    Case { name: "images of which nothing is left take their stored record with them", test: pruned_by_images },
    Case { name: "nothing is removed by a record while the tree is alive", test: alive },
    Case { name: "a user's file in the place of a recorded link is kept", test: other_file },
    Case { name: "what a stranger may have written into a record removes nothing", test: tampered },
    Case { name: "a network namespace that ended is gone by the record", test: ended_namespace },
    Case { name: "a store that others can write is not used, and the dump succeeds", test: open_store },
]));

/// The stored record of these images, as the host has it.
pub(crate) fn stored(images: &Path) -> PathBuf {
    let run_id = record_of(images)["dump"]["run_id"].as_str().expect("a run id").to_owned();
    Path::new(STORE).join(format!("{run_id}.json"))
}

/// Dumps the tree, forgets the images, and gives the record.
pub(crate) fn dump_and_discard(criu: &Criu, host: &TestHost, tree: &Workload, options: &DumpOptions) -> PathBuf {
    criu.dump(host, tree, &images_of(host), &recording(host, options));
    let record = stored(&images_of(host));
    fs::remove_dir_all(images_of(host)).expect("images");
    record
}

/// The record removes all, and goes with it.
#[track_caller]
fn assert_removes_all(host: &TestHost, record: &Path, before: &testkit::Snapshot) -> Vec<String> {
    let tool = Tool::new(host, record);
    assert_ne!(tool.difference_to(before), NOTHING, "void: the dump left nothing");
    let lines = tool.show();
    assert_eq!(fs::metadata(host.path(record)).expect("a record").permissions().mode(), 0o100_600);
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stderr.as_str()), (0, ""), "{removed}");
    assert_eq!(tool.difference_to(before), NOTHING, "after: {}", removed.stdout);
    assert!(!host.path(record).exists(), "{}", removed.stdout);
    lines
}

fn all(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    drop(tree);
    let lines = assert_removes_all(&host, &record, &before);
    assert_eq!(lines[0], "Layout: record of a dump, without its images", "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with("to be removed)")).count(), 4, "{lines:#?}");
}

fn json(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    // As a positional argument.
    let shown = host.command(binary()).args(["--show", "--json"]).arg(&record).succeed().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("one JSON document");
    let checkpoint = &shown["checkpoints"][0];
    assert_eq!((&checkpoint["layout"], &checkpoint["summary"]["removed"]), (&"record".into(), &4.into()), "{shown:#}");
    assert_eq!((&checkpoint["objects"][0]["record"], &checkpoint["tree"]["state"]), (&"same".into(), &"dead".into()));
    assert_removes_all(&host, &record, &before);
}

/// What is left fails every later dump of such a tree.
fn next_dump(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("one")]);
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    drop(tree);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("two")]);
    let failed = criu.try_dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    assert!(!failed.status.success(), "void: {failed}");
    let log = fs::read_to_string(images_of(&host).join("dump.log")).expect("a log");
    assert!(log.contains("link_remap.") && log.contains("File exists"), "void: {log}");
    assert_eq!(Tool::new(&host, &record).run(&[]).code(), 0);
    fs::remove_dir_all(images_of(&host)).expect("images");
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    assert_eq!(Tool::on(&host).run(&[]).code(), 0);
    assert!(!has_link(host.dir()));
}

fn closed(criu: &Criu) {
    for lock in [LockMethod::Nftables, LockMethod::Iptables] {
        let host = TestHost::new();
        let closed = Closed::new(&host, IptablesFlavour::Nft);
        let before = closed.tool("images").snapshot();
        let options = DumpOptions { lock, ..DumpOptions::default() };
        let record = dump_and_discard(criu, &host, &closed.start_tree(), &options);
        assert!(!closed.lets_packets_pass(), "void");
        assert_removes_all(&host, &record, &before);
        assert!(closed.lets_packets_pass());
    }
}

/// One link is in the container's root directory, the other ended with its tmpfs.
fn container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").tmpfs("/run".as_ref());
    fs::create_dir(container.root().join("run")).expect("a new directory");
    let words: [Word<'_>; 4] = [&"deleted", &"/tmp/one", &"deleted", &"/run/two"];
    let tree = Launch::new(&words).container(&container).start(&host);
    let before = Tool::on(&host).snapshot();
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    drop(tree);
    let lines = assert_removes_all(&host, &record, &before);
    let at = |state: &str| lines.iter().filter(|line| line.ends_with(state)).count();
    assert_eq!(
        (at("; to be removed)"), lines.iter().filter(|line| line.contains("(gone: ")).count()),
        (1, 1),
        "{lines:#?}"
    );
}

/// Where the record says, or next to it after both were moved.
fn with_images(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let images = images_of(&host);
    criu.dump(&host, &tree, &images, &recording(&host, &DumpOptions::default()));
    let (record, moved) = (stored(&images), images.with_file_name("moved"));
    let tool = |path: &Path| Tool::new(&host, path);
    let is_by_record = |lines: Vec<String>| lines.iter().any(|line| line.starts_with("Layout: record of a dump"));
    let directory = |path: &Path| {
        let shown = tool(path).run(&["--show", "--json"]).stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("one JSON document");
        shown["checkpoints"][0]["images_directory"]["text"].as_str().map(PathBuf::from)
    };
    assert!(!is_by_record(tool(&record).show()));
    assert_eq!(directory(&record), Some(images.clone()));
    fs::rename(&images, &moved).expect("images");
    assert!(is_by_record(tool(&record).show()));
    assert_eq!(directory(&moved.join(RECORD)), Some(moved.clone()));
    // Other images in the place of these.
    criu.dump(&host, &host.start_workload(&[]), &images, &DumpOptions::default());
    assert!(is_by_record(tool(&record).show()));
    tool(&images).run(&[]);
    tool(&moved.join(RECORD)).assert_removes_everything_since(&before);
    assert!(!host.path(&record).exists() && moved.join(RECORD).exists());
}

fn pruned_by_images(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let record = stored(&images_of(&host));
    let tool = Tool::on(&host);
    // What is kept is still known.
    fs::write(host.dir().join("another"), "").expect("a change of the directory");
    let link = link_in(host.dir());
    fs::set_permissions(&link, fs::Permissions::from_mode(0o600)).expect("a change of the link");
    assert_eq!(tool.run(&[]).code(), 1);
    assert!(host.path(&record).exists());
    fs::remove_file(host.dir().join("another")).expect("a file");
    fs::remove_file(link).expect("a link");
    assert_eq!(tool.run(&[]).code(), 0);
    assert!(!host.path(&record).exists());
    drop((tree, before));
}

/// The tree is stopped, so CRIU keeps what it needs.
fn alive(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let stopped = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
    let record = dump_and_discard(criu, &host, &tree, &stopped);
    let tool = Tool::new(&host, &record);
    assert_eq!(fates(&tool), ["kept: tree-alive"; 4]);
    tool.assert_keeps_everything("tree-alive");
    assert!(host.path(&record).exists());
    drop(tree);
    assert_removes_all(&host, &record, &before);
}

/// It has the name, type, mode, size and times of the link.
fn other_file(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let before = Tool::on(&host).snapshot();
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    let (link, aside) = (link_in(host.dir()), host.dir().join("aside"));
    fs::rename(&link, &aside).expect("a link");
    host.run("cp", &[&"--preserve=all", &aside, &link]);
    let tool = Tool::new(&host, &record);
    assert_eq!(fates(&tool), ["kept: not-recorded, changed-since"]);
    tool.assert_keeps_everything("not-recorded");
    assert!(host.path(&record).exists());
    fs::rename(&aside, &link).expect("a link");
    // To rename it changed both it and its directory.
    assert_eq!(fates(&tool), ["kept: changed-since"]);
    assert_eq!(Tool::new(&host, &record).option("--allow", "changed-since").run(&[]).code(), 0);
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert!(!has_link(host.dir()) && !host.path(&record).exists());
}

fn tampered(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let record = dump_and_discard(criu, &host, &tree, &DumpOptions::default());
    drop(tree);
    let (theirs, file) = (host.dir().with_file_name("theirs"), host.path(&record));
    fs::create_dir(&theirs).expect("a new directory");
    let copy = theirs.join("any name");
    let tool = Tool::new(&host, &copy);
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a change of its mode");
    };
    for (owner, of_file, of_directory) in [(65_534, 0o600, 0o755), (0, 0o666, 0o755), (0, 0o600, 0o777)] {
        fs::copy(&file, &copy).expect("a copy");
        chown(&copy, Some(owner), None).expect("a change of its owner");
        mode(&copy, of_file);
        mode(&theirs, of_directory);
        let fates = fates(&tool);
        assert!(fates.len() == 4 && fates.iter().all(|fate| fate.contains("foreign-images")), "{fates:?}");
        tool.assert_keeps_everything("foreign-images");
        mode(&theirs, 0o755);
    }
    // A record that is none.
    for text in ["{\"criu_gc_record\": 1}", "{\"criu_gc_record\": 9, \"links\": []}"] {
        fs::write(&copy, text).expect("a file");
        let refused = tool.run(&[]);
        assert_eq!(refused.code(), 2, "{refused}");
        assert!(refused.stderr.contains("cannot use the record "), "{refused}");
    }
    // Whose copy it is does not matter if nobody else can have written it.
    fs::copy(&file, &copy).expect("a copy");
    chown(&copy, Some(0), None).expect("a change of its owner");
    mode(&copy, 0o600);
    assert_eq!(tool.run(&[]).code(), 0);
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert!(!file.exists() && copy.exists());
}

fn ended_namespace(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let record = dump_and_discard(criu, &host, &closed.start_tree(), &DumpOptions::default());
    let tool = Tool::new(&host, &record);
    assert_eq!(fates(&tool), ["to be removed"; 2], "void");
    host.run("ip", &[&"netns", &"delete", &closed.namespace.name()]);
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stdout.lines().last()), (0, Some("Nothing is left.")), "{removed}");
    assert!(!host.path(&record).exists());
}

fn open_store(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    fs::create_dir(host.path(STORE)).expect("a new directory");
    fs::set_permissions(host.path(STORE), fs::Permissions::from_mode(0o777)).expect("a change of its mode");
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let message = "criu-gc: error: cannot store the record: users other than root";
    assert!(dump.log().contains(message) && dump.log().contains("criu-gc: recorded in "), "{}", dump.log());
    assert_eq!(fs::read_dir(host.path(STORE)).expect("a directory").count(), 0);
    let note = "Note: the store of records cannot be used: users other than root";
    assert!(Tool::on(&host).show().iter().any(|line| line.starts_with(note)));
    Tool::on(&host).assert_removes_everything_since(&before);
}
