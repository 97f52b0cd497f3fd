// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole host: everything that a scan tells apart at once, as one text; and scans that are killed at each step.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{
    CommandExt, Criu, DumpOptions, Finished, IptablesFlavour, Kill, LockMethod, TestHost, Workload, wait_until,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::refusals::AtWork;
use crate::scan::{restore_killed, run};
use crate::tool::binary;
use crate::trace::tampering;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "scan of a host with three checkpoints, damage and a criu at work is this text", test: golden },
    Case { name: "a scan that is killed at any step leaves nothing, and the next one does the rest", test: killed },
]));

/// What the scan prints; `CRIU_GC_WRITE_SNAPSHOTS=1` writes it again.
const TEXT: &str = "tests/privileged/scan_whole.txt";

/// Makes a directory of this name in /dev/shm, and starts a tree with a deleted file in it: links in one directory would
/// have the same name.
fn start_tree(host: &TestHost, name: &str) -> Workload {
    let directory = Path::new("/dev/shm").join(name);
    fs::create_dir(host.path(&directory)).expect("a new directory");
    host.start_workload(&[&"deleted", &directory.join("file")])
}

/// Dumps such a tree.
fn dump(criu: &Criu, host: &TestHost, name: &str) -> std::path::PathBuf {
    let tree = start_tree(host, name);
    let images = host.dir().join(name);
    criu.dump(host, &tree, &images, &DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() });
    images
}

/// Starts a tree whose dump is killed when the link is there; it runs on.
fn interrupted(criu: &Criu, host: &TestHost, tree: Workload, name: &str) -> Workload {
    let options = DumpOptions::default();
    criu.dump_killed(host, &tree, &host.dir().join(name), &options, Kill::after("write", "Dumping core"));
    tree
}

fn golden(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    dump(criu, &host, "restorable");
    fs::remove_dir_all(dump(criu, &host, "discarded")).expect("images");
    // This tree has ended, and with it what was damaged.
    let tree = interrupted(criu, &host, start_tree(&host, "incomplete"), "incomplete");
    let pid = Pid::from_raw(i32::try_from(tree.real_pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("a tree");
    wait_until(|| (!Path::new(&format!("/proc/{}", tree.real_pid())).exists()).then_some(())).expect("its end");
    // This one runs on, in a network namespace of its own.
    let container = interrupted(criu, &host, closed.start_tree(), "container");
    assert!(!closed.lets_packets_pass(), "void: nothing is damaged");
    let foreign = start_tree(&host, "foreign");
    let command = criu.dump_command(&host, &foreign, &host.dir().join("foreign"), &DumpOptions::default());
    let work = AtWork::start(&host, command, "post-dump");
    let before = host.snapshot(&[Path::new("/dev/shm"), host.dir()]);
    let scan = run(&host, "scan", &[&"--images", &host.dir()]);
    assert_eq!((scan.code(), scan.stderr.as_str()), (0, ""), "{scan}");
    let found = plain(&scan.stdout, host.dir());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TEXT);
    if std::env::var_os("CRIU_GC_WRITE_SNAPSHOTS").is_some() {
        fs::write(&file, &found).expect("a text");
    }
    assert_eq!(found, fs::read_to_string(&file).expect("a text"), "{scan}");
    // Nothing of it is litter.
    let cleaned = run(&host, "scan", &[&"--clean", &"--kill", &"--images", &host.dir()]);
    assert_eq!(before.difference(&host.snapshot(&[Path::new("/dev/shm"), host.dir()])), [""; 0], "{cleaned}");
    work.finish();
    drop((container, foreign, tree));
}

/// The text without what differs from run to run: numbers, and the directory of the test.
fn plain(text: &str, directory: &Path) -> String {
    let text = text.replace(directory.to_str().expect("text"), "/srv");
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if plain.ends_with('N') => {}
            '0'..='9' => plain.push('N'),
            other => plain.push(other),
        }
    }
    plain
}

fn killed(criu: &Criu) {
    let host = restore_killed(criu, Kill::before("write", "Running post-restore"));
    host.run("sh", &[&"-ec", &"mkdir -m 777 /tmp/.criu.mntns.ZyXwVu; mkdir -m 700 /tmp/cr-tmpfs.ZyXwVu"]);
    let shared = [Path::new("/dev/shm"), host.dir()];
    let before = host.snapshot(&shared);
    let mounts = mounts(&host);
    let mut kills = 0;
    for call in ["setns", "openat2", "pidfd_getfd", "sendto", "unlinkat", "umount2", "pidfd_send_signal"] {
        for number in 1..=4 {
            let finished = clean(&host, &[&format!("{call}:signal=KILL:when={number}")]);
            kills += usize::from(finished.code() == -9);
            assert_nothing_stays(&host, &finished);
            assert_eq!(self::mounts(&host), mounts, "{finished}");
            assert_eq!(before.difference(&host.snapshot(&shared)), [""; 0], "{finished}");
        }
    }
    assert!(kills > 8, "void: {kills} scans were killed");
    let last = run(&host, "scan", &[&"--clean", &"--kill"]);
    assert_eq!(last.code(), 0, "{last}");
    let after = run(&host, "scan", &[]);
    assert!(!after.stdout.contains("Left by a crash"), "{after}");
    assert!(!host.path("/tmp/.criu.mntns.ZyXwVu").exists() && !host.path("/tmp/cr-tmpfs.ZyXwVu").exists(), "{last}");
}

/// Runs `scan --clean --kill`, tampered with.
fn clean(host: &TestHost, injections: &[&str]) -> Finished {
    let words = tampering(injections);
    let (program, words) = words.split_first().expect("strace");
    host.command(program).args(words).arg(binary()).args(["scan", "--clean", "--kill"]).finish()
}

/// No process of criu-gc is left in the host.
#[track_caller]
fn assert_nothing_stays(host: &TestHost, finished: &Finished) {
    let running = || host.command("pgrep").args(["-x", "criu-gc"]).finish().stdout;
    assert!(wait_until(|| running().is_empty().then_some(())).is_some(), "{finished}{}", running());
}

fn mounts(host: &TestHost) -> String {
    fs::read_to_string(format!("/proc/{}/mountinfo", host.init())).expect("mounts")
}
