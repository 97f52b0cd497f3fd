// SPDX-License-Identifier: Apache-2.0 OR MIT
//! System calls that fail, one by one and for good: whatever cannot be looked at is not called clean, whatever cannot be
//! removed is told, nothing else is touched, and a run without the fault completes the work.

use std::collections::BTreeSet;
use std::path::Path;

use testkit::{Criu, Finished, IptablesFlavour, LockMethod, TestHost};

use crate::case::{Case, Cases};
use crate::crash::{LINKS, Scene, manifest};
use crate::device_links::dump_on;
use crate::disk::Disk;
use crate::trace::Startup;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "--show under every fault of a system call never says that nothing is left", test: shown },
    Case { name: "a removal under every fault of a system call is completed by the next", test: removed },
    Case { name: "the error of a call that removes a link is told, and the others are removed", test: unlinking },
    Case { name: "--save under every fault of a system call removes nothing that is not saved", test: saving },
    Case { name: "nothing is removed from a device that cannot be mounted, and it is told", test: unmountable },
    Case { name: "a full disk keeps nothing but the log from being written", test: full_log },
    Case { name: "on a kernel that lacks openat2 or nf_tables' netlink nothing is called clean", test: old_kernel },
]));

const ERRORS: [&str; 7] = ["EPERM", "EACCES", "EIO", "EROFS", "EBUSY", "ENOSYS", "ENOMEM"];

/// Each removal needs a dump of its own, so that it is with fewer of them.
const REMOVAL_ERRORS: [&str; 3] = ["EPERM", "EIO", "ENOSYS"];

/// The calls by which the tool looks.
const LOOKING: [&str; 12] = [
    "openat",
    "openat2",
    "statx",
    "read",
    "getdents64",
    "readlink",
    "socket",
    "connect",
    "sendto",
    "recvfrom",
    "setns",
    "flock",
];

/// How many single calls of each kind are made to fail.
const SINGLE: u32 = 6;

fn shown(criu: &Criu) {
    let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let startup = Startup::trace(&scene.host);
    let mut runs = 0;
    for call in LOOKING {
        for error in ERRORS.into_iter().chain(["EINTR", "ENOBUFS", "EMFILE"]) {
            for when in once_and_always(startup.first_own(call)) {
                let injection = format!("{call}:error={error}:when={when}");
                // Interrupted for ever is a hang, which no kernel makes.
                if error == "EINTR" && when.ends_with('+') {
                    continue;
                }
                let run = scene.tool().under_strace(&[&injection]).run(&["--show", "--exit-code"]);
                assert_words(&injection, &run);
                assert!(matches!(run.code(), 1 | 2), "{injection}: {run}");
                runs += 1;
            }
        }
    }
    scene.assert_scope();
    tell(&format!("{runs} runs of --show, each under another fault"));
    scene.assert_completes();
}

fn removed(criu: &Criu) {
    let startup = Startup::trace(&TestHost::new());
    let mut injections = Vec::new();
    for call in LOOKING.into_iter().chain(["unlinkat", "clone3", "setsockopt"]) {
        let first = startup.first_own(call);
        for error in REMOVAL_ERRORS {
            injections.extend([first, first + 7].map(|from| format!("{call}:error={error}:when={from}+")));
        }
    }
    let dumps = assert_removals_under_each(criu, &injections);
    tell(&format!("{} removals, each under another fault, of {dumps} dumps", injections.len()));
}

/// Removals, each under one fault: none touches anything else or calls clean what is not, and one without a fault
/// completes them. A dump is used until all of it is gone; gives how many there were.
pub(crate) fn assert_removals_under_each(criu: &Criu, injections: &[String]) -> usize {
    let mut scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let mut dumps = 1;
    for injection in injections {
        let run = scene.tool().under_strace(&[injection]).run(&[]);
        assert_words(injection, &run);
        assert!(matches!(run.code(), 0..=2), "{injection}: {run}");
        scene.assert_scope();
        let is_clean = scene.left().is_empty();
        assert!(run.code() != 0 || is_clean, "status 0, and something is left: {injection}: {run}");
        if is_clean {
            scene.assert_completes();
            scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
            dumps += 1;
        }
    }
    scene.assert_completes();
    dumps
}

fn unlinking(criu: &Criu) {
    let texts = [
        ("EPERM", "Operation not permitted"),
        ("EACCES", "Permission denied"),
        ("EIO", "Input/output error"),
        ("EROFS", "Read-only file system"),
        ("EBUSY", "Device or resource busy"),
        ("ENOSYS", "Function not implemented"),
        ("ENOMEM", "Cannot allocate memory"),
    ];
    for (error, text) in texts {
        let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
        let run = scene.tool().under_strace(&[&format!("unlinkat:error={error}:when=2")]).run(&[]);
        assert_eq!(run.code(), 1, "{run}");
        let is_told = |line: &&str| line.contains("; NOT removed: cannot remove ") && line.contains(text);
        assert_eq!(run.stdout.lines().filter(is_told).count(), 1, "{run}");
        assert!(run.stdout.contains("5 objects: 4 removed, 1 not removed."), "{run}");
        scene.assert_scope();
        scene.assert_completes();
    }
    // A call that was interrupted is made again.
    let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
    let run = scene.tool().under_strace(&["unlinkat:error=EINTR:when=1..3"]).run(&[]);
    assert_eq!(run.code(), 0, "{run}");
    scene.assert_completes();
}

/// The calls by which files are kept, on another filesystem than theirs, and then those for links on the same.
fn saving(criu: &Criu) {
    const CALLS: [&str; 10] = [
        "mkdirat",
        "openat",
        "linkat",
        "copy_file_range",
        "write",
        "pwrite64",
        "fsync",
        "fdatasync",
        "fchown",
        "statx",
    ];
    let startup = Startup::trace(&TestHost::new());
    let mut runs = 0;
    for directory in ["/run/saved", "beside"] {
        for call in CALLS {
            let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
            let into = scene.host.dir().with_file_name(directory);
            let into = if directory.starts_with('/') { directory.into() } else { into };
            let arguments = ["--save", into.to_str().expect("a path of text")];
            for error in ["EIO", "ENOSPC", "EROFS", "EPERM"] {
                let first = startup.first_own(call);
                for when in [format!("{}", first + 1), format!("{}+", first + 16)] {
                    let injection = format!("{call}:error={error}:when={when}");
                    let run = scene.tool().under_strace(&[&injection]).run(&arguments);
                    assert_words(&injection, &run);
                    assert!(matches!(run.code(), 0..=2), "{injection}: {run}");
                    // A file that was saved beside its link, which stayed, has a name more.
                    if directory != "beside" {
                        scene.assert_scope();
                    }
                    assert_saved(&scene, &into, &injection);
                    runs += 1;
                }
            }
            // A link that was kept beside itself, and then not, has changed: see SECURITY.md.
            let run = scene.tool().option("--allow", "changed-since").run(&arguments);
            assert_eq!((run.code(), links_left(&scene)), (0, 0), "after {call}: {run}");
            scene.tool().assert_finds_nothing();
        }
    }
    tell(&format!("{runs} runs of --save, each under another fault"));
}

fn links_left(scene: &Scene) -> usize {
    scene.left().iter().filter(|line| line.contains(": + link_remap.")).count()
}

/// Of each link that is gone the manifest has the file, whole.
#[track_caller]
fn assert_saved(scene: &Scene, into: &Path, injection: &str) {
    let gone = LINKS - links_left(scene);
    let saved = scene.host.path(into);
    let lines = if saved.join("manifest.jsonl").exists() { manifest(&saved) } else { Vec::new() };
    let is_whole = |line: &&serde_json::Value| {
        let file = saved.join(line["file"].as_str().expect("a name"));
        file.metadata().is_ok_and(|found| Some(found.len()) == line["size"].as_u64())
    };
    let names: BTreeSet<String> = lines.iter().filter(is_whole).map(|line| line["link"]["text"].to_string()).collect();
    assert!(names.len() >= gone, "{injection}: {gone} links are gone, {names:?} are saved");
}

fn old_kernel(criu: &Criu) {
    for (call, words) in
        [("openat2", "Linux 5.6"), ("statx", "Linux 5.6"), ("setns", "network namespace"), ("socket", "netlink")]
    {
        let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
        let run = scene.tool().under_strace(&[&format!("{call}:error=ENOSYS")]).run(&[]);
        assert!(matches!(run.code(), 1 | 2), "{run}");
        assert!(run.stdout.contains(words) || run.stderr.contains(words), "{words}: {run}");
        scene.assert_scope();
        scene.assert_completes();
    }
}

fn unmountable(criu: &Criu) {
    assert_kept_where_unmountable(criu, ("xfs", 320));
    assert_kept_where_unmountable(criu, ("ext4", 16));
}

/// It is not mounted to look, but only to remove something.
fn assert_kept_where_unmountable(criu: &Criu, (fstype, megabytes): (&'static str, u64)) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, fstype, megabytes);
    let dump = dump_on(criu, &host, &disk);
    for call in ["fsopen", "fsconfig", "fsmount"] {
        for error in ERRORS {
            let injection = format!("{call}:error={error}");
            let run = dump.tool().under_strace(&[&injection]).run(&["--show", "--exit-code"]);
            assert_eq!(run.code(), 1, "{injection}: {run}");
            assert!(run.stdout.contains("; to be removed)"), "{injection}: {run}");
            let run = dump.tool().under_strace(&[&injection]).run(&[]);
            assert_eq!(run.code(), 1, "{injection}: {run}");
            assert!(!run.stdout.contains("; removed)"), "{injection}: {run}");
            disk.await_unmount();
        }
    }
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    dump.tool().assert_finds_nothing();
    disk.await_unmount();
    disk.release();
}

fn full_log(criu: &Criu) {
    let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
    let host = &scene.host;
    host.run("mkdir", &[&"/run/full"]);
    host.run("mount", &[&"-t", &"tmpfs", &"-o", &"size=4k", &"full", &"/run/full"]);
    host.run("sh", &[&"-c", &"echo > /run/full/gc.log; head -c 1M /dev/zero > /run/full/rest || true"]);
    let refused = scene.tool().option("-D", "/run/full").run(&["-o", "/run/full/gc.log", "--show"]);
    assert_eq!(refused.code(), 2, "{refused}");
    assert!(refused.stderr.contains("criu-gc: error: no CRIU image in /run/full"), "{refused}");
    let run = scene.tool().run(&["-o", "/run/full/gc.log"]);
    assert_eq!(run.code(), 0, "{run}");
    scene.assert_completes();
}

/// Some single calls, and all from the first one on.
fn once_and_always(first: u32) -> Vec<String> {
    let single = (first..first + SINGLE).map(|number| number.to_string());
    single.chain([format!("{first}+"), format!("{}+", first + SINGLE)]).collect()
}

/// It ended by itself, with a message if it failed, and did not call clean what is not.
#[track_caller]
pub(crate) fn assert_words(injection: &str, run: &Finished) {
    assert!(!run.stderr.contains("panicked"), "{injection}: {run}");
    assert!(run.code() != 2 || run.stderr.contains("criu-gc: error: "), "{injection}: {run}");
    assert!(run.code() == 0 || !run.stdout.contains("Nothing is left"), "{injection}: {run}");
}

/// The counts are what SECURITY.md says.
#[expect(clippy::disallowed_macros, reason = "a test may print")]
pub(crate) fn tell(what: &str) {
    println!("{what}");
}
