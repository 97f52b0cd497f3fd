// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a record beside the images decides that nothing else can: which of two objects that look alike the dump left.
//!
//! Each test first shows what criu-gc does without the record.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::{Criu, DumpOptions, FinalState, IptablesFlavour, TcpMode, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::disk::Disk;
use crate::filters::Filters;
use crate::places::{images_of, link_in};
use crate::recording::{RECORD, STORE, forget_stored, recording};
use crate::replaced::await_later_time;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "another file in a link's place is kept by the record, however old it looks", test: another_file },
    Case { name: "a link on a disk that is not mounted now is not gone by the record", test: other_filesystem },
    Case { name: "a link of copied images is the dump's by the record, whatever their times say", test: copied },
    Case { name: "a link that was written, and whose directory was changed, is not told by the record", test: changed },
    Case { name: "a newer dump's link of the same file is kept by the record alone", test: made_anew },
    Case { name: "a chain is removed by its record, without being named", test: chain },
    Case { name: "a newer dump's chain in the same namespace is kept by the record", test: newer_chain },
    Case { name: "a chain that closes the namespace for two dumps is not tied by a record", test: closed_twice },
    Case { name: "rules are found by their record, from another network namespace", test: elsewhere },
    Case { name: "rules of a newer dump of the same connection are kept by the record alone", test: newer_rules },
    Case {
        name: "rules of the dump that followed one with --leave-running are kept by the record",
        test: left_running,
    },
    Case { name: "rules that a restore left are removed by their record", test: left_by_restore },
    Case { name: "a record that others can write ties nothing, and keeps what it does not know", test: untrusted },
    Case { name: "a record of another machine or another start of it ties nothing", test: another_machine },
    Case { name: "a record of other images is not used", test: other_images },
]));

/// Takes the record away, or brings it back.
fn rename(images: &Path, from: &str, to: &str) {
    fs::rename(images.join(from), images.join(to)).expect("a record");
}

/// What criu-gc does with these images if there is no record, neither next to them nor in the store.
pub(crate) fn without_record<T>(host: &TestHost, images: &Path, look: impl FnOnce() -> T) -> T {
    let store = host.path(Path::new(STORE).parent().expect("a directory"));
    rename(images, RECORD, "aside");
    rename(&store, "records", "aside");
    let seen = look();
    rename(&store, "aside", "records");
    rename(images, "aside", RECORD);
    seen
}

/// The lines of objects, by what is to happen.
pub(crate) fn fates(tool: &Tool<'_>) -> Vec<String> {
    let is_object = |line: &String| line.starts_with("Link remap: ") || line.contains("ock");
    let fate = |line: String| line.rsplit_once("; ").map(|(_, fate)| fate.trim_end_matches(')').to_owned());
    let objects = tool.show().into_iter().filter(is_object);
    objects.filter(|line| !line.starts_with("Kept")).filter_map(fate).collect()
}

/// The same host, and a copy of the images with new times.
fn copy(host: &TestHost, images: &Path) -> PathBuf {
    let copy = images.with_file_name("copy");
    host.run("cp", &[&"-r", &images, &copy]);
    copy
}

/// The directory below the mount point is changed after the dump, as if the link had been removed there.
fn other_filesystem(criu: &Criu) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, "ext4", 16);
    let tree = host.start_workload(&[&"deleted", &disk.mountpoint.join("data")]);
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    drop(tree);
    host.run("umount", &[&disk.mountpoint]);
    fs::write(host.path(&disk.mountpoint).join("file"), "").expect("a new file");
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 1, "{removed}");
    assert!(removed.stdout.contains("(not known: ") && removed.stdout.contains("the dump's record names"), "{removed}");
    fs::remove_file(host.path(&disk.mountpoint).join("file")).expect("a file");
    host.run("mount", &[&disk.node, &disk.mountpoint]);
    tool.assert_removes_everything_since(&before);
    host.run("umount", &[&disk.mountpoint]);
    disk.release();
}

fn dump_file(criu: &Criu, host: &TestHost) -> PathBuf {
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let options = recording(host, &DumpOptions::default());
    criu.dump(host, &tree, &images_of(host), &options);
    await_later_time(&images_of(host));
    link_in(host.dir())
}

/// Its type, mode and size are those of the dumped file, and the images look younger.
fn another_file(criu: &Criu) {
    let host = TestHost::new();
    let link = dump_file(criu, &host);
    let content = fs::read(&link).expect("a file");
    let mode = fs::metadata(&link).expect("a file").permissions();
    fs::remove_file(&link).and_then(|()| fs::write(&link, content)).expect("another file");
    fs::set_permissions(&link, mode).expect("another file");
    await_later_time(&images_of(&host));
    let images = copy(&host, &images_of(&host));
    let tool = Tool::new(&host, &images);
    assert_eq!(without_record(&host, &images, || fates(&tool)), ["to be removed"], "void");
    assert_eq!(fates(&tool), ["kept: not-recorded"]);
    tool.assert_keeps_everything("not-recorded");
    assert_eq!(tool.show_objects()[0]["record"], "other");
    assert_eq!(tool.option("--allow", "not-recorded").run(&[]).code(), 0);
    assert!(!link.exists());
}

fn copied(criu: &Criu) {
    let host = TestHost::new();
    let link = dump_file(criu, &host);
    // Older than the link.
    let touch = format!("touch -d @1 {}/*.img", images_of(&host).display());
    host.run("sh", &[&"-c", &touch]);
    let tool = Tool::on(&host);
    assert_eq!(
        without_record(&host, &images_of(&host), || fates(&tool)),
        ["kept: tree-unknown, older-than-dump, changed-since"],
        "void"
    );
    assert_eq!(fates(&tool), ["to be removed"]);
    assert_eq!(tool.show_objects()[0]["record"], "same");
    assert_eq!(tool.run(&[]).code(), 0);
    assert!(!link.exists());
    tool.assert_finds_nothing();
}

/// Nothing tells a link that stayed from one that was made anew between two changes of the file.
fn changed(criu: &Criu) {
    let host = TestHost::new();
    dump_file(criu, &host);
    let other = host.dir().join("data.keep");
    let tool = Tool::on(&host);
    fs::set_permissions(&other, fs::metadata(&other).expect("a file").permissions()).expect("a change of the file");
    assert_eq!((fates(&tool), &tool.show_objects()[0]["record"]), (vec!["to be removed".to_owned()], &"same".into()));
    fs::write(host.dir().join("another"), "").expect("a change of the directory");
    assert_eq!(fates(&tool), ["kept: changed-since"]);
    assert_eq!(tool.show_objects()[0]["record"], "unclear");
    tool.assert_keeps_everything("changed-since");
    let removed = tool.option("--allow", "changed-since").run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
}

/// Dumps the tree with a record, restores it where no trace of that is left beside the images, and dumps it again.
fn make_stale(criu: &Criu, host: &TestHost, tree: &Workload) -> PathBuf {
    let (images, work) = (images_of(host), host.dir().with_file_name("work"));
    fs::create_dir(&work).expect("a new directory");
    let dump = criu.dump(host, tree, &images, &recording(host, &DumpOptions::default()));
    let extra = vec!["--work-dir".into(), work.into_os_string()];
    let restored = criu.restore(host, &dump, &DumpOptions { extra, ..DumpOptions::default() });
    criu.dump_again(host, restored, &dump, &images.with_file_name("newer"), &DumpOptions::default());
    images
}

/// The images were copied without their times, so that the newer link looks older than they are.
fn made_anew(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let before = Tool::on(&host).snapshot();
    let images = make_stale(criu, &host, &tree);
    await_later_time(&images.with_file_name("newer"));
    let copy = copy(&host, &images);
    let tool = Tool::new(&host, &copy);
    assert_eq!(without_record(&host, &copy, || fates(&tool)), ["to be removed"], "void");
    assert_eq!(fates(&tool), ["kept: changed-since"]);
    tool.assert_keeps_everything("changed-since");
    Tool::new(&host, &images.with_file_name("newer")).assert_removes_everything_since(&before);
}

/// Closes the namespace, and records it.
fn close_and_record(criu: &Criu, host: &TestHost, closed: &Closed<'_>, images: &str, flavour: IptablesFlavour) {
    let options = recording(host, &DumpOptions { flavour, ..DumpOptions::default() });
    criu.dump(host, &closed.start_tree(), &host.dir().with_file_name(images), &options);
    assert!(!closed.lets_packets_pass(), "void");
}

/// A namespace that the record names without proof.
const UNTIED: [&str; 2] = ["kept: untied-namespace"; 2];

fn chain(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let before = closed.tool("images").snapshot();
    close_and_record(criu, &host, &closed, "images", IptablesFlavour::Nft);
    let tool = closed.tool("images");
    without_record(&host, &images_of(&host), || closed.assert_untied("images"));
    // A new namespace may have the same devices, but not the same cookie.
    host.make_net_namespace("red");
    let lines = tool.assert_removes_everything_since(&before);
    let end = ", 2 jumps, named by the record of the dump; to be removed)";
    assert_eq!(lines.iter().filter(|line| line.ends_with(end)).count(), 2, "{lines:#?}");
    assert!(closed.lets_packets_pass());
    // Legacy rules have no handles: the record cannot tell them from another dump's.
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Legacy);
    close_and_record(criu, &host, &closed, "images", IptablesFlavour::Legacy);
    assert_eq!(fates(&closed.tool("images")), UNTIED);
    assert_eq!(closed.tool("images").show_objects()[0]["record"], "unclear");
    assert_eq!(closed.named("images").run(&[]).code(), 0);
    assert!(closed.lets_packets_pass());
}

fn newer_chain(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let before = closed.tool("images").snapshot();
    close_and_record(criu, &host, &closed, "images", IptablesFlavour::Nft);
    assert_eq!(closed.tool("images").run(&[]).code(), 0);
    assert!(closed.lets_packets_pass());
    close_and_record(criu, &host, &closed, "newer", IptablesFlavour::Nft);
    let stale = closed.named("images");
    assert_eq!(without_record(&host, &images_of(&host), || fates(&stale)), ["to be removed"; 2], "void");
    assert_eq!(fates(&stale), ["kept: not-recorded"; 2]);
    stale.assert_keeps_everything("not-recorded");
    closed.tool("newer").assert_removes_everything_since(&before);
}

/// As in a pod: one chain, and a pair of jumps from each dump.
fn closed_twice(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let trees = [closed.start_tree(), closed.start_tree()];
    for (tree, images) in trees.iter().zip(["images", "newer"]) {
        let options = recording(&host, &DumpOptions::default());
        criu.dump(&host, tree, &host.dir().with_file_name(images), &options);
    }
    let path = closed.namespace.path();
    let filters = Filters::of_namespace(&host, &path, IptablesFlavour::Nft);
    let jumps = filters.lines("iptables").iter().filter(|line| line.ends_with("-j CRIU")).count();
    assert_eq!(jumps, 4, "void: {:#?}", filters.lines("iptables"));
    assert_eq!(fates(&closed.tool("images")), ["kept: not-recorded, shared-lock, untied-namespace"; 2]);
    assert_eq!(fates(&closed.tool("newer")), ["kept: shared-lock, untied-namespace"; 2]);
    closed.tool("images").assert_keeps_everything("not-recorded");
    closed.tool("newer").assert_keeps_everything("untied-namespace");
    assert!(!closed.lets_packets_pass());
}

fn elsewhere(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let away = host.make_net_namespace("away");
    let tool = Tool::on(&host).inside(&away);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    without_record(&host, &images_of(&host), || tool.assert_keeps_everything("untied-namespace"));
    tool.assert_removes_everything_since(&before);
}

/// The images bear no sign of the restore, and there is no link that could.
fn newer_rules(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let before = Tool::on(&host).snapshot();
    let images = make_stale(criu, &host, &tree);
    let tool = Tool::new(&host, &images);
    assert_eq!(without_record(&host, &images, || fates(&tool)), ["to be removed"; 2], "void");
    assert_eq!(fates(&tool), ["kept: not-recorded"; 2]);
    tool.assert_keeps_everything("not-recorded");
    Tool::new(&host, &images.with_file_name("newer")).assert_removes_everything_since(&before);
    tool.assert_finds_nothing();
}

/// CRIU takes back what it had left right after the record was made.
fn left_running(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    let running = DumpOptions { final_state: FinalState::Running, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &running));
    assert_eq!(tool.difference_to(&before), NOTHING, "void: the dump left something");
    let newer = images_of(&host).with_file_name("newer");
    criu.dump(&host, &tree, &newer, &recording(&host, &DumpOptions::default()));
    assert_eq!(without_record(&host, &images_of(&host), || fates(&tool)), ["to be removed"; 2], "void");
    assert_eq!(fates(&tool), ["kept: not-recorded"; 2]);
    tool.assert_keeps_everything("not-recorded");
    Tool::new(&host, &newer).assert_removes_everything_since(&before);
}

/// A restore that closes the connections leaves the rules of the dump, and its statistics beside the images.
fn left_by_restore(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let tool = Tool::on(&host);
    let before = tool.snapshot();
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    drop(criu.restore(&host, &dump, &DumpOptions { tcp: TcpMode::Close, ..DumpOptions::default() }));
    assert_ne!(tool.difference_to(&before), NOTHING, "void: the restore left nothing");
    assert_eq!(without_record(&host, &images_of(&host), || fates(&tool)), ["kept: restored-since"; 2], "void");
    tool.assert_removes_everything_since(&before);
}

fn untrusted(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    close_and_record(criu, &host, &closed, "images", IptablesFlavour::Nft);
    forget_stored(&host);
    let tool = closed.tool("images");
    assert_eq!(fates(&tool), ["to be removed"; 2], "void");
    let images = images_of(&host);
    // Who can write the directory could also have taken away the traces of a restore.
    let both = ["kept: restored-since, untied-namespace"; 2];
    let record = (images.join(RECORD), 0o622, 0o600, UNTIED);
    for (path, mode, good, expected) in [(images.clone(), 0o777, 0o755, both), record] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a change of its mode");
        assert_eq!(fates(&tool), expected, "{}", path.display());
        tool.assert_keeps_everything("untied-namespace");
        let is_note = |line: &String| line.starts_with("Note: users other than root can write criu-gc-record.json");
        assert!(tool.show().iter().any(is_note), "{:#?}", tool.show());
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).expect("a change of its mode");
    }
    change_record(&images, "\"handle\": ", "\"handle\": 9");
    fs::set_permissions(&images, fs::Permissions::from_mode(0o777)).expect("a change of its mode");
    assert_eq!(fates(&closed.named("images")), ["kept: not-recorded, restored-since"; 2]);
    let allowing = closed.named("images").option("--allow", "not-recorded").option("--allow", "restored-since");
    assert_eq!(allowing.run(&[]).code(), 0);
    assert!(closed.lets_packets_pass());
}

/// Writes the record anew with another text in it.
fn change_record(images: &Path, text: &str, other: &str) {
    let record = fs::read_to_string(images.join(RECORD)).expect("a record");
    assert!(record.contains(text), "void: {record}");
    fs::write(images.join(RECORD), record.replace(text, other)).expect("a record");
}

fn another_machine(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    close_and_record(criu, &host, &closed, "images", IptablesFlavour::Nft);
    forget_stored(&host);
    let tool = closed.tool("images");
    assert_eq!(fates(&tool), ["to be removed"; 2], "void");
    for (field, note) in [
        ("\"boot_id\": \"", "Note: criu-gc-record.json was written before the last boot"),
        ("\"machine_id\": \"", "Note: criu-gc-record.json is not used: it was made on another machine"),
    ] {
        change_record(&images_of(&host), field, &format!("{field}x"));
        assert!(tool.show().iter().any(|line| line.starts_with(note)), "{:#?}", tool.show());
        closed.assert_untied("images");
    }
}

/// The directory was used again, without a record of the second dump.
fn other_images(criu: &Criu) {
    let host = TestHost::new();
    let words: [Word<'_>; 2] = [&"deleted", &host.dir().join("data")];
    let images = images_of(&host);
    let tree = host.start_workload(&words);
    let before = Tool::new(&host, &images).snapshot();
    let dump = criu.dump(&host, &tree, &images, &recording(&host, &DumpOptions::default()));
    let restored = criu.restore(&host, &dump, &DumpOptions::default());
    for name in ["stats-restore", "restore.log"] {
        fs::remove_file(images.join(name)).expect("a trace of the restore");
    }
    criu.dump_again(&host, restored, &dump, &images, &DumpOptions::default());
    let tool = Tool::new(&host, &images);
    let note = "Note: criu-gc-record.json is not used: it belongs to the dump with run id ";
    assert!(tool.show().iter().any(|line| line.starts_with(note)), "{:#?}", tool.show());
    tool.assert_removes_everything_since(&before);
}
