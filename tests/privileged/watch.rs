// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc watch`: real dumps come and go beside it, its passes hang, and signals end it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::{CommandExt, Criu, DumpOptions, Kill, TestHost, wait_until};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::scan::restore_killed;
use crate::tool::{NOTHING, Tool, binary, make_tables};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "a watch tells what a dump leaves and what goes, and changes nothing", test: comes_and_goes },
    Case { name: "a watch removes with --clean what a crash left, and nothing else", test: cleans },
    Case { name: "a pass of a watch that hangs is killed, and the next one looks", test: hangs },
    Case { name: "signals end a watch at once, between two passes and in one that hangs", test: ends },
    Case { name: "no pass outlives a watch that is killed", test: killed },
    Case { name: "the memory of a watch stays the same from pass to pass", test: memory },
    Case { name: "a watch that cannot do what it is asked for does nothing", test: refused },
]));

/// A watch in a host.
struct Watch<'a> {
    host: &'a TestHost,
    nsenter: Child,
    pid: u32,
    lines: Receiver<String>,
    /// What it said is there: class by id and kind.
    objects: BTreeMap<String, (String, String)>,
    /// The names of all events.
    told: Vec<String>,
}

/// Where a watch serves its figures.
const ADDRESS: &str = "127.0.0.1:9935";

/// A watch whose passes take long enough to be met.
const LONG: &[&str] = &["--every", "1s", "--walk", "/usr"];

impl<'a> Watch<'a> {
    fn start(host: &'a TestHost, arguments: &[&str]) -> Self {
        let mut command = host.command(binary());
        command.arg("watch").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut nsenter = command.spawn().expect("nsenter");
        let output = BufReader::new(nsenter.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let started = wait_until(|| {
            let pid = children(nsenter.id()).into_iter().next()?;
            (name(pid)? == "criu-gc").then_some(pid)
        });
        let pid = started.expect("void: no watch");
        Watch { host, nsenter, pid, lines, objects: BTreeMap::new(), told: Vec::new() }
    }

    /// The next event.
    #[track_caller]
    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(120)).expect("an event");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (what, object) = (text(&event["event"]), &event["object"]);
        match what.as_str() {
            "appeared" | "changed" => {
                self.objects.insert(object["id"].to_string(), (text(&object["kind"]), text(&object["class"])));
            }
            "went" | "cleaned" => drop(self.objects.remove(&object["id"].to_string())),
            _ => {}
        }
        self.told.push(what);
        event
    }

    /// Reads on to the next event of this name.
    #[track_caller]
    fn read_to(&mut self, name: &str) -> Value {
        loop {
            let event = self.next();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Reads on until what is there fulfils this.
    #[track_caller]
    fn read_until(&mut self, is_so: impl Fn(&[(&str, &str)]) -> bool) {
        loop {
            self.read_to("looked");
            let objects: Vec<_> = self.objects.values().map(|(kind, class)| (kind.as_str(), class.as_str())).collect();
            if is_so(&objects) {
                return;
            }
        }
    }

    /// Stops a pass, and returns its processes.
    fn stop_pass(&self) -> Vec<u32> {
        let stopped = wait_until(|| {
            let pass = children(self.pid).into_iter().next()?;
            let pids: Vec<u32> = [pass].into_iter().chain(children(pass)).collect();
            // Before it has its name, a child does not end with its parent.
            if pids.len() < 2 || pids.iter().any(|pid| name(*pid).as_deref() != Some("criu-gc")) {
                return None;
            }
            pids.iter().for_each(|pid| send(*pid, Signal::STOP));
            let are_stopped = || pids.iter().all(|pid| state(*pid) == Some('T'));
            if within_a_moment(are_stopped) {
                return Some(pids);
            }
            // One of them has ended: another pass follows.
            pids.iter().for_each(|pid| send(*pid, Signal::CONT));
            None
        });
        stopped.expect("void: no pass is met")
    }

    /// What it serves.
    fn page(&self) -> String {
        let script = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1]).read().decode())";
        let address = format!("http://{ADDRESS}/metrics");
        self.host.command("python3").args(["-c", script, &address]).finish().stdout
    }

    /// A figure that it serves; nothing if it serves none.
    fn figure(&self, name: &str) -> Option<u64> {
        self.page().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Sends a signal; how it ends then, and after what time. Nothing of it is left.
    fn end(mut self, signal: Signal) -> (i32, Duration, Vec<String>) {
        let started = Instant::now();
        send(self.pid, signal);
        let status = wait_until(|| self.nsenter.try_wait().expect("nsenter")).expect("the end");
        let taken = started.elapsed();
        while let Ok(line) = self.lines.recv() {
            let event: Value = serde_json::from_str(&line).expect("an event");
            self.told.push(event["event"].as_str().expect("text").to_owned());
        }
        let code = status.code().or(status.signal().map(|signal| -signal)).expect("an end");
        (code, taken, std::mem::take(&mut self.told))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // It ends with its host anyway.
        let _ = self.nsenter.try_wait().is_ok_and(|status| status.is_none()).then(|| send(self.pid, Signal::KILL));
    }
}

/// The children of all threads of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// Whether it comes true soon.
fn within_a_moment(is_so: impl Fn() -> bool) -> bool {
    (0..100).any(|_| {
        thread::sleep(Duration::from_millis(2));
        is_so()
    })
}

fn name(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

fn state(pid: u32) -> Option<char> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit_once(") ")?.1.chars().next()
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    // It may have ended.
    let _ = kill_process(pid, signal);
}

fn has_ended(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

fn comes_and_goes(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let file = host.dir().with_file_name("criu-gc.prom");
    let mut watch = Watch::start(&host, &["--every", "1s", "--metrics", file.to_str().expect("text")]);
    let started = watch.next();
    assert_eq!((&started["event"], &started["clean"]), (&Value::from("started"), &Value::from(false)));
    assert_eq!(watch.next()["event"], "looked");
    let clean = Tool::on(&host).snapshot();
    let tree = host.start_workload(&[&"deleted", &"/dev/shm/one", &"listen-connect", &"127.0.0.1:0"]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let dumped = Tool::on(&host).snapshot();
    let is_all = |objects: &[(&str, &str)]| {
        let count = |wanted: &str| objects.iter().filter(|(kind, _)| *kind == wanted).count();
        let is_settled = objects.iter().all(|(_, class)| ["orphan", "restorable"].contains(class));
        is_settled && count("link-remap") == 1 && count("locked-tcp-connection") == 2
    };
    watch.read_until(is_all);
    wait_until(|| {
        let text = fs::read_to_string(&file).ok()?;
        let lines = text.lines().filter(|line| line.starts_with("criu_gc_objects{"));
        (lines.map(|line| line.rsplit_once(' ').expect("a row").1.parse::<u32>().expect("a number")).sum::<u32>() == 3)
            .then_some(())
    })
    .expect("the figures of all three");
    assert_eq!(Tool::on(&host).difference_to(&dumped), NOTHING);
    let removed = Tool::on(&host).run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    watch.read_until(|objects| objects.is_empty());
    assert_ne!(clean.difference(&dumped), [""; 0], "void: the dump left nothing");
    let (code, _, told) = watch.end(Signal::TERM);
    assert_eq!((code, told.last().map(String::as_str)), (0, Some("ended")));
    let count = |name: &str| told.iter().filter(|event| *event == name).count();
    // A pass may meet the dump in its middle.
    assert!(count("went") >= 3 && count("failed") == 0 && count("out-of-sight") == 0, "{told:?}");
    assert_eq!((count("cleaned"), count("not-cleaned"), count("started")), (0, 0, 1), "{told:?}");
}

fn cleans(criu: &Criu) {
    let host = restore_killed(criu, Kill::before("write", "Running post-restore"));
    let watched = [Path::new("/dev/shm"), host.dir()];
    let before = host.snapshot(&watched);
    let is_litter = |objects: &[(&str, &str)]| objects.contains(&("half-restored-process", "litter"));
    let mut watch = Watch::start(&host, &["--every", "1s"]);
    watch.read_until(is_litter);
    assert_eq!(watch.end(Signal::TERM).0, 0);
    // Without --kill nothing is ended.
    let mut watch = Watch::start(&host, &["--every", "1s", "--clean"]);
    watch.read_until(is_litter);
    assert_eq!(watch.end(Signal::TERM).0, 0);
    let mut watch = Watch::start(&host, &["--every", "1s", "--clean", "--kill", "--listen", ADDRESS]);
    let cleaned = watch.read_to("cleaned");
    assert_eq!(cleaned["object"]["class"], "litter", "{cleaned:#}");
    watch.read_until(|objects| {
        objects.iter().all(|(_, class)| *class != "litter") && objects.iter().any(|(kind, _)| *kind == "link-remap")
    });
    assert!(watch.figure("criu_gc_cleaned_total").is_some_and(|count| count > 0), "{}", watch.page());
    assert_eq!(watch.end(Signal::TERM).0, 0);
    assert_eq!(before.difference(&host.snapshot(&watched)), [""; 0]);
}

fn hangs(_: &Criu) {
    let host = TestHost::new();
    let mut watch = Watch::start(&host, &["--every", "1s", "--timeout", "0.5", "--listen", ADDRESS]);
    let pids = watch.stop_pass();
    let failed = watch.read_to("failed");
    assert_eq!(failed["why"], "a pass took longer than 6 seconds and was killed", "{failed:#}");
    assert!(wait_until(|| pids.iter().all(|pid| has_ended(*pid)).then_some(())).is_some());
    let looked = wait_until(|| watch.figure("criu_gc_passes_total{result=\"complete\"}").filter(|count| *count > 0));
    assert!(looked.is_some(), "{}", watch.page());
    assert_eq!(watch.figure("criu_gc_passes_total{result=\"failed\"}"), Some(1));
    assert_eq!(watch.end(Signal::TERM).0, 0);
}

fn ends(_: &Criu) {
    let host = TestHost::new();
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, -2), (Signal::HUP, -1)] {
        let mut watch = Watch::start(&host, &["--every", "1h"]);
        watch.read_to("looked");
        let (ended, taken, told) = watch.end(signal);
        assert_eq!((ended, told.last().map(String::as_str)), (code, Some("ended")));
        assert!(taken < Duration::from_secs(2), "{taken:?}");
        let watch = Watch::start(&host, LONG);
        let pids = watch.stop_pass();
        let (ended, taken, told) = watch.end(signal);
        assert_eq!((ended, told.last().map(String::as_str)), (code, Some("ended")));
        assert!(taken < Duration::from_secs(10), "{taken:?}");
        assert!(wait_until(|| pids.iter().all(|pid| has_ended(*pid)).then_some(())).is_some());
    }
}

fn killed(_: &Criu) {
    let host = TestHost::new();
    let watch = Watch::start(&host, LONG);
    let pids = watch.stop_pass();
    assert_eq!(watch.end(Signal::KILL).0, -9);
    assert!(wait_until(|| pids.iter().all(|pid| has_ended(*pid)).then_some(())).is_some(), "{pids:?} live on");
}

fn memory(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &"/dev/shm/one"]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let watch = Watch::start(&host, &["--every", "1s", "--listen", ADDRESS]);
    let resident = |passes: u64| {
        let is_there = || watch.figure("criu_gc_passes_total{result=\"complete\"}").filter(|count| *count >= passes);
        assert!(wait_until(is_there).is_some(), "{}", watch.page());
        let status = fs::read_to_string(format!("/proc/{}/status", watch.pid)).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    let (early, late) = (resident(4), resident(14));
    assert!(late <= early + 512, "{early} KiB after 4 passes, {late} KiB after 14");
    let open = fs::read_dir(format!("/proc/{}/fd", watch.pid)).expect("its descriptors").count();
    assert!(open < 16, "{open} descriptors");
    assert_eq!(watch.end(Signal::TERM).0, 0);
}

fn refused(_: &Criu) {
    let host = TestHost::new();
    let taken = host.command(binary()).args(["watch", "--listen", "192.0.2.1:9935"]).finish();
    assert_eq!((taken.code(), taken.stdout.as_str()), (2, ""), "{taken}");
    assert!(taken.stderr.contains("cannot listen"), "{taken}");
    let mut watch = Watch::start(&host, &["--every", "1s", "--metrics", "/no/such/file.prom"]);
    let failed = watch.read_to("failed");
    assert!(failed["why"].as_str().expect("text").contains("standard error says why"), "{failed:#}");
    assert_eq!(watch.end(Signal::TERM).0, 0);
}
