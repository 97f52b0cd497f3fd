// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one more process, network namespace, mount or rule costs a look, in system calls. Unlike times these do not depend
//! on how busy the machine is, so a change that makes a look dearer fails here.
//!
//! Calls by which threads wait for each other are not counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use testkit::{CommandExt, Criu, DumpOptions, IptablesFlavour, TestHost};

use crate::case::{Case, Cases};
use crate::filters::Filters;
use crate::places::images_of;
use crate::tool::binary;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "a process more costs a look a few system calls", test: process },
    Case { name: "a network namespace more costs a look a few system calls", test: network },
    Case { name: "a mount more costs a look less than a system call", test: mount },
    Case { name: "a rule of others costs a look no system call", test: stranger },
    Case { name: "the rules of a connection cost a removal less than a system call each", test: rules },
    Case { name: "a removal that has nothing to do looks once", test: nothing_to_do },
    Case { name: "--save waits for the disk twice for the files of 64 link remaps", test: save },
    Case { name: "a checkpoint more in one call costs less than a call of its own", test: checkpoint },
]));

const MORE: usize = 40;

/// How a call that is about nothing but threads begins.
const WAITS: [&str; 8] = ["futex", "sched_yield", "poll", "ppoll", "madvise", "mprotect", "munmap", "restart_syscall"];

/// A small dump, and criu-gc on it.
struct Counted {
    host: TestHost,
    images: PathBuf,
}

impl Counted {
    fn new(criu: &Criu, words: &[testkit::Word<'_>]) -> Self {
        Counted::new_on(TestHost::new(), criu, words)
    }

    fn new_on(host: TestHost, criu: &Criu, words: &[testkit::Word<'_>]) -> Self {
        let tree = host.start_workload(words);
        let images = images_of(&host);
        criu.dump(&host, &tree, &images, &DumpOptions::default());
        Counted { host, images }
    }

    /// One with a link remap.
    fn small(criu: &Criu) -> Self {
        let host = TestHost::new();
        let data = host.dir().join("data");
        Counted::new_on(host, criu, &[&"deleted", &data])
    }

    fn calls(&self, arguments: &[&str]) -> usize {
        self.calls_on(arguments, &[&self.images])
    }

    fn calls_on(&self, arguments: &[&str], images: &[&Path]) -> usize {
        self.calls_that(arguments, images, |call| !call.starts_with('<') && !WAITS.contains(&call))
    }

    fn calls_that(&self, arguments: &[&str], images: &[&Path], is_meant: impl Fn(&str) -> bool) -> usize {
        let trace = self.host.dir().with_file_name("trace");
        let mut command = self.host.command("strace");
        command.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(&trace).arg(binary());
        command.args(arguments).args(images).succeed();
        let trace = fs::read_to_string(&trace).expect("a trace");
        let calls = trace.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
        calls.filter(|(call, _)| is_meant(call)).count()
    }

    /// Processes more, which all run their program by now.
    fn add_sleepers(&self) -> Vec<Child> {
        let sleepers = (0..MORE).map(|_| self.host.spawn("sleep", &[&"infinity"])).collect();
        let script = "cat /proc/[0-9]*/comm 2>/dev/null | grep -cx sleep || true";
        let count = || self.host.run("sh", &[&"-c", &script]).stdout.trim().parse::<usize>();
        testkit::wait_until(|| count().is_ok_and(|count| count == MORE).then_some(())).expect("processes");
        sleepers
    }

    /// At most so many tenths of a call for each of `count` more. On a busy machine there are more calls in one run than in
    /// another: a thread that waits looks at the one that works ten times a second.
    fn assert_costs(&self, before: usize, count: usize, tenths: usize) {
        const RUNS: usize = 3;
        let after = (0..RUNS).map(|_| self.calls(&["--show"])).min().expect("runs");
        let most = before + count * tenths / 10 + 12;
        assert!(after <= most, "{count} more: {before} calls before, {after} after, {most} at most");
    }
}

fn process(criu: &Criu) {
    let counted = Counted::small(criu);
    let before = counted.calls(&["--show"]);
    let mut sleepers = counted.add_sleepers();
    counted.assert_costs(before, MORE, 190);
    sleepers.iter_mut().for_each(|sleeper| drop(sleeper.kill()));
}

fn network(criu: &Criu) {
    let counted = Counted::small(criu);
    let before = counted.calls(&["--show"]);
    (0..MORE).for_each(|number| drop(counted.host.make_net_namespace(&format!("n{number}"))));
    counted.assert_costs(before, MORE, 450);
}

fn mount(criu: &Criu) {
    let counted = Counted::small(criu);
    let before = counted.calls(&["--show"]);
    let script = "mkdir -p /tmp/a; for i in $(seq 200); do mkdir /tmp/m$i; mount --bind /tmp/a /tmp/m$i; done";
    counted.host.run("sh", &[&"-e", &"-c", &script]);
    // The mount tables are longer: a read gives a page of one.
    counted.assert_costs(before, 200, 3);
}

fn stranger(criu: &Criu) {
    let counted = Counted::new(criu, &[&"listen-connect", &"127.0.0.1:0"]);
    for flavour in IptablesFlavour::ALL {
        let filters = Filters::of_host(&counted.host, flavour);
        let before = counted.calls(&["--show"]);
        let rules: Vec<String> = (0..1_000).map(|port| format!("-A FORWARD -p tcp --dport {port} -j DROP")).collect();
        filters.add("iptables", &rules);
        // The pipe of iptables-legacy-save holds 64 KiB, or 700 of these rules.
        counted.assert_costs(before, 1_000, 1);
    }
}

fn rules(criu: &Criu) {
    const CONNECTIONS: usize = 40;
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let words: Vec<&str> = ["listen-connect", "127.0.0.1:0"].repeat(CONNECTIONS);
        let words: Vec<testkit::Word<'_>> = words.iter().map(|word| word as testkit::Word<'_>).collect();
        assert_eq!(filters_left(&host, flavour), 0, "void: there are rules before the dump");
        let tree = host.start_workload(&words);
        let images = images_of(&host);
        criu.dump(&host, &tree, &images, &DumpOptions { flavour, ..DumpOptions::default() });
        assert_eq!(filters_left(&host, flavour), CONNECTIONS * 4, "void: the dump left other rules");
        let counted = Counted { host, images };
        let removal = counted.calls(&["--yes"]);
        assert_eq!(filters_left(&counted.host, flavour), 0, "the rules are still there");
        let again = counted.calls(&["--yes"]);
        assert!(removal <= again * 3 + CONNECTIONS * 4, "{removal} calls, {again} when nothing is left");
    }
}

fn filters_left(host: &TestHost, flavour: IptablesFlavour) -> usize {
    Filters::of_host(host, flavour).drops("iptables").len()
}

fn nothing_to_do(criu: &Criu) {
    let counted = Counted::small(criu);
    counted.calls(&["--yes"]);
    let (shown, removed) = (counted.calls(&["--show"]), counted.calls(&["--yes"]));
    assert!(removed <= shown + shown / 10, "{shown} calls of --show, {removed} of a removal");
}

/// The manifest and the directory, each once for a group of names.
fn save(criu: &Criu) {
    const FILES: usize = 100;
    let host = TestHost::new();
    let paths: Vec<PathBuf> = (0..FILES).map(|number| host.dir().join(format!("file{number}"))).collect();
    let words = paths.iter().flat_map(|path| [&"deleted" as testkit::Word<'_>, path]).collect::<Vec<_>>();
    let counted = Counted::new_on(host, criu, &words);
    let to = counted.host.dir().with_file_name("saved");
    let arguments = ["--yes", "--save", to.to_str().expect("UTF-8")];
    let syncs = counted.calls_that(&arguments, &[&counted.images], |call| matches!(call, "fsync" | "fdatasync"));
    let saved = fs::read_to_string(to.join("manifest.jsonl")).expect("a manifest").lines().count();
    assert!(saved == FILES && syncs <= 5, "{syncs} syncs for {saved} files");
}

fn checkpoint(criu: &Criu) {
    let counted = Counted::small(criu);
    let mut sleepers = counted.add_sleepers();
    let again = counted.host.dir().with_file_name("again");
    counted.host.run("cp", &[&"-a", &counted.images, &again]);
    let one = counted.calls(&["--show"]);
    let two = counted.calls_on(&["--show"], &[&counted.images, &again]);
    assert!(two < one + one * 7 / 10, "{one} calls for one checkpoint, {two} for two");
    sleepers.iter_mut().for_each(|sleeper| drop(sleeper.kill()));
}
