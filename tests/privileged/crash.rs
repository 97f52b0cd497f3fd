// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs that are killed after each step, one by one: the next run goes on, and nothing half-done stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use testkit::{Criu, DumpOptions, IptablesFlavour, LockMethod, Snapshot, TestHost, Word};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::device_links::dump_on;
use crate::disk::Disk;
use crate::faults::tell;
use crate::filters::make_tables;
use crate::links::images_of;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "a run that is killed after each link remap, one by one, is carried on by the next", test: links },
    Case { name: "a run that is killed at each step of the packet filter is carried on by the next", test: rules },
    Case { name: "a run that is killed while it talks to the kernel is carried on by the next", test: messages },
    Case { name: "a run that is killed while it removes a closed namespace's chain is carried on", test: chain },
    Case { name: "a run that is killed over a device leaves nothing mounted", test: device },
    Case { name: "a run that is killed at each step of --save is carried on, and every file is saved", test: saving },
]));

/// Of each run that is killed, that many steps are done before.
fn links(criu: &Criu) {
    let mut crashes = 0;
    for steps in [0, 1, 2] {
        let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
        let left = |scene: &Scene| scene.left().iter().filter(|line| line.contains(": + link_remap.")).count();
        let mut before = left(&scene);
        assert_eq!(before, LINKS, "void: the dump left something else");
        while before > steps {
            let run = scene.tool().under_strace(&[&format!("unlinkat:signal=KILL:when={}", steps + 1)]).run(&[]);
            assert_eq!(run.code(), -9, "{run}");
            crashes += 1;
            scene.assert_scope_after_crash();
            assert_eq!(left(&scene), before - steps, "{run}");
            before -= steps;
            if steps == 0 {
                break;
            }
        }
        scene.assert_completes();
    }
    tell(&format!("{crashes} runs killed at a link"));
}

fn rules(criu: &Criu) {
    for (lock, flavour) in SCENES {
        let scene = Scene::new(criu, lock, flavour);
        let crashes = scene.crash_at_each("clone3", &[]);
        assert!(crashes > 3, "void: {crashes} crashes");
        tell(&format!("{crashes} runs killed at a step of the packet filter"));
        scene.assert_completes();
    }
}

fn messages(criu: &Criu) {
    for (lock, flavour) in SCENES {
        let scene = Scene::new(criu, lock, flavour);
        let crashes = ["sendto", "recvfrom"].map(|call| scene.crash_at_each(call, &[]));
        assert!(crashes[0] > 3, "void: {crashes:?} crashes");
        tell(&format!("{} runs killed at a message to or from the kernel", crashes[0] + crashes[1]));
        scene.assert_completes();
    }
}

fn chain(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let tree = closed.start_tree();
        let before = closed.named("images").snapshot();
        closed.dump(criu, &tree, "images", flavour);
        assert!(!closed.lets_packets_pass(), "void: the namespace is open");
        let dumped = by_section(&closed.named("images").difference_to(&before));
        let mut crashes = 0;
        for call in ["clone3", "sendto"] {
            for number in 1.. {
                let killing = format!("{call}:signal=KILL:when={number}");
                let run = closed.named("images").under_strace(&[&killing]).run(&[]);
                if run.code() == 0 {
                    break;
                }
                assert_eq!(run.code(), -9, "{run}");
                crashes += 1;
                // Of each table either the whole chain is there, with all jumps, or nothing of it.
                for (section, lines) in by_section(&closed.named("images").difference_to(&before)) {
                    assert_eq!(dumped.get(&section), Some(&lines), "{run}");
                }
            }
        }
        assert!(crashes > 3, "void: {crashes} crashes");
        tell(&format!("{crashes} runs killed over a closed namespace"));
        assert_eq!(closed.named("images").difference_to(&before), NOTHING);
        closed.named("images").assert_finds_nothing();
    }
}

/// Differences between two snapshots, by what they are differences of. What nft tells of all families is left out.
fn by_section(difference: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in difference.iter().filter(|line| !line.starts_with("nft in ")) {
        let (section, _) = line.split_once(": ").expect("a section");
        sections.entry(section.to_owned()).or_default().insert(line.clone());
    }
    sections
}

/// A filesystem that was mounted for the run alone goes with it.
fn device(criu: &Criu) {
    // Of an ext4 the kernel is also told what to do after an error.
    for (fstype, megabytes, settings) in [("xfs", 320, 2), ("ext4", 16, 3)] {
        assert_leaves_nothing_mounted(criu, (fstype, megabytes), settings);
    }
}

/// A mount is made by so many calls of fsconfig, and one of each other kind.
fn assert_leaves_nothing_mounted(criu: &Criu, (fstype, megabytes): (&'static str, u64), settings: u32) {
    let host = TestHost::new();
    let disk = Disk::mounted(&host, fstype, megabytes);
    let dump = dump_on(criu, &host, &disk);
    let mut crashes = 0;
    for call in ["fsopen", "fsconfig", "fsmount", "unlinkat"] {
        // All is removed by a run that ends by itself.
        for number in 1..=if call == "fsconfig" { settings } else { 1 } {
            let run = dump.tool().under_strace(&[&format!("{call}:signal=KILL:when={number}")]).run(&[]);
            assert_eq!(run.code(), -9, "{run}");
            crashes += 1;
            disk.await_unmount();
        }
    }
    tell(&format!("{crashes} runs killed over a device"));
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    disk.await_unmount();
    dump.tool().assert_finds_nothing();
    disk.release();
}

/// The directory is on another filesystem, so files are copied.
fn saving(criu: &Criu) {
    for call in ["mkdirat", "linkat", "pwrite64", "fsync", "fdatasync", "unlinkat", "ftruncate", "copy_file_range"] {
        let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
        let crashes = scene.crash_at_each(call, &["--save", "/run/saved"]);
        tell(&format!("{crashes} runs killed at {call} of --save"));
        scene.assert_completes();
        let saved = scene.host.path("/run/saved");
        let names: BTreeSet<String> = manifest(&saved).iter().map(|line| line["link"]["text"].to_string()).collect();
        assert_eq!(names.len(), LINKS, "after crashes at {call}: {names:?}");
        for line in manifest(&saved) {
            let file = saved.join(line["file"].as_str().expect("a name"));
            let size = fs::metadata(&file).expect("a saved file").len();
            assert_eq!(Some(size), line["size"].as_u64(), "{}", file.display());
        }
    }
}

pub(crate) fn manifest(directory: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(directory.join("manifest.jsonl")).expect("a manifest");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How the connections of the scene are locked.
const SCENES: [(LockMethod, IptablesFlavour); 3] = [
    (LockMethod::Iptables, IptablesFlavour::Nft),
    (LockMethod::Iptables, IptablesFlavour::Legacy),
    (LockMethod::Nftables, IptablesFlavour::Nft),
];

/// How many link remaps the scene's dump leaves.
pub(crate) const LINKS: usize = 5;

/// A host with what a dump left: five link remaps, each of an inode of its own, in two directories; and the locks of an
/// IPv4 and an IPv6 connection.
pub(crate) struct Scene {
    pub(crate) host: TestHost,
    before: Snapshot,
    dumped: Snapshot,
}

impl Scene {
    pub(crate) fn new(criu: &Criu, lock: LockMethod, flavour: IptablesFlavour) -> Self {
        let host = TestHost::new();
        make_tables(&host, None, flavour);
        let files = ["one", "two", "three", "four"].map(|name| host.dir().join(name));
        let mut words: Vec<Word<'_>> = vec![&"semaphore", &"name"];
        words.extend(files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]));
        if lock != LockMethod::Skip {
            words.extend([&"listen-connect" as Word<'_>, &"127.0.0.1:0", &"listen-connect", &"[::1]:0"]);
        }
        let tree = host.start_workload(&words);
        let snapshot = |host: &TestHost| Tool::new(host, &images_of(host)).snapshot();
        let before = snapshot(&host);
        criu.dump(&host, &tree, &images_of(&host), &DumpOptions { lock, flavour, ..DumpOptions::default() });
        drop(tree);
        let dumped = snapshot(&host);
        assert_ne!(before, dumped, "void: the dump left nothing");
        Scene { host, before, dumped }
    }

    pub(crate) fn tool(&self) -> Tool<'_> {
        Tool::new(&self.host, &images_of(&self.host))
    }

    /// What is there now and was not before the dump, and the contrary.
    pub(crate) fn left(&self) -> Vec<String> {
        self.tool().difference_to(&self.before)
    }

    /// What has changed since the dump is part of what the dump left, and nothing else.
    #[track_caller]
    pub(crate) fn assert_scope(&self) {
        let dumped: BTreeSet<String> = self.before.difference(&self.dumped).into_iter().collect();
        let now = self.left();
        let is_new = |line: &&String| !dumped.contains(*line);
        let new: Vec<&String> = now.iter().filter(is_new).collect();
        assert!(new.is_empty(), "neither before the dump nor after it: {new:#?}");
    }

    /// The same, and nobody holds a lock or has something mounted.
    #[track_caller]
    pub(crate) fn assert_scope_after_crash(&self) {
        self.assert_scope();
        let images = images_of(&self.host);
        let is_free = self.host.command("flock").args(["-nx"]).arg(images).arg("true").status().expect("nsenter");
        assert!(is_free.success(), "a lock is left");
    }

    /// A run without any fault removes what is left, and the next finds nothing.
    #[track_caller]
    pub(crate) fn assert_completes(&self) {
        let run = self.tool().run(&[]);
        assert_eq!(run.code(), 0, "{run}");
        assert_eq!(self.left(), NOTHING, "{run}");
        self.tool().assert_finds_nothing();
    }

    /// Kills a run at the first such call, the next at the second, and so on, until one gets through. A call's number is
    /// counted in each thread.
    #[track_caller]
    fn crash_at_each(&self, call: &str, arguments: &[&str]) -> usize {
        for number in 1.. {
            let run = self.tool().under_strace(&[&format!("{call}:signal=KILL:when={number}")]).run(arguments);
            if run.code() == 0 {
                return number - 1;
            }
            assert_eq!(run.code(), -9, "{run}");
            self.assert_scope_after_crash();
        }
        unreachable!("a run without end")
    }
}
