// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the machine has beside its disks changes nothing in a throw-away host.
//!
//! The machine here is one more set of namespaces: plain, or with all that a machine of a developer may have. In both,
//! this program runs itself for the same scenes, and what they tell has to be the same but for numbers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use testkit::{
    Access, Artifacts, CommandExt, Container, Criu, DumpOptions, Launch, LockMethod, Network, TARGET, TestHost,
};

use crate::case::{Case, Cases};
use crate::places::{images_of, make_directory};
use crate::refusals::start_tree_of_all;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[Case { name: NAME, test: outside }]));

const NAME: &str = "what the machine has mounted, named or hidden changes nothing in a host";

/// Tells the program to be the one that is inside; names the file for what the scenes tell.
const REPORT: &str = "CRIU_GC_TEST_REPORT";

/// A machine without anything; its process 1 waits.
const PLAIN: &str = "\"$@\"; exit $?";

/// Named network namespaces, one that is not mounted below `/run/netns`, mounts as Docker's are, and a process 1 of
/// which nobody can read anything.
const CROWDED: &str = "
mount -t tmpfs outside /run; mkdir -p /run/docker/netns
mount -t tmpfs outside /mnt; cd /mnt; mkdir lower upper work merged shm
ip netns add one; ip netns add blue
touch /run/docker/netns/two
unshare --net=/run/docker/netns/two true
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged
mount -t tmpfs -o size=65536k shm shm; mount -t tmpfs -o size=65536k shm /dev/shm
mount -t tmpfs over /var/tmp; mount -t tmpfs over /home; cd /
sleep 1000 & mount --bind /proc/$! /proc/1; kill $!; wait
";

fn outside(criu: &Criu) {
    if let Some(report) = std::env::var_os(REPORT) {
        return fs::write(report, play_scenes(criu)).expect("a new file");
    }
    let plain = run_inside("", criu);
    let is_told = |text: &str| plain.contains(text);
    assert!(
        is_told("; to be removed)") && is_told("unless that outlived the tree") && is_told("(gone: with its tmpfs"),
        "void: {plain}"
    );
    assert!(!is_told("ot known"), "{plain}");
    let crowded = run_inside(CROWDED, criu);
    // In which order CRIU makes tables, and rules list two random ports, is not the machine's doing.
    let sorted = |told: &str| {
        let mut lines: Vec<_> = told.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&plain), sorted(&crowded));
}

/// What the scenes tell in another machine. It has scratch directories of its own, since it numbers processes anew.
fn run_inside(prepare: &str, criu: &Criu) -> String {
    let artifacts = Artifacts::of_workspace();
    fs::create_dir_all(artifacts.scratch()).expect("the target directory");
    let target = tempfile::Builder::new().prefix(&format!("{}.", std::process::id())).tempdir_in(artifacts.scratch());
    let target = target.expect("a new directory");
    let programs = [artifacts.workload(), artifacts.killer()].map(|program| program.with_file_name(""));
    for brought in [artifacts.criu(), artifacts.crun(), artifacts.engines()].into_iter().chain(programs) {
        let brought = fs::canonicalize(brought).expect("what setup brought");
        symlink(&brought, target.path().join(brought.file_name().expect("a name"))).expect("a new link");
    }
    let mut machine = Command::new("unshare");
    machine.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--propagation", "private", "--net"]);
    machine.args(["--", "sh", "-e", "-c", &format!("{prepare}{PLAIN}"), "machine"]);
    machine.arg(std::env::current_exe().expect("this program"));
    machine.args(["--exact", &format!("{NAME} (criu {})", criu.version()), "--nocapture"]);
    let report = target.path().join("report");
    machine.env(REPORT, &report).env(TARGET, target.path());
    let finished = machine.finish();
    fs::read_to_string(report).unwrap_or_else(|_| panic!("void: {finished}"))
}

/// A tree of the host, a container, and a closed network namespace: what each dump left, and what criu-gc says of it.
fn play_scenes(criu: &Criu) -> String {
    let host = TestHost::new();
    let (tree, _) = start_tree_of_all(&host);
    let mut told = play(criu, &host, || criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default()).images);
    let host = TestHost::new();
    let volume = make_directory(&host, "volume");
    let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
    let container = container.tmpfs("/dev/shm".as_ref());
    let launch = Launch::new(&[&"deleted", &"/data/one", &"deleted", &"/tmp/two", &"semaphore", &"name"]);
    let tree = launch.container(&container).start(&host);
    told += &play(criu, &host, || criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default()).images);
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let host = TestHost::new();
        let network = Network::Named(host.make_net_namespace("blue"));
        let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(network).start(&host);
        let options = DumpOptions { lock, ..DumpOptions::default() };
        told += &play(criu, &host, || criu.dump(&host, &tree, &images_of(&host), &options).images);
    }
    told
}

/// One dump, in lines without numbers.
fn play(criu: &Criu, host: &TestHost, dump: impl FnOnce() -> std::path::PathBuf) -> String {
    let tool = Tool::on(host);
    let before = tool.snapshot();
    let images = dump();
    assert_eq!(images, images_of(host));
    let mut lines = vec![format!("left by criu {}:", criu.version())];
    lines.extend(tool.difference_to(&before));
    for arguments in [&["--show", "--exit-code", "-vv"][..], &[], &["--show", "--exit-code"]] {
        let run = tool.run(arguments);
        let is_success = if run.code() == 0 { "succeeds" } else { "does not succeed" };
        lines.push(format!("{arguments:?} {is_success}"));
        lines.extend([&run.stdout, &run.stderr].into_iter().flat_map(|text| text.lines()).map(str::to_owned));
    }
    lines.push("after that:".to_owned());
    lines.extend(tool.difference_to(&before));
    lines.iter().map(|line| format!("{}\n", without_numbers(line, host.dir().parent().expect("a directory")))).collect()
}

/// The line with `#` for every number and run id, and without the name of the host's scratch directory.
fn without_numbers(line: &str, scratch: &Path) -> String {
    let line = line.replace(&scratch.display().to_string(), "SCRATCH");
    let words = line.split(' ').map(|word| if word.starts_with("CRIU-") { "CRIU-#" } else { word });
    let mut told = String::new();
    for character in words.collect::<Vec<_>>().join(" ").chars() {
        match character.is_ascii_digit() {
            true if told.ends_with('#') => {}
            true => told.push('#'),
            false => told.push(character),
        }
    }
    told
}
