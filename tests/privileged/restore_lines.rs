// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Command lines for CRIU with another word, and words that were meant as something else, on real dumps.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use testkit::{
    CommandExt, Criu, DumpOptions, Finished, IptablesFlavour, Launch, LockMethod, Network, Snapshot, TestHost, Word,
    Workload,
};

use crate::case::{Case, Cases};
use crate::filters;
use crate::places::{has_link, images_of, link_in, make_directory};
use crate::tool::{NOTHING, Tool, binary, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "words that were meant as a command or an option remove nothing of a dump", test: mistaken_words },
    Case { name: "of two dumps of which one cannot be used nothing is removed", test: one_of_two },
    Case { name: "a line for criu restore works with the word gc in place of its own", test: replaced_word },
    Case { name: "every option of criu restore is accepted after the word gc", test: every_option },
    Case { name: "a closed namespace is named as CRIU and ip netns name it", test: namespace },
    Case { name: "a directory of several dumps is all of them, and with one it is that one", test: parents },
    Case { name: "the directory of a page server is called that, and the dump is cleaned", test: page_server },
    Case { name: "--show makes its log in a directory of another user", test: log_of_another },
]));

/// A tree whose dump leaves a link remap in the directory.
fn start(host: &TestHost, directory: &Path) -> Workload {
    let file = directory.join("data");
    let words: [Word<'_>; 2] = [&"deleted", &file];
    host.start_workload(&words)
}

/// Dumps such a tree, and tells what the host held before.
fn dump(criu: &Criu, host: &TestHost) -> Snapshot {
    let tree = start(host, host.dir());
    let before = Tool::on(host).snapshot();
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
    before
}

/// criu-gc with nothing but these words, in the directory above the images.
fn criu_gc(host: &TestHost, words: &[&str]) -> Finished {
    let place = images_of(host).with_file_name("");
    let script = "cd \"$0\" && exec \"$@\"";
    host.command("sh").arg("-c").arg(script).arg(place).arg(binary()).args(words).finish()
}

fn mistaken_words(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tool = Tool::on(&host);
    let before = dump(criu, &host);
    let left = tool.snapshot();
    for words in [
        &["list", "images"][..],
        &["status", "images"],
        &["restore", "images"],
        &["images", "show"],
        &["clean", "--dry-rnu", "images"],
        &["clean", "images", "--", "--dry-run"],
        &["images", "imgaes"],
        &["--list", "images"],
    ] {
        let refused = criu_gc(&host, words);
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{words:?} {refused}");
        assert!(refused.stderr.contains("did you mean --show?"), "{words:?} {refused}");
        assert_eq!(tool.difference_to(&left), NOTHING, "{words:?} {refused}");
    }
    for words in
        [&["show", "images"][..], &["-D", "images", "show"], &["clean", "--dry-run", "images"], &["images", "-n"]]
    {
        let shown = criu_gc(&host, words);
        assert!(shown.code() == 0 && shown.stdout.contains("; to be removed)"), "{words:?} {shown}");
        assert_eq!(tool.difference_to(&left), NOTHING, "{words:?} {shown}");
    }
    let removed = criu_gc(&host, &["clean", "images"]);
    assert_eq!((removed.code(), tool.difference_to(&before)), (0, NOTHING.map(String::from).to_vec()), "{removed}");
}

fn one_of_two(criu: &Criu) {
    let host = TestHost::new();
    let (images, others) = (images_of(&host), host.dir().with_file_name("other images"));
    let [one, other] = ["one", "other"].map(|name| make_directory(&host, name));
    let trees = [start(&host, &one), start(&host, &other)];
    let before = Tool::on(&host).snapshot();
    criu.dump(&host, &trees[0], &images, &DumpOptions::default());
    criu.dump(&host, &trees[1], &others, &DumpOptions::default());
    let image = others.join("files.img");
    let whole = fs::read(&image).expect("an image");
    let times = fs::metadata(&image).expect("an image");
    fs::write(&image, "no image").expect("an image");
    let left = Tool::on(&host).snapshot();
    for arguments in [&[][..], &["--yes"], &["--allow", "changed-since"], &["--json"]] {
        let refused = Tool::on(&host).option("-D", &others).run(arguments);
        assert!(refused.code() == 2 && refused.stderr.contains("nothing was removed"), "{refused}");
        assert_eq!(Tool::on(&host).difference_to(&left), NOTHING, "{refused}");
    }
    fs::write(&image, whole).expect("an image");
    let file = fs::File::options().write(true).open(&image).expect("an image");
    file.set_modified(times.modified().expect("a time")).expect("a time");
    Tool::on(&host).option("-D", &others).assert_removes_everything_since(&before);
}

/// The words of the testkit's own restores, and what scripts add to them.
fn replaced_word(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let file = host.dir().join("data");
    let words: [Word<'_>; 4] = [&"deleted", &file, &"listen-connect", &"127.0.0.1:0"];
    let tree = host.start_workload(&words);
    let before = Tool::on(&host).snapshot();
    let options = DumpOptions::default();
    let dumped = criu.dump(&host, &tree, &images_of(&host), &options);
    let line = criu.restore_command(&host, &dumped, &options);
    let line: Vec<&str> = line.get_args().map(|word| word.to_str().expect("text")).collect();
    let at = line.iter().position(|word| *word == "restore").expect("CRIU's word");
    let more = [
        "--shell-job",
        "--file-locks",
        "--link-remap",
        "-x",
        "--manage-cgroups=soft",
        "--pidfile",
        "/run/pid",
        "-t",
        "1",
        "--root",
        "/",
        "--external",
        "tty[1:2]",
        "--no-default-config",
        "--ghost-limit",
        "1M",
        "--cpu-cap=none",
    ];
    let log = fs::write(images_of(&host).join("restore.log"), "(00.000000) Version: 4.3\n");
    assert!(log.is_ok());
    for word in ["show", "gc"] {
        let words = [&[word], &line[at + 1..], &more].concat();
        let run = criu_gc(&host, &words);
        assert_eq!((run.code(), run.stderr.is_empty()), (0, false), "{run}");
        assert!(run.stderr.contains("without effect: ") && run.stderr.contains("--shell-job"), "{run}");
    }
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

/// Options of `criu check`, and one that CRIU itself refuses.
const NOT_OF_RESTORE: [&str; 6] = ["all", "extra", "experimental", "feature", "ms", "help"];

/// CRIU names its options itself, if a name is too short to be one.
fn names_of_options(criu: &Criu, host: &TestHost) -> BTreeSet<String> {
    let told = |word: &str| criu.command(host, IptablesFlavour::Nft).args(["no-command", word]).finish().stderr;
    let mut names = BTreeSet::new();
    for letter in 'a'..='z' {
        let told = told(&format!("--{letter}"));
        let line = told.lines().find(|line| line.contains("ambiguous") || line.contains("requires an argument"));
        let quoted = line.unwrap_or_default().split('\'').filter_map(|part| part.strip_prefix("--"));
        names.extend(quoted.filter(|name| name.len() > 1).map(str::to_owned));
    }
    names
}

/// A value that is right, for options that judge theirs.
fn value_of(name: &str, images: &Path) -> String {
    match name {
        "join-ns" => "uts:/proc/self/ns/uts".to_owned(),
        "ext-mount-map" => "auto".to_owned(),
        "inherit-fd" => "fd[0]:pipe:[1]".to_owned(),
        "external" => "veth[eth0]:veth0".to_owned(),
        "config" => "/dev/null".to_owned(),
        "network-lock" => "nftables".to_owned(),
        "pre-dump-mode" => "read".to_owned(),
        "file-validation" => "buildid".to_owned(),
        "image-io-mode" => "direct".to_owned(),
        "empty-ns" => "net".to_owned(),
        "root" => "/".to_owned(),
        "images-dir" | "work-dir" => images.display().to_string(),
        "log-file" => "/dev/shm/gc.log".to_owned(),
        _ => "1".to_owned(),
    }
}

fn every_option(criu: &Criu) {
    let host = TestHost::new();
    let before = dump(criu, &host);
    let names = names_of_options(criu, &host);
    assert!(names.len() > 100 && names.contains("tcp-established") && names.contains("join-ns"), "void: {names:?}");
    let images = images_of(&host);
    for name in names.iter().filter(|name| !NOT_OF_RESTORE.contains(&name.trim_start_matches("no-"))) {
        let option = format!("--{name}");
        let told = criu.command(&host, IptablesFlavour::Nft).args(["no-command", &option]).finish().stderr;
        let mut words = vec!["gc", "--show", "-D", images.to_str().expect("text"), &option];
        let value = value_of(name, &images);
        if told.contains("requires an argument") {
            words.push(&value);
        }
        let shown = criu_gc(&host, &words);
        assert_eq!(shown.code(), 0, "{words:?} {shown}");
        assert!(name == "version" || shown.stdout.contains("; to be removed)"), "{words:?} {shown}");
    }
    for wrong in ["--tcp-estabilshed", "--feature", "--no-root", "--manage-cgroups=all", "--frozen"] {
        let refused = criu_gc(&host, &["gc", "-D", images.to_str().expect("text"), wrong]);
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{wrong} {refused}");
    }
    let _ = fs::remove_file(host.path("/dev/shm/gc.log"));
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn namespace(criu: &Criu) {
    let host = TestHost::new();
    let blue = host.make_net_namespace("blue");
    filters::make_tables(&host, None, IptablesFlavour::Nft);
    filters::make_tables(&host, Some(&blue.path()), IptablesFlavour::Nft);
    let inode = host.path(blue.path()).metadata().expect("a namespace").ino();
    let before = Tool::on(&host).snapshot();
    let launch = Launch::new(&[&"listen", &"0.0.0.0:0"]);
    let tree = launch.network(Network::Named(blue)).start(&host);
    let extra = vec!["--external".into(), format!("net[{inode}]:pod").into()];
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions { extra, ..DumpOptions::default() });
    let untied = Tool::on(&host).run(&[]);
    let is_unknown = untied.stdout.contains("(not known: nothing tells which network namespace it is in");
    assert!(untied.code() == 1 && is_unknown && !untied.stdout.contains("removed)"), "{untied}");
    let is_found = |tool: &Tool<'_>, arguments: &[&str]| {
        let shown = tool.run(&[arguments, &["--show"]].concat());
        assert!(shown.code() == 0, "{shown}");
        shown.stdout.contains("; to be removed)") && !shown.stdout.contains("; kept: ")
    };
    let tool = Tool::on(&host);
    assert!(is_found(&tool, &["--netns", "blue"]) && is_found(&tool, &["-J", "net:/run/netns/blue"]));
    assert!(is_found(&tool, &["--external", "net[pod]:/run/netns/blue"]));
    assert!(!is_found(&tool, &["--inherit-fd", "fd[0]:socket:[5]"]) && !is_found(&tool, &["-J", "uts:/x"]));
    for wrong in [&["--netns", "green"][..], &["--netns", "./blue"], &["-J", "net:/run/netns/green"]] {
        let refused = tool.run(wrong);
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{refused}");
    }
    // As runtimes hand it to criu restore: an open file with the key of the images.
    let inherits = ["sh", "-c", "exec 7</run/netns/blue; exec \"$0\" \"$@\""];
    let tool = Tool::on(&host).under(&inherits).option("--inherit-fd", "fd[7]:pod");
    tool.assert_removes_everything_since(&before);
}

fn parents(criu: &Criu) {
    let host = TestHost::new();
    let parent = host.dir().with_file_name("dumps");
    let [one, other] = ["one", "other"].map(|name| make_directory(&host, name));
    let trees = [start(&host, &one), start(&host, &other)];
    let before = Tool::on(&host).snapshot();
    criu.dump(&host, &trees[0], &parent.join("monday"), &DumpOptions::default());
    criu.dump(&host, &trees[1], &parent.join("tuesday"), &DumpOptions::default());
    let shown = Tool::new(&host, &parent).show();
    for name in ["monday", "tuesday"] {
        let heading = format!("Checkpoint {}:", parent.join(name).display());
        assert!(shown.contains(&heading), "{heading}: {shown:#?}");
    }
    // One that cannot be used keeps all.
    let broken = parent.join("wednesday");
    fs::create_dir(&broken).expect("a directory");
    fs::write(broken.join("inventory.img"), "no image").expect("a file");
    let refused = Tool::new(&host, &parent).run(&[]);
    assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{refused}");
    assert!(has_link(&one) && has_link(&other));
    fs::remove_dir_all(&broken).expect("a directory");
    let removed = Tool::new(&host, &parent.join("tuesday")).option("-D", parent.join("./tuesday/")).run(&[]);
    assert_eq!((removed.code(), removed.stdout.matches("; removed)").count()), (0, 1), "{removed}");
    assert!(link_in(&one).exists() && !has_link(&other));
    fs::rename(parent.join("tuesday"), parent.with_file_name("elsewhere")).expect("a directory");
    Tool::new(&host, &parent).assert_removes_everything_since(&before);
    // All at once.
    let trees = ["third", "fourth"].map(|name| start(&host, &make_directory(&host, name)));
    let before = Tool::on(&host).snapshot();
    for (tree, name) in trees.iter().zip(["monday", "wednesday"]) {
        criu.dump(&host, tree, &parent.join(name), &DumpOptions::default());
    }
    let removed = Tool::new(&host, &parent).run(&[]);
    assert_eq!((removed.code(), Tool::on(&host).difference_to(&before)), (0, Vec::new()), "{removed}");
}

fn page_server(criu: &Criu) {
    let host = TestHost::new();
    let pages = host.dir().with_file_name("pages");
    fs::create_dir(&pages).expect("a new directory");
    let at = ["--address", "127.0.0.1", "--port", "9898"];
    let mut server = criu.command(&host, IptablesFlavour::Nft);
    server.args(["page-server", "--daemon", "--log-file", "server.log", "--images-dir"]).arg(&pages).args(at);
    let _ = server.succeed();
    let tree = start(&host, host.dir());
    let before = Tool::on(&host).snapshot();
    let extra = ["--page-server"].iter().chain(&at).map(Into::into).collect();
    let options = DumpOptions { extra, lock: LockMethod::Iptables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    assert!(fs::read_dir(&pages).expect("a directory").count() > 1, "void: no pages were sent");
    for arguments in [&["--show"][..], &[]] {
        let refused = Tool::new(&host, &pages).run(arguments);
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{refused}");
        assert!(refused.stderr.contains("only memory pages"), "{refused}");
    }
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn log_of_another(criu: &Criu) {
    let host = TestHost::new();
    let before = dump(criu, &host);
    let images = images_of(&host);
    chown(&images, Some(4711), Some(4711)).expect("another owner");
    let shown = Tool::on(&host).run(&["gc", "--show", "-v", "-d", "-o", "gc.log"]);
    assert_eq!((shown.code(), shown.stderr.as_str()), (0, ""), "{shown}");
    let log = fs::read_to_string(images.join("gc.log")).expect("a log");
    assert_eq!(log, "criu-gc: without effect: -d\n");
    chown(&images, Some(0), Some(0)).expect("the owner");
    Tool::on(&host).assert_removes_everything_since(&before);
}
