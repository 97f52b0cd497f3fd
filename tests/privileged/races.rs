// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules, mounts and trees that change while criu-gc works: it removes what is the checkpoint's, or says that it could
//! not; what others have made stays, and a run in peace does the rest.

use std::fs;
use std::path::PathBuf;

use testkit::{Criu, DumpOptions, IptablesFlavour, LockMethod, TestHost};

use crate::case::{Case, Cases};
use crate::crash::Scene;
use crate::faults::tell;
use crate::locks::{Running, dump_second};
use crate::places::{has_link, images_of};
use crate::signals::dump_long;
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "rules are removed beside writers of iptables and nft that never pause", test: rules },
    Case {
        name: "rules that change between each look and each removal are read again, or kept and told",
        test: lost_races,
    },
    Case { name: "links are removed while their directory is mounted over, again and again", test: mounts },
    Case { name: "one checkpoint is cleaned while criu dumps another tree of the host", test: beside_dumps },
    Case { name: "one checkpoint is cleaned while criu restores another tree of the host", test: beside_restores },
    Case { name: "two checkpoints of one host are cleaned at the same time", test: two_checkpoints },
]));

const ROUNDS: usize = 4;

/// A script of the host's that runs again and again, until this goes out of scope.
struct Writer<'a> {
    host: &'a TestHost,
    stop: PathBuf,
    program: Option<Running>,
}

impl<'a> Writer<'a> {
    fn start(host: &'a TestHost, script: &str) -> Self {
        let stop = host.dir().with_file_name("stop");
        let count = host.dir().with_file_name("count");
        let script = format!("until [ -e {} ]; do {script}; echo >> {}; done", stop.display(), count.display());
        let mut command = host.command("sh");
        command.args(["-c", &script]);
        let writer = Writer { host, stop, program: Some(Running::start(command)) };
        testkit::wait_until(|| count.exists().then_some(())).expect("void: nothing is written");
        writer
    }

    /// Ends it, and tells how often it ran.
    fn stop(mut self) -> usize {
        self.end();
        let text = fs::read_to_string(self.host.dir().with_file_name("count")).expect("a count");
        fs::remove_file(self.host.dir().with_file_name("count")).expect("a count");
        fs::remove_file(&self.stop).expect("a file");
        text.lines().count()
    }

    fn end(&mut self) {
        fs::write(&self.stop, "").expect("a new file");
        self.program.take().map(Running::wait);
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if self.program.is_some() {
            self.end();
        }
    }
}

fn rules(criu: &Criu) {
    let (mut writes, mut removed) = (0, 0);
    for (lock, flavour, words) in [
        (LockMethod::Iptables, IptablesFlavour::Nft, "iptables-nft"),
        (LockMethod::Iptables, IptablesFlavour::Legacy, "iptables-legacy"),
        (LockMethod::Nftables, IptablesFlavour::Nft, "iptables-nft"),
    ] {
        for _ in 0..ROUNDS {
            let scene = Scene::new(criu, lock, flavour);
            let script = format!(
                "{words} -w -I INPUT -s 192.0.2.1 -j DROP; nft add table inet others; {words} -w -D INPUT 1; \
                 nft delete table inet others"
            );
            let writer = Writer::start(&scene.host, &script);
            let run = scene.tool().run(&[]);
            writes += writer.stop();
            assert!(matches!(run.code(), 0 | 1), "{run}");
            assert!(run.code() == 0 || run.stdout.contains("changed"), "{run}");
            removed += usize::from(run.code() == 0);
            scene.assert_scope();
            scene.assert_completes();
        }
    }
    tell(&format!("{} removals beside {writes} rounds of writers; {removed} at the first go", 3 * ROUNDS));
}

/// Each question to the kernel takes so long that the rules have changed before the next.
fn lost_races(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let scene = Scene::new(criu, lock, IptablesFlavour::Nft);
        let writer = Writer::start(&scene.host, "nft add table inet others; nft delete table inet others");
        let run = scene.tool().under_strace(&["sendto:delay_enter=20000"]).run(&[]);
        let writes = writer.stop();
        assert_eq!(run.code(), 1, "{run}");
        // By the netlink of nf_tables itself, or by the tool, which gives up in the end.
        let told = ["another program changed the rules", "times while criu-gc read it; try again"];
        assert!(told.iter().any(|words| run.stdout.contains(words)), "{run}");
        tell(&format!("a removal that lost every race against {writes} rounds of a writer"));
        scene.assert_scope();
        scene.assert_completes();
    }
}

/// What is mounted over is not gone: status 0 means that nothing is left. From outside of the host nothing covers it.
fn mounts(criu: &Criu) {
    let mut mounted = 0;
    for _ in 0..ROUNDS {
        let scene = Scene::new(criu, LockMethod::Skip, IptablesFlavour::Nft);
        let directory = scene.host.dir().display().to_string();
        // A run may have the mount open: then it cannot be unmounted at once.
        let script = format!("mount -t tmpfs over {directory}; until umount {directory}; do :; done");
        let writer = Writer::start(&scene.host, &script);
        for _ in 0..3 {
            let run = scene.tool().run(&[]);
            assert!(matches!(run.code(), 0 | 1), "{run}");
            assert!(run.code() == 1 || !has_link(scene.host.dir()), "clean, though something is left: {run}");
        }
        mounted += writer.stop();
        scene.assert_scope();
        scene.assert_completes();
    }
    tell(&format!("{} runs while a directory was mounted over {mounted} times", 3 * ROUNDS));
}

fn beside_dumps(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let scene = Scene::new(criu, lock, IptablesFlavour::Nft);
        let slow = scene.tool().under_strace(&["unlinkat:delay_enter=100000"]).command(&[]);
        let removal = Running::start(slow);
        let other = dump_second(criu, &scene.host);
        assert_eq!(removal.wait(), Some(0));
        scene.tool().assert_finds_nothing();
        let shown = Tool::new(&scene.host, &other).run(&["--show"]);
        assert_eq!(shown.stdout.matches("; to be removed)").count(), 3, "{shown}");
        assert_eq!(Tool::new(&scene.host, &other).run(&[]).code(), 0);
        assert_eq!(scene.left(), NOTHING);
    }
}

fn beside_restores(criu: &Criu) {
    let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
    let directory = scene.host.dir().with_file_name("other");
    fs::create_dir(&directory).expect("a new directory");
    let tree = scene.host.start_workload(&[&"deleted", &directory.join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let images = scene.host.dir().with_file_name("other images");
    let dump = criu.dump(&scene.host, &tree, &images, &DumpOptions::default());
    let slow = scene.tool().under_strace(&["unlinkat:delay_enter=100000"]).command(&[]);
    let removal = Running::start(slow);
    let restored = criu.restore(&scene.host, &dump, &DumpOptions::default());
    assert_eq!(removal.wait(), Some(0));
    assert!(restored.state().is_some_and(|state| state == 'S' || state == 'R'), "{:?}", restored.state());
    scene.assert_completes();
    Tool::new(&scene.host, &images).assert_finds_nothing();
}

fn two_checkpoints(criu: &Criu) {
    for _ in 0..ROUNDS {
        let host = TestHost::new();
        let before = dump_long(criu, &host);
        let other = dump_second(criu, &host);
        let both = [images_of(&host), other].map(|images| Running::start(Tool::new(&host, &images).command(&[])));
        assert_eq!(both.map(Running::wait), [Some(0), Some(0)]);
        assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
    }
}
