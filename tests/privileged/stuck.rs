// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filesystems that stop to answer: no run waits for one longer than seconds, what is not known because of it is told,
//! everything else is removed, and a signal ends a run at once. One that is slow but answers is cleaned.
//!
//! The filesystem is a real FUSE, over a directory of the host. It stops in two ways: stopped, its server leaves requests
//! in the queue, from which the kernel takes them back when a program is killed; a mute one has taken them, and whoever
//! has asked cannot even be killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::{Criu, DumpOptions, Finished, LockMethod, TestHost, wait_until};

use crate::attack::Holder;
use crate::case::{Case, Cases};
use crate::places::{images_of, link_in, make_directory};
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "links on a FUSE filesystem that is slow are removed", test: slow },
    Case { name: "a link on a filesystem that does not answer is not known, and the others are removed", test: link },
    Case { name: "a filesystem that stops to answer in the moment of a removal is not waited for", test: moment },
    Case { name: "with images on a filesystem that does not answer nothing of others is removed", test: images },
    Case { name: "a network namespace below a filesystem that does not answer is told", test: namespace },
    Case { name: "where files cannot be saved because a filesystem does not answer nothing is removed", test: save },
    Case { name: "SIGTERM ends a run that waits for a filesystem", test: terminated },
]));

/// The program that serves a directory.
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privileged/served.py");

/// No run may take longer: two looks and a removal, each with its patience, beside other work.
const LIMIT: Duration = Duration::from_secs(30);

/// A directory of a host that a process serves to the host itself.
pub(crate) struct Served<'a> {
    host: &'a TestHost,
    place: PathBuf,
    server: Holder<'a>,
    control: PathBuf,
}

/// How a server stops to answer.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Stopped,
    Mute,
}

const STOPS: [Stop; 2] = [Stop::Stopped, Stop::Mute];

impl<'a> Served<'a> {
    pub(crate) fn new(host: &'a TestHost, place: &Path) -> Self {
        let control = host.dir().with_file_name("control");
        fs::write(&control, "").expect("a new file");
        let place = place.to_owned();
        let script = format!("exec python3 {SERVER} {0} {0} {1}", place.display(), control.display());
        let server = Holder::start_until(host, &script, Path::new("/"));
        let served = Served { host, place, server, control };
        wait_until(|| served.is_mounted().then_some(())).expect("void: nothing is served");
        served
    }

    fn is_mounted(&self) -> bool {
        let table = fs::read_to_string(self.host.path("/proc/1/mounts")).expect("a table");
        table.contains("fuse.served")
    }

    pub(crate) fn set(&self, manner: &str) {
        fs::write(&self.control, manner).expect("a file");
    }

    fn stop(&self, how: Stop) {
        match how {
            Stop::Stopped => drop(self.host.run("kill", &[&"-STOP", &self.server.pid.to_string()])),
            Stop::Mute => self.set("mute"),
        }
    }

    /// Nothing is served any more: who waits gets an error, and what was served shows itself.
    pub(crate) fn end(self) {
        self.server.end();
        self.host.run("umount", &[&"--lazy", &self.place]);
    }
}

/// Two links, each in a directory of its own.
fn dump(criu: &Criu, host: &TestHost) -> [PathBuf; 2] {
    let places = ["one", "other"].map(|name| make_directory(host, name));
    let tree = host.start_workload(&[&"deleted", &places[0].join("data"), &"deleted", &places[1].join("data")]);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump(host, &tree, &images_of(host), &options);
    assert!(places.iter().all(|place| link_in(place).exists()), "void");
    places
}

/// Runs criu-gc, which must not wait.
#[track_caller]
fn run(tool: &Tool<'_>, arguments: &[&str]) -> Finished {
    let start = Instant::now();
    let told = tool.run(arguments);
    assert!(start.elapsed() < LIMIT, "it waits for {:?}: {told}", start.elapsed());
    told
}

/// For each way of stopping: two links, which are cleaned when the test has ended the server.
fn with_each_stop(criu: &Criu, test: impl Fn(&TestHost, Stop, &[PathBuf; 2])) {
    for how in STOPS {
        let host = TestHost::new();
        let links = dump(criu, &host).map(|place| link_in(&place));
        test(&host, how, &links);
        assert_cleans(&host, &links);
    }
}

#[track_caller]
fn assert_cleans(host: &TestHost, links: &[PathBuf]) {
    let removed = Tool::on(host).run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(links.iter().all(|link| !link.exists()), "{removed}");
    Tool::on(host).assert_finds_nothing();
}

fn slow(criu: &Criu) {
    let host = TestHost::new();
    let [one, other] = dump(criu, &host);
    let links = [link_in(&one), link_in(&other)];
    let served = Served::new(&host, &one);
    served.set("slow");
    assert_cleans(&host, &links);
    served.end();
}

fn link(criu: &Criu) {
    with_each_stop(criu, |host, how, links| {
        let one = links[0].parent().expect("a directory");
        let served = Served::new(host, one);
        served.stop(how);
        let shown = run(&Tool::on(host), &["--show", "--exit-code"]);
        let told = format!("{} does not answer (fuse.served mounted at {})", links[0].display(), one.display());
        assert!(shown.code() == 1 && shown.stdout.contains(&told), "{how:?} {shown}");
        let removed = run(&Tool::on(host), &[]);
        assert!(removed.code() == 1 && removed.stdout.contains(&told), "{how:?} {removed}");
        assert!(!links[1].exists(), "{how:?} {removed}");
        served.end();
    });
}

/// The server stops when the kernel is about to remove the name, or is mute from the request on to do so.
fn moment(criu: &Criu) {
    with_each_stop(criu, |host, how, links| {
        let one = links[0].parent().expect("a directory");
        let served = Served::new(host, one);
        let removed = match how {
            Stop::Stopped => stop_in_the_moment(host, &served),
            Stop::Mute => {
                served.set("mute from a removal on");
                run(&Tool::on(host), &[])
            }
        };
        assert!(removed.code() == 1 && removed.stdout.contains("does not answer"), "{how:?} {removed}");
        assert!(removed.stdout.contains("whether it was removed is not known"), "{how:?} {removed}");
        assert!(!links[1].exists(), "{how:?} {removed}");
        served.end();
    });
}

fn stop_in_the_moment(host: &TestHost, served: &Served<'_>) -> Finished {
    let trace = host.dir().with_file_name("trace");
    let words = ["strace", "-f", "-qq", "-o", trace.to_str().expect("text"), "-e", "trace=unlinkat", "-e"];
    let held = Tool::on(host).under(&[&words[..], &["inject=unlinkat:delay_enter=2000000"]].concat());
    std::thread::scope(|scope| {
        let run = scope.spawn(|| run(&held, &[]));
        let is_held = || fs::read_to_string(&trace).is_ok_and(|text| text.contains("link_remap"));
        wait_until(|| is_held().then_some(())).expect("void: no name is about to be removed");
        served.stop(Stop::Stopped);
        run.join().expect("strace")
    })
}

fn images(criu: &Criu) {
    with_each_stop(criu, |host, how, links| {
        let copy = make_directory(host, "copy");
        host.run("cp", &[&"-a", &images_of(host).join("."), &copy]);
        let served = Served::new(host, &images_of(host));
        served.stop(how);
        let stuck = run(&Tool::on(host), &["--show"]);
        let told = format!("does not answer (fuse.served mounted at {})", images_of(host).display());
        assert!(stuck.code() == 2 && stuck.stderr.contains(&told), "{how:?} {stuck}");
        let both = run(&Tool::on(host), &[copy.to_str().expect("text")]);
        assert!(both.code() == 2 && both.stderr.contains(&told), "{how:?} {both}");
        assert!(links.iter().all(|link| link.exists()), "{how:?} {both}");
        let alone = run(&Tool::new(host, &copy), &[]);
        assert_eq!(alone.code(), 0, "{how:?} {alone}");
        assert!(links.iter().all(|link| !link.exists()), "{how:?} {alone}");
        served.end();
    });
}

/// Nothing of the checkpoint is removed where the user's own word cannot be followed.
fn namespace(criu: &Criu) {
    with_each_stop(criu, |host, how, links| {
        let place = make_directory(host, "namespaces");
        fs::write(place.join("pod"), "").expect("a new file");
        let served = Served::new(host, &place);
        served.stop(how);
        let told = run(&Tool::on(host), &["--netns", place.join("pod").to_str().expect("text")]);
        assert!(told.code() == 2 && told.stderr.contains("does not answer (fuse.served"), "{how:?} {told}");
        assert!(links.iter().all(|link| link.exists()), "{how:?} {told}");
        served.end();
    });
}

fn save(criu: &Criu) {
    with_each_stop(criu, |host, how, links| {
        let saved = make_directory(host, "saved");
        let served = Served::new(host, &saved);
        served.stop(how);
        let target = saved.to_str().expect("text");
        let stuck = run(&Tool::on(host), &["--save", target]);
        assert!(stuck.code() == 2 && stuck.stderr.contains("cannot save files"), "{how:?} {stuck}");
        assert!(stuck.stderr.contains("does not answer (fuse.served"), "{how:?} {stuck}");
        let logging = run(&Tool::on(host), &["--log-file", saved.join("log").to_str().expect("text")]);
        assert!(logging.code() == 2 && logging.stderr.contains("does not answer"), "{how:?} {logging}");
        assert!(links.iter().all(|link| link.exists()), "{how:?} {stuck}");
        served.end();
    });
}

/// While it looks, and while it removes.
fn terminated(criu: &Criu) {
    with_each_stop(criu, |host, how, links| {
        let one = links[0].parent().expect("a directory");
        let served = Served::new(host, one);
        served.stop(how);
        for arguments in [&["--show"][..], &[]] {
            let start = Instant::now();
            let ended = Tool::on(host).under(&["timeout", "--kill-after=5", "1"]).run(arguments);
            assert!(start.elapsed() < Duration::from_secs(5), "{how:?} it waits for {:?}: {ended}", start.elapsed());
            assert!(matches!(ended.code(), 124 | -15), "{how:?} {ended}");
        }
        assert!(links.iter().all(|link| link.parent() == Some(one) || link.exists()), "{how:?}");
        served.end();
    });
}
