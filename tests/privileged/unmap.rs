// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc heal --unmap`: the memory that a killed dump left in a process goes, and the process notices nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{CommandExt, Criu, DumpOptions, Finished, Kill, LockMethod, TestHost, Word, wait_until};

use crate::case::{Case, Cases};
use crate::heal::{Echo, damages};
use crate::places::images_of;
use crate::tool::binary;
use crate::trace::tampering;
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "heal unmaps the memory of a killed dump, in all processes and if asked to", test: on_request },
    Case { name: "heal cuts no wait short when it unmaps", test: waits },
]));
inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "heal that is killed while it unmaps leaves the tree running, and the next goes on", test: killed },
    Case { name: "heal unmaps nothing that only has the name of CRIU's memory", test: look_alikes },
    Case { name: "heal unmaps in a stopped process, which stays stopped", test: stopped },
]));

const NAME: &str = "/memfd:CRIUMFD (deleted)";

/// The lines of the memory of CRIU, of all processes of the tree.
fn memory(echo: &Echo) -> Vec<String> {
    echo.tree.real_pids().into_iter().flat_map(memory_of).collect()
}

fn memory_of(pid: u32) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter(|line| line.ends_with(NAME)).map(str::to_owned).collect()
}

/// The dump is killed when CRIU's memory is in the process of this number.
fn with_memory(criu: &Criu, echo: Echo, number: u32) -> Echo {
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    let kill = Kill::after("write", "Dumping core").number(number);
    criu.dump_killed(&echo.host, &echo.tree, &images_of(&echo.host), &options, kill);
    // What CRIU ran in them ends by itself.
    let is_free = || echo.tree.real_pids().iter().all(|pid| !is_traced(*pid)).then_some(());
    assert!(wait_until(is_free).is_some(), "void: the tree is still traced");
    assert_eq!(memory(&echo).len(), 2, "void: {:?}", memory(&echo));
    echo
}

fn is_traced(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| !text.contains("TracerPid:\t0"))
}

/// A tree that answers a peer, and waits in threads.
fn waiting() -> (Echo, PathBuf) {
    let host = TestHost::new();
    let file = host.dir().join("waits");
    let words: [Word<'_>; 2] = [&"waits", &file];
    let echo = Echo::with(host, &words, Net::of_host);
    (echo, file)
}

#[track_caller]
fn assert_done(echo: &Echo, arguments: &[&str]) -> Finished {
    let pid = echo.pid();
    let run = echo.heal(&[&["--pid", pid.as_str()], arguments].concat());
    assert_eq!(run.code(), 0, "{run}");
    run
}

fn on_request(criu: &Criu) {
    let echo = with_memory(criu, Echo::busy(), 2);
    let before = memory(&echo);
    let shown = assert_done(&echo, &["--show"]);
    assert!(shown.stdout.contains("Memory of CRIU: 2 mappings ("), "{shown}");
    assert!(shown.stdout.contains("(kept: it harms nothing; heal --unmap unmaps it)"), "{shown}");
    assert_done(&echo, &[]);
    assert_done(&echo, &["--show", "--exit-code"]);
    assert_done(&echo, &["--unmap", "--show"]);
    assert_eq!(memory(&echo), before, "without the request, or with --show");
    let healed = assert_done(&echo, &["--unmap"]);
    assert!(healed.stdout.contains("(healed: unmap it)") && memory(&echo).is_empty(), "{healed}");
    let again = assert_done(&echo, &["--unmap"]);
    assert_eq!(again.stdout, "No damage.\n", "{again}");
    assert!(echo.answers() && echo.ends_by_sigterm(), "{healed}");
}

/// The waits in a file, each with its milliseconds.
fn waits_in(file: &Path) -> Vec<(String, u32)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let parse = |line: &str| line.split_once(' ').map(|(name, time)| (name.to_owned(), time.parse().expect("a time")));
    text.lines().filter_map(parse).collect()
}

/// Waits until each thread has waited to its end this often.
fn await_waits(file: &Path, count: usize) {
    let is_long = || {
        let waits = waits_in(file);
        let number = |name: &str| waits.iter().filter(|(of, _)| of == name).count();
        ["sleep", "futex", "poll"].iter().all(|name| number(name) >= count).then_some(())
    };
    assert!(wait_until(is_long).is_some(), "void: {:?}", waits_in(file));
}

#[track_caller]
fn assert_none_short(file: &Path) {
    let waits = waits_in(file);
    assert!(waits.iter().all(|(_, time)| *time >= 1500), "{waits:?}");
}

fn waits(criu: &Criu) {
    let (echo, file) = waiting();
    let echo = with_memory(criu, echo, 1);
    // The dump itself may have cut waits short.
    await_waits(&file, waits_in(&file).len() + 1);
    std::fs::remove_file(&file).expect("the waits");
    let healed = assert_done(&echo, &["--unmap"]);
    assert!(memory(&echo).is_empty(), "{healed}");
    await_waits(&file, 2);
    assert_none_short(&file);
    assert!(echo.answers() && echo.ends_by_sigterm(), "{healed}");
}

/// criu-gc is killed right before each of its calls of `ptrace`. Between two of them the thread makes a call that is not its
/// own: whatever comes of that, the tree runs.
fn killed(criu: &Criu) {
    let start = || with_memory(criu, Echo::busy(), 1);
    let (mut echo, mut crashes, mut unmapped) = (start(), 0, 0);
    for number in 1..200 {
        let words = tampering(&[&format!("ptrace:signal=KILL:when={number}")]);
        let mut words = words.iter().map(String::as_str);
        let mut command = echo.host.command(words.next().expect("strace"));
        let run = command.args(words).arg(binary()).args(["heal", "--unmap", "--pid", &echo.pid()]).finish();
        let runs = || matches!(echo.tree.state(), Some('S' | 'R')).then_some(());
        assert!(
            wait_until(runs).is_some(),
            "after ptrace {number} the tree is in state {:?}: {run}",
            echo.tree.state()
        );
        assert!(echo.answers(), "after ptrace {number}: {run}");
        if run.code() == 0 {
            break;
        }
        crashes += 1;
        // Then the next run would have less to do.
        if memory(&echo).is_empty() {
            unmapped += 1;
            assert_done(&echo, &["--unmap"]);
            assert!(memory(&echo).is_empty() && echo.answers(), "after ptrace {number}");
            assert!(echo.ends_by_sigterm(), "after ptrace {number}");
            echo = start();
        }
    }
    assert!(memory(&echo).is_empty() && crashes > 12 && unmapped > 2, "void: {crashes} crashes, {unmapped} unmapped");
    assert!(echo.ends_by_sigterm());
    crate::faults::tell(&format!("{crashes} runs killed, {unmapped} of them after a process had unmapped its memory"));
}

/// A program that has mapped a memory file of that name itself, not as CRIU does.
const LOOK_ALIKE: &str = "
import mmap, os, sys, time
fd = os.memfd_create('CRIUMFD')
os.ftruncate(fd, 8192)
written = mmap.mmap(fd, 8192)
written[:4] = b'mine'
if sys.argv[1] == 'both':
    code = mmap.mmap(fd, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_EXEC)
open(sys.argv[2] + '.new', 'w').write(str(os.getpid()))
os.rename(sys.argv[2] + '.new', sys.argv[2])
time.sleep(600)
";

fn look_alikes(_: &Criu) {
    let host = TestHost::new();
    for kind in ["written", "both"] {
        let ready = host.dir().join(kind);
        let mut program = host.command("python3").args(["-c", LOOK_ALIKE, kind]).arg(&ready).spawn().expect("nsenter");
        assert!(wait_until(|| ready.exists().then_some(())).is_some(), "void: the program does not start");
        let pid = std::fs::read_to_string(&ready).expect("a pid");
        let maps = || host.command("cat").arg(format!("/proc/{pid}/maps")).succeed().stdout;
        let before = maps();
        assert!(before.contains(NAME), "void: {before}");
        let run = host.command(binary()).args(["heal", "--unmap", "--json", "--pid", &pid]).finish();
        let found = damages(&run);
        assert_eq!(found[0]["reason"]["name"], "odd-memory", "{run}");
        assert_eq!((run.code(), maps()), (1, before), "{run}");
        host.run("kill", &[&"-KILL", &pid]);
        let _ = program.wait();
    }
}

fn stopped(criu: &Criu) {
    let echo = with_memory(criu, Echo::busy(), 2);
    let child = echo.tree.real_pids().into_iter().find(|pid| !memory_of(*pid).is_empty()).expect("a child");
    let send = |signal: &str| std::process::Command::new("kill").arg(signal).arg(child.to_string()).succeed();
    let state = || std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
    let await_stop = || wait_until(|| state().contains("State:\tT (stopped)").then_some(())).is_some();
    send("-STOP");
    assert!(await_stop(), "void: it does not stop: {}", state());
    let healed = assert_done(&echo, &["--unmap"]);
    assert!(memory(&echo).is_empty() && await_stop(), "{healed}{}", state());
    std::thread::sleep(Duration::from_millis(200));
    assert!(state().contains("State:\tT (stopped)"), "{healed}{}", state());
    send("-CONT");
    assert!(wait_until(|| state().contains("State:\tS").then_some(())).is_some(), "{healed}{}", state());
    assert!(echo.answers() && echo.ends_by_sigterm(), "{healed}");
}
