// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc is a child of itself: whoever interrupts or kills it in the middle of a removal ends both processes, and
//! another run does the rest.
//!
//! The links are on a filesystem that is slow, so that a removal lasts long enough to be met in its middle.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Criu, DumpOptions, Finished, LockMethod, TestHost, Word, wait_until};

use crate::case::{Case, Cases};
use crate::places::{images_of, make_directory};
use crate::stuck::Served;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "Ctrl-C ends a removal after the step at hand", test: once },
    Case { name: "Ctrl-C twice ends a removal at once", test: twice },
    Case { name: "who kills criu-gc ends its removal", test: killed },
]));

/// How many files were deleted in the dumped tree.
const LINKS: usize = 6;

/// What a terminal sends comes to every process in the foreground.
fn once(criu: &Criu) {
    let ended = end_in_the_middle(criu, press_control_c);
    assert_eq!(ended.code(), -2, "{ended}");
    assert_eq!(ended.stderr, "criu-gc: SIGINT: stopped before the next step\n");
    assert!(ended.stdout.contains("; removed)"), "{ended}");
    assert!(ended.stdout.contains("SIGINT ended the run before this step; run criu-gc again"), "{ended}");
}

fn twice(criu: &Criu) {
    let ended = end_in_the_middle(criu, |processes| {
        press_control_c(processes);
        // Two within a moment count as one.
        thread::sleep(Duration::from_millis(300));
        press_control_c(processes);
    });
    assert_eq!((ended.code(), ended.stdout.as_str(), ended.stderr.as_str()), (-2, "", ""), "{ended}");
}

fn killed(criu: &Criu) {
    let ended = end_in_the_middle(criu, |processes| {
        let has_parent = |process: &Process| processes.iter().any(|other| other.pid == process.parent);
        let first = processes.iter().find(|process| !has_parent(process)).expect("void: nobody is the first");
        send(first, Signal::KILL);
    });
    assert_eq!((ended.code(), ended.stdout.as_str()), (-9, ""), "{ended}");
}

/// Does this to a removal that has removed the first of its links. It must end without having removed them all; another
/// run removes what is left.
fn end_in_the_middle(criu: &Criu, act: impl FnOnce(&[Process])) -> Finished {
    let host = TestHost::new();
    let place = make_directory(&host, "slow");
    dump(criu, &host, &place);
    let served = Served::new(&host, &place);
    served.set("slow");
    let ended = thread::scope(|scope| {
        let run = scope.spawn(|| Tool::on(&host).run(&[]));
        wait_until(|| (links_in(&place) < LINKS).then_some(())).expect("void: no link is removed");
        let processes = Process::all_with(&images_of(&host));
        assert_eq!(processes.len(), 2, "void: {processes:?}");
        act(&processes);
        let start = Instant::now();
        let ended = run.join().expect("a run");
        wait_until(|| processes.iter().all(Process::has_ended).then_some(())).expect("the end of both");
        assert!(start.elapsed() < Duration::from_secs(20), "it takes {:?} to end: {ended}", start.elapsed());
        ended
    });
    assert!((1..LINKS).contains(&links_in(&place)), "{} links are left: {ended}", links_in(&place));
    served.end();
    let removed = Tool::on(&host).run(&[]);
    assert_eq!((removed.code(), links_in(&place)), (0, 0), "{removed}");
    Tool::on(&host).assert_finds_nothing();
    ended
}

fn dump(criu: &Criu, host: &TestHost, place: &Path) {
    let files: Vec<PathBuf> = (0..LINKS).map(|number| place.join(format!("file{number}"))).collect();
    let words: Vec<Word<'_>> = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]).collect();
    let tree = host.start_workload(&words);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump(host, &tree, &images_of(host), &options);
    assert_eq!(links_in(place), LINKS, "void");
}

fn links_in(directory: &Path) -> usize {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().starts_with("link_remap.")).count()
}

fn press_control_c(processes: &[Process]) {
    processes.iter().for_each(|process| send(process, Signal::INT));
}

fn send(process: &Process, signal: Signal) {
    kill_process(Pid::from_raw(process.pid).expect("a pid"), signal).expect("a process that lives");
}

/// A process of criu-gc.
#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
}

impl Process {
    /// Those that were started with this argument.
    fn all_with(argument: &Path) -> Vec<Process> {
        let pids =
            fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| Process::read(pid, argument)).collect()
    }

    fn read(pid: i32, argument: &Path) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let is_ours = read("comm")? == "criu-gc\n" && read("cmdline")?.contains(argument.to_str()?);
        let parent = read("status")?.lines().find_map(|line| line.strip_prefix("PPid:\t")?.parse().ok())?;
        is_ours.then_some(Process { pid, parent })
    }

    fn has_ended(&self) -> bool {
        !Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}
