// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc heal`: processes that a killed dump left damaged are as they were before the dump.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use testkit::{
    CommandExt, Criu, DumpOptions, Finished, IptablesFlavour, Kill, Launch, LockMethod, NetNamespace, Network,
    TestHost, Word, Workload, wait_until,
};

use crate::case::{Case, Cases};
use crate::control_group::ControlGroup;
use crate::filters::make_tables;
use crate::places::images_of;
use crate::tool::binary;
use crate::trace::tampering;
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "heal by pid lets the traffic of a damaged tree flow again", test: traffic_by_pid },
    Case { name: "heal by images lets the traffic of a damaged tree flow again", test: traffic_by_images },
    Case { name: "heal opens a network namespace that a killed dump shut", test: closed },
    Case { name: "heal gives back code and signals, wherever the dump was killed", test: injection },
    Case { name: "heal thaws the control group that a killed dump froze, and no other", test: frozen },
    Case { name: "heal leaves a tree alone while a dump is at work", test: at_work },
    Case { name: "heal that is killed at any change leaves the tree running, and the next goes on", test: killed },
]));
inventory::submit!(Cases::with_newest_criu(&[Case {
    name: "heal changes nothing of a process without damage",
    test: look_alikes,
}]));

/// How many deleted files a busy tree has open.
const FILES: usize = 20;

/// A host with a tree that answers a peer, which is the test itself.
pub(crate) struct Echo {
    pub(crate) host: TestHost,
    pub(crate) tree: Workload,
    peer: TcpStream,
}

impl Echo {
    fn new() -> Self {
        Self::with(TestHost::new(), &[], Net::of_host)
    }

    /// The same with deleted files, connections of its own and children: their dump takes longer than CRIU's start.
    pub(crate) fn busy() -> Self {
        let host = TestHost::new();
        let files: Vec<PathBuf> = (0..FILES).map(|number| host.dir().join(format!("data {number}"))).collect();
        let connection: [Word<'_>; 2] = [&"listen-connect", &"127.0.0.1:0"];
        let child: [Word<'_>; 4] = [&"child", &"listen-connect", &"127.0.0.1:0", &"end"];
        let files = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]);
        let words: Vec<Word<'_>> = files.chain(connection.repeat(6)).chain(child.repeat(2)).collect();
        Self::with(host, &words, Net::of_host)
    }

    pub(crate) fn with(host: TestHost, words: &[Word<'_>], net: impl Fn(&TestHost) -> Net) -> Self {
        let listener = net(&host).listener();
        Self::start(host, words, listener, Network::Host)
    }

    fn start(host: TestHost, words: &[Word<'_>], listener: TcpListener, network: Network) -> Self {
        let address = listener.local_addr().expect("an address").to_string();
        let words: Vec<Word<'_>> = words.iter().copied().chain([&"echo" as Word<'_>, &address]).collect();
        let tree = Launch::new(&words).network(network).start(&host);
        let (peer, _) = listener.accept().expect("the tree");
        let echo = Echo { host, tree, peer };
        assert!(echo.answers(), "void: no answer before the dump");
        echo
    }

    /// Whether the tree answers the peer. Bytes of an earlier question may come first.
    pub(crate) fn answers(&self) -> bool {
        self.answers_within(Duration::from_secs(20))
    }

    fn is_silent(&self) -> bool {
        !self.answers_within(Duration::from_millis(700))
    }

    fn answers_within(&self, limit: Duration) -> bool {
        let mut peer = &self.peer;
        peer.set_read_timeout(Some(limit)).expect("a socket");
        peer.write_all(b"?").is_ok() && peer.read(&mut [0; 64]).is_ok_and(|length| length > 0)
    }

    pub(crate) fn pid(&self) -> String {
        self.tree.pid().to_string()
    }

    pub(crate) fn heal(&self, arguments: &[&str]) -> Finished {
        heal(&self.host, arguments)
    }

    /// SIGTERM ends it, as it does any program that does not handle it.
    pub(crate) fn ends_by_sigterm(self) -> bool {
        self.host.run("kill", &[&"-TERM", &self.pid()]);
        wait_until(|| matches!(self.tree.state(), None | Some('Z')).then_some(())).is_some()
    }

    /// The whole protocol: `--show` lists damage and changes nothing, `heal` mends it, and nothing is left.
    fn assert_heals(self, target: &[&str]) {
        let show: Vec<&str> = target.iter().copied().chain(["--show", "--exit-code"]).collect();
        let before = self.host.snapshot(&[]);
        let shown = self.heal(&show);
        assert_eq!(shown.code(), 1, "{shown}");
        assert_eq!(before.difference(&self.host.snapshot(&[])), [""; 0], "--show changed something: {shown}");
        assert!(self.is_silent(), "void: the tree answers: {shown}");
        let healed = self.heal(target);
        assert_eq!(healed.code(), 0, "{healed}");
        assert!(self.answers(), "{healed}");
        let again = self.heal(&show);
        assert_eq!(again.code(), 0, "{healed}{again}");
        assert!(self.ends_by_sigterm(), "{healed}");
    }
}

fn heal(host: &TestHost, arguments: &[&str]) -> Finished {
    host.command(binary()).arg("heal").args(arguments).finish()
}

pub(crate) fn damages(finished: &Finished) -> Vec<Value> {
    let document: Value = serde_json::from_str(&finished.stdout).expect("one JSON document");
    document["subjects"][0]["damages"].as_array().expect("damages").clone()
}

/// How a dump locks single connections.
const LOCKS: [(LockMethod, IptablesFlavour); 3] = [
    (LockMethod::Iptables, IptablesFlavour::Nft),
    (LockMethod::Iptables, IptablesFlavour::Legacy),
    (LockMethod::Nftables, IptablesFlavour::Nft),
];

fn after_repair(criu: &Criu, (lock, flavour): (LockMethod, IptablesFlavour)) -> Echo {
    let echo = Echo::new();
    make_tables(&echo.host, None, flavour);
    let options = DumpOptions { lock, flavour, ..DumpOptions::default() };
    criu.dump_killed(&echo.host, &echo.tree, &images_of(&echo.host), &options, Kill::after("write", "Dumping core"));
    echo
}

fn traffic_by_pid(criu: &Criu) {
    for lock in LOCKS {
        let echo = after_repair(criu, lock);
        let pid = echo.pid();
        echo.assert_heals(&["--pid", &pid]);
    }
}

fn traffic_by_images(criu: &Criu) {
    for lock in LOCKS {
        let echo = after_repair(criu, lock);
        let images = images_of(&echo.host);
        echo.assert_heals(&["-D", images.to_str().expect("a path")]);
    }
}

fn closed(criu: &Criu) {
    for (lock, flavour) in LOCKS {
        let host = TestHost::new();
        let namespace: NetNamespace = host.make_net_namespace("blue");
        make_tables(&host, None, flavour);
        make_tables(&host, Some(&namespace.path()), flavour);
        let listener = Net::at(&host, &namespace.path()).listener();
        let echo = Echo::start(host, &[], listener, Network::Named(namespace));
        let options = DumpOptions { lock, flavour, ..DumpOptions::default() };
        let images = images_of(&echo.host);
        criu.dump_killed(&echo.host, &echo.tree, &images, &options, Kill::after("write", "Dumping core"));
        let pid = echo.pid();
        echo.assert_heals(&["--pid", &pid]);
    }
}

/// The dump is killed at each step of its work in the process; some of these steps are deadly, which nothing heals.
fn injection(criu: &Criu) {
    let (mut dead, mut found) = (0, std::collections::BTreeMap::<String, u32>::new());
    for number in 16..56 {
        let echo = Echo::new();
        let images = images_of(&echo.host);
        let kill = Kill::after("ptrace", "").number(number);
        let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
        criu.dump_killed(&echo.host, &echo.tree, &images, &options, kill);
        std::thread::sleep(Duration::from_millis(100));
        if matches!(echo.tree.state(), None | Some('Z')) {
            dead += 1;
            continue;
        }
        let pid = echo.pid();
        for damage in damages(&echo.heal(&["--pid", &pid, "--show", "--json"])) {
            *found.entry(damage["kind"].as_str().expect("a kind").to_owned()).or_default() += 1;
        }
        let healed = echo.heal(&["--pid", &pid]);
        assert_eq!(healed.code(), 0, "step {number}: {healed}");
        let again = echo.heal(&["--pid", &pid, "--show", "--exit-code"]);
        assert_eq!(again.code(), 0, "step {number}: {healed}{again}");
        assert!(echo.answers(), "step {number}: {healed}");
        assert!(echo.ends_by_sigterm(), "step {number}: {healed}");
    }
    crate::faults::tell(&format!("{dead} trees died, damage of the others: {found:?}"));
    for kind in ["overwritten-code", "blocked-signals"] {
        assert!(found.contains_key(kind), "void: {dead} dead, {found:?}");
    }
}

fn frozen(criu: &Criu) {
    let group = ControlGroup::unified(&format!("heal.{}", criu.version()));
    let echo = Echo::new();
    group.add(&echo.tree);
    let images = images_of(&echo.host);
    let extra = vec!["--freeze-cgroup".into(), group.in_host().into()];
    let options = DumpOptions { lock: LockMethod::Skip, extra, ..DumpOptions::default() };
    let kill = Kill::after("write", "freezing processes");
    criu.dump_killed(&echo.host, &echo.tree, &images, &options, kill);
    assert!(group.is_frozen(), "void: it is not frozen");
    let pid = echo.pid();
    let by_pid = echo.heal(&["--pid", &pid]);
    assert!(by_pid.code() == 1 && group.is_frozen(), "only the log says who froze it: {by_pid}");
    let images = images.to_str().expect("a path");
    let healed = echo.heal(&["-D", images]);
    assert!(healed.code() == 0 && !group.is_frozen(), "{healed}");
    assert!(echo.answers(), "{healed}");
    // Somebody pauses it before the next dump, which is killed at the same place.
    group.set_frozen("1");
    let second = echo.host.dir().with_file_name("second");
    let kill = Kill::after("write", "cgroup.freeze=1");
    criu.dump_killed(&echo.host, &echo.tree, &second, &options, kill);
    let kept = echo.heal(&["-D", second.to_str().expect("a path")]);
    assert!(kept.code() == 1 && group.is_frozen(), "{kept}");
    group.set_frozen("0");
    assert!(echo.ends_by_sigterm());
}

fn at_work(criu: &Criu) {
    let echo = Echo::new();
    make_tables(&echo.host, None, IptablesFlavour::Nft);
    let images = images_of(&echo.host);
    let (script, reached) = (echo.host.dir().join("action"), echo.host.dir().join("reached"));
    let text = format!(
        "#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION != post-dump ] || {{ touch {0}; sleep 600; }}\n",
        reached.display()
    );
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a script");
    let extra = vec!["--action-script".into(), script.into_os_string()];
    let options = DumpOptions { extra, ..DumpOptions::default() };
    let mut dump = criu.dump_command(&echo.host, &echo.tree, &images, &options).spawn().expect("nsenter");
    assert!(wait_until(|| reached.exists().then_some(())).is_some(), "void: the dump does not come to its script");
    let before = echo.host.snapshot(&[]);
    let pid = echo.pid();
    for target in [["--pid", pid.as_str()], ["-D", images.to_str().expect("a path")]] {
        let left_alone = echo.heal(&target);
        assert_eq!(left_alone.code(), 1, "{left_alone}");
        assert!(left_alone.stdout.contains("Not touched: "), "{left_alone}");
        assert_eq!(before.difference(&echo.host.snapshot(&[])), [""; 0], "{left_alone}");
    }
    assert!(echo.is_silent(), "void: the dump has not locked anything");
    let shown = echo.heal(&["--pid", &pid, "--show"]);
    let tracer = shown.stdout.strip_prefix("Not touched: process ").and_then(|rest| rest.split(' ').next());
    echo.host.run("kill", &[&"-9", &tracer.expect("the criu that traces it")]);
    let _ = dump.wait();
    // Now the same tree is healed without an option.
    let healed = wait_until(|| Some(echo.heal(&["--pid", &pid])).filter(|run| run.code() == 0)).expect("a cure");
    assert!(echo.answers(), "{healed}");
}

/// A tree whose code is overwritten and whose signals are blocked, or one of both. Which steps of a dump leave which depends
/// on the version of CRIU.
fn damaged_in_memory(criu: &Criu) -> Echo {
    let damaged = (16..56).find_map(|number| {
        let echo = Echo::new();
        let images = images_of(&echo.host);
        let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
        criu.dump_killed(&echo.host, &echo.tree, &images, &options, Kill::after("ptrace", "").number(number));
        std::thread::sleep(Duration::from_millis(100));
        let is_alive = !matches!(echo.tree.state(), None | Some('Z'));
        let is_damaged = |echo: &Echo| {
            let shown = damages(&echo.heal(&["--pid", &echo.pid(), "--show", "--json"]));
            shown.iter().any(|damage| damage["kind"] == "overwritten-code")
        };
        (is_alive && is_damaged(&echo)).then_some(echo)
    });
    damaged.expect("void: no step of a dump overwrites code")
}

/// criu-gc is killed at each call that changes something: the tree runs, and what is left the next run mends.
fn killed(criu: &Criu) {
    let mut crashes = 0;
    for call in ["setsockopt", "ptrace", "pwrite64", "sendto"] {
        let echo = match call {
            "ptrace" | "pwrite64" => damaged_in_memory(criu),
            _ => after_repair(criu, LOCKS[0]),
        };
        let pid = echo.pid();
        for number in 1.. {
            let words = tampering(&[&format!("{call}:signal=KILL:when={number}")]);
            let mut words = words.iter().map(String::as_str);
            let mut command = echo.host.command(words.next().expect("strace"));
            let run = command.args(words).arg(binary()).args(["heal", "--pid", &pid]).finish();
            let state = echo.tree.state();
            assert!(
                matches!(state, Some('S' | 'R' | 'D')),
                "after {call} {number} the tree is in state {state:?}: {run}"
            );
            if run.code() == 0 {
                break;
            }
            assert!(number < 200, "{run}");
            crashes += 1;
        }
        assert_eq!(echo.heal(&["--pid", &pid, "--exit-code", "--show"]).code(), 0);
        assert!(echo.answers(), "after crashes at {call}");
        assert!(echo.ends_by_sigterm(), "after crashes at {call}");
    }
    assert!(crashes > 3, "void: {crashes} crashes");
    crate::faults::tell(&format!("{crashes} runs killed"));
}

fn look_alikes(_: &Criu) {
    let group = ControlGroup::unified("heal.paused");
    let echo = Echo::new();
    let pid = echo.pid();
    let nothing = echo.heal(&["--pid", &pid]);
    assert_eq!((nothing.code(), nothing.stdout.as_str()), (0, "No damage.\n"), "{nothing}");
    group.add(&echo.tree);
    group.set_frozen("1");
    let paused = echo.heal(&["--pid", &pid]);
    assert!(paused.code() == 1 && group.is_frozen(), "{paused}");
    group.set_frozen("0");
    for wrong in [&["--pid", "99999999"][..], &["--pid", "0"], &["--pid", &pid, "--save", "/x"], &[]] {
        let refused = echo.heal(wrong);
        assert_eq!(refused.code(), 2, "{wrong:?}: {refused}");
    }
    let all_or_nothing = echo.heal(&["--pid", &pid, "--pid", "99999999"]);
    assert_eq!(all_or_nothing.code(), 2, "{all_or_nothing}");
    assert!(echo.answers() && echo.ends_by_sigterm());
}
