// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps that failed: what their log says was in the way, and that nothing is left where it proves that CRIU took all
//! back.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{
    Container, Criu, DumpOptions, IptablesFlavour, Launch, LockMethod, Network, TcpMode, TestHost, Word, Workload,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::places::{images_of, link_in};
use crate::recording::recording;
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "the link in the way of a dump is named with the checkpoint that it is of", test: obstacle },
    Case { name: "the link in the way of a dump is named with the record that has it", test: recorded },
    Case { name: "the link in the way of a dump is named with a record that outlived its images", test: stored },
    Case { name: "the link in the way of a dump is named, whatever became of its checkpoint", test: orphan },
    Case { name: "the link in the way of a dump is found by a log of errors only", test: quiet },
    Case { name: "the link in the way of a container's dump is found in its root directory", test: container },
    Case { name: "a failed dump was rolled back by its log of any name, place and detail", test: names },
    Case { name: "a log that does not prove a rollback leaves unknown what is left", test: unproven },
    Case { name: "a dump that its script undid left nothing, by its log", test: undone },
    Case { name: "a failed dump does not list the lock of another one", test: neighbour },
]));

/// A tree that a dump of its like is in the way of.
fn start(host: &TestHost, name: &str) -> Workload {
    let file = host.dir().join(name);
    host.start_workload(&[&"deleted", &file])
}

fn images(host: &TestHost, name: &str) -> PathBuf {
    host.dir().with_file_name(name)
}

/// Dumps a tree, and another one whose link would have the same name, which fails.
fn dump_twice(criu: &Criu, host: &TestHost, first: &DumpOptions) -> (Workload, PathBuf) {
    let tree = start(host, "one");
    criu.dump(host, &tree, &images(host, "old"), first);
    let other = start(host, "two");
    let failed = criu.try_dump(host, &other, &images(host, "new"), &DumpOptions::default());
    let log = fs::read_to_string(images(host, "new").join("dump.log")).expect("a log");
    assert!(failed.code() != 0 && log.contains("File exists"), "void: {log}");
    (other, link_in(host.dir()))
}

/// The note about the link, of a run that finds nothing and has status 0.
fn note(tool: &Tool<'_>) -> String {
    let before = tool.snapshot();
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stderr.as_str()), (0, ""), "{removed}");
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert_eq!(removed.stdout.lines().last(), Some("Nothing is left."), "{removed}");
    assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 0);
    let shown = tool.show();
    let notes: Vec<&String> = shown.iter().filter(|line| line.contains("the dump failed because ")).collect();
    let [note] = notes[..] else { panic!("{shown:#?}") };
    assert!(removed.stdout.lines().any(|line| line == note), "{removed}");
    note.clone()
}

fn obstacle(criu: &Criu) {
    let host = TestHost::new();
    let (other, link) = dump_twice(criu, &host, &DumpOptions::default());
    let said = note(&Tool::new(&host, &images(&host, "new")));
    let (old, directory) = (images(&host, "old"), host.dir().display().to_string());
    let start = format!(
        "Note: dump.log: the dump failed because {}, the link that it needs for {directory}/two, already exists; it is inode ",
        link.display()
    );
    assert!(said.starts_with(&start), "{start}: {said}");
    assert!(said.contains(", owner 0, names: 2, also one.keep there; "), "{said}");
    let whose =
        format!("it is probably of the checkpoint in {0}, which names this link; criu-gc -D {0} --show", old.display());
    assert!(said.ends_with(&whose), "{whose}: {said}");
    assert_eq!(Tool::new(&host, &old).run(&[]).code(), 0);
    assert!(note(&Tool::new(&host, &images(&host, "new"))).ends_with("already exists; it is gone now"));
    criu.dump(&host, &other, &images(&host, "newer"), &DumpOptions::default());
    Tool::new(&host, &images(&host, "newer")).run(&[]);
}

fn recorded(criu: &Criu) {
    let host = TestHost::new();
    let options = recording(&host, &DumpOptions::default());
    dump_twice(criu, &host, &options);
    let said = note(&Tool::new(&host, &images(&host, "new")));
    let whose = format!("the record of the dump in {} has this inode; ", images(&host, "old").display());
    assert!(said.contains(&whose), "{whose}: {said}");
}

fn stored(criu: &Criu) {
    let host = TestHost::new();
    let options = recording(&host, &DumpOptions::default());
    dump_twice(criu, &host, &options);
    fs::remove_dir_all(images(&host, "old")).expect("images");
    let tool = Tool::new(&host, &images(&host, "new"));
    let said = note(&tool);
    let (_, whose) = said.split_once("; the record /var/lib/criu-gc/records/").unwrap_or_else(|| panic!("{said}"));
    let (record, command) = whose.split_once(".json has this inode; ").unwrap_or_else(|| panic!("{said}"));
    assert_eq!(command, format!("criu-gc -D /var/lib/criu-gc/records/{record}.json --show"));
    // One that others could have written says nothing.
    host.run("chmod", &[&"0777", &"/var/lib/criu-gc/records"]);
    assert!(note(&tool).contains("; no checkpoint beside this one names it"), "{}", note(&tool));
}

fn orphan(criu: &Criu) {
    let host = TestHost::new();
    let (_other, link) = dump_twice(criu, &host, &DumpOptions::default());
    fs::remove_dir_all(images(&host, "old")).expect("images");
    let said = note(&Tool::new(&host, &images(&host, "new")));
    let shows = format!(
        "no checkpoint beside this one names it: perhaps one that was deleted left it. To look at it: ls -li {}",
        link.display()
    );
    assert!(said.contains(&shows) && said.contains(" -xdev -inum "), "{shows}: {said}");
}

/// Then the log has only the file that the link is for.
fn quiet(criu: &Criu) {
    let host = TestHost::new();
    let (other, link) = dump_twice(criu, &host, &DumpOptions::default());
    let options = DumpOptions { extra: vec!["-v1".into()], ..DumpOptions::default() };
    assert_ne!(criu.try_dump(&host, &other, &images(&host, "quiet"), &options).code(), 0);
    let tool = Tool::new(&host, &images(&host, "quiet"));
    let start = format!(
        "Note: dump.log: the dump failed because the link remap that it needs for {}/two already exists; {} is the only link \
         there; it is inode ",
        host.dir().display(),
        link.display()
    );
    let said = note(&tool);
    assert!(said.starts_with(&start) && said.contains(" is probably of the checkpoint in "), "{start}: {said}");
    fs::write(host.dir().join("link_remap.999"), "").expect("a new file");
    let said = note(&tool);
    assert!(said.contains("; it may be one of 2, for example ") && said.ends_with("/link_remap.*"), "{said}");
}

/// The log's paths are those of the container, which runs on.
fn container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let words: [Word<'_>; 2] = [&"deleted", &"/tmp/one"];
    let tree = Launch::new(&words).container(&container).start(&host);
    criu.dump(&host, &tree, &images(&host, "old"), &DumpOptions::default());
    let other = Launch::new(&[&"deleted", &"/tmp/two"]).container(&container).start(&host);
    let failed = criu.try_dump(&host, &other, &images(&host, "new"), &DumpOptions::default());
    let log = fs::read_to_string(images(&host, "new").join("dump.log")).expect("a log");
    assert!(failed.code() != 0 && log.contains("File exists"), "void: {log}");
    let said = note(&Tool::new(&host, &images(&host, "new")));
    assert!(said.contains(" because /tmp/link_remap.") && said.contains("; it is inode "), "{said}");
    assert!(said.ends_with(&format!("criu-gc -D {} --show", images(&host, "old").display())), "{said}");
}

/// A dump that fails because of a connection, and takes back a link and a lock.
fn fail(criu: &Criu, host: &TestHost, tree: &Workload, extra: &[&Path]) {
    let extra = extra.iter().map(|word| word.as_os_str().to_owned()).collect();
    let options = DumpOptions { tcp: TcpMode::Refused, extra, ..DumpOptions::default() };
    assert_eq!(criu.try_dump(host, tree, &images_of(host), &options).code(), 1);
}

fn assert_nothing_left(tool: &Tool<'_>, log: &str) {
    let said = format!("Note: {log} says that the dump failed and that CRIU removed what it had created");
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), removed.stderr.as_str()), (0, ""), "{removed}");
    assert!(removed.stdout.lines().any(|line| line == said), "{said}: {removed}");
    tool.assert_finds_nothing();
}

fn names(criu: &Criu) {
    let log = |words: &[&str], name: &str| {
        let host = TestHost::new();
        let (tree, before) = start_tree_of_all(&host);
        let words: Vec<&Path> = words.iter().map(Path::new).collect();
        fail(criu, &host, &tree, &words);
        assert_eq!(Tool::on(&host).difference_to(&before), NOTHING, "void: criu took nothing back");
        assert_nothing_left(&Tool::on(&host), name);
        drop(tree);
        assert_nothing_left(&Tool::on(&host), name);
    };
    log(&[], "dump.log");
    log(&["-v1"], "dump.log");
    log(&["--log-file", "failed.txt"], "failed.txt");
    let host = TestHost::new();
    let (tree, _) = start_tree_of_all(&host);
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    fail(criu, &host, &tree, &[Path::new("--work-dir"), &work, Path::new("--log-file"), Path::new("criu-dump.log")]);
    let tool = Tool::on(&host);
    assert_eq!(tool.run(&[]).code(), 1, "the log is elsewhere");
    assert_nothing_left(&tool.option("-W", &work), "criu-dump.log");
}

fn unproven(criu: &Criu) {
    let spoil = |spoil: &dyn Fn(&Path)| {
        let host = TestHost::new();
        let (tree, _) = start_tree_of_all(&host);
        fail(criu, &host, &tree, &[]);
        spoil(&images_of(&host));
        let tool = Tool::on(&host);
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 1, "{removed}");
        assert!(removed.stdout.contains("Not known: inventory.img is missing: "), "{removed}");
    };
    let log = |images: &Path| images.join("dump.log");
    // With all its detail a log names whatever there was.
    let less_detailed = |images: &Path| -> String {
        let text = fs::read_to_string(log(images)).expect("a log");
        let is_detail = |line: &&str| line.contains("Seized task ") || line.contains("Dumping path for ");
        text.lines().filter(|line| !is_detail(line)).flat_map(|line| [line, "\n"]).collect()
    };
    spoil(&|images| chown(log(images), Some(1000), None).expect("root"));
    spoil(&|images| fs::set_permissions(images, fs::Permissions::from_mode(0o777)).expect("root"));
    spoil(&|images| fs::remove_file(log(images)).expect("a log"));
    spoil(&|images| {
        // As of a dump that was killed before the end.
        let text = less_detailed(images);
        let end = text.find("Dumping FAILED").expect("a failure");
        fs::write(log(images), &text[..end]).expect("a log");
    });
    spoil(&|images| {
        let text = less_detailed(images);
        let error = "Unlock network\n(00.1) Error (criu/netfilter.c:105): Iptables configuration failed\n";
        fs::write(log(images), text.replace("Unlock network\n", error)).expect("a log");
    });
    spoil(&|images| {
        // The directory was used again, a moment later, by a dump that was killed.
        std::thread::sleep(Duration::from_millis(100));
        let files = images.join("files.img");
        let bytes = fs::read(&files).expect("an image");
        fs::write(files, bytes).expect("an image");
    });
}

fn neighbour(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let host = TestHost::new();
        let closed = Closed::new(&host, IptablesFlavour::Nft);
        let tree = closed.start_tree();
        criu.dump(&host, &tree, &images(&host, "old"), &DumpOptions { lock, ..DumpOptions::default() });
        assert!(!closed.lets_packets_pass(), "void");
        let red = host.make_net_namespace("red");
        let words: [Word<'_>; 2] = [&"listen-connect", &"127.0.0.1:0"];
        let other = Launch::new(&words).network(Network::Named(red)).start(&host);
        let options = DumpOptions { lock, tcp: TcpMode::Refused, ..DumpOptions::default() };
        assert_eq!(criu.try_dump(&host, &other, &images_of(&host), &options).code(), 1);
        assert_nothing_left(&Tool::on(&host), "dump.log");
        assert!(!closed.lets_packets_pass());
    }
}

/// The images are whole then.
fn undone(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let script = host.dir().with_file_name("undo");
    fs::write(&script, "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-dump ]\n").expect("a new file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a new file");
    let options = DumpOptions { extra: vec!["--action-script".into(), script.into()], ..DumpOptions::default() };
    assert_ne!(criu.try_dump(&host, &tree, &images_of(&host), &options).code(), 0);
    assert!(images_of(&host).join("inventory.img").exists(), "void: the images are not whole");
    let tool = Tool::on(&host);
    assert_eq!(tool.difference_to(&before), NOTHING, "void: criu took nothing back");
    assert_nothing_left(&tool, "dump.log");
    // A restore may have followed.
    fs::write(images_of(&host).join("restore.log"), "(00.1) Error (criu/cr-restore.c:1): Restoring FAILED.\n")
        .expect("a new file");
    assert!(!tool.show().iter().any(|line| line.contains("says that the dump failed")), "{:#?}", tool.show());
}
