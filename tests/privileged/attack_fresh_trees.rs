// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on "dead" (L4): a root without its end, processes that renamed themselves, addresses that are not random,
//! and another process of the same program that got a number again.

use std::fs;

use testkit::{Artifacts, CommandExt, Criu, DumpOptions, FinalState, TestHost};

use crate::attack::{Holder, assert_cleans, assert_left_alone, dump_process, has_link, newest};
use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::refusals::wait_until;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a tree lives whose root is a zombie, and is dead when it is nothing else", test: zombie },
    Case { name: "attack: a tree lives that has another name and its arguments elsewhere", test: renamed },
    Case { name: "attack: a tree without random addresses lives while it is stopped", test: fixed_addresses },
    Case { name: "attack: a process of the same program with the number again is not of the tree", test: same_program },
    Case { name: "attack: a tree that is traced and stopped lives", test: traced },
]));

fn tool(host: &TestHost) -> Tool<'_> {
    Tool::new(host, &images_of(host))
}

fn stopped() -> [std::ffi::OsString; 3] {
    ["--leave-stopped", "--network-lock", "skip"].map(Into::into)
}

fn skip() -> [std::ffi::OsString; 2] {
    ["--network-lock", "skip"].map(Into::into)
}

/// The command of a tree with a link in the host's directory; its program is run by what comes first.
fn workload(host: &TestHost, file: &str, ready: &str) -> String {
    let program = Artifacts::of_workspace().workload();
    format!("{} session {file} ready {}", program.display(), host.dir().with_file_name(ready).display())
}

fn deleted(host: &TestHost) -> String {
    format!("deleted {}", host.dir().join("data").display())
}

/// Who started the tree does not wait for it.
fn zombie(criu: &Criu) {
    const SCRIPT: &str = "
import ctypes, subprocess, sys, time
children = [subprocess.Popen(sys.argv[1:])]
ctypes.CDLL(None).prctl(15, b'holds', 0, 0, 0)
time.sleep(1000)
";
    let host = TestHost::new();
    let script = host.dir().with_file_name("parent.py");
    fs::write(&script, SCRIPT).expect("a new file");
    let words = format!("{} child listen 127.0.0.1:0 end", deleted(&host));
    let words = workload(&host, &words, "ready");
    let parent = Holder::start_until(
        &host,
        &format!("exec python3 {} {words}", script.display()),
        &host.dir().with_file_name("ready"),
    );
    let child_of = |pid: &str| host.run("pgrep", &[&"-P", &pid]).stdout.trim().to_owned();
    let root = child_of(&parent.pid.to_string());
    let child = child_of(&root);
    dump_process(criu, &host, root.parse().expect("a number"), &images_of(&host), &stopped());
    let state = |pid: &str| {
        let stat = fs::read_to_string(host.path(format!("/proc/{pid}/stat"))).unwrap_or_default();
        stat.rsplit_once(") ").map_or('-', |(_, rest)| rest.chars().next().expect("a state"))
    };
    host.run("kill", &[&"-KILL", &root]);
    wait_until(|| (state(&root) == 'Z' && state(&child) == 'T').then_some(())).expect("void: no zombie with a child");
    assert_left_alone(&tool(&host));
    host.run("kill", &[&"-KILL", &child]);
    wait_until(|| (state(&root) == 'Z' && "-Z".contains(state(&child))).then_some(())).expect("void: no zombie");
    assert_cleans(&tool(&host), || has_link(host.dir()));
    parent.end();
}

/// As daemons do that say in their title what they are doing.
fn renamed(criu: &Criu) {
    const SCRIPT: &str = "
import ctypes, os, struct, sys, time
os.setsid()
libc = ctypes.CDLL(None)
file = open(sys.argv[1], 'w+')
os.link(file.name, file.name + '.keep')
os.unlink(file.name)
libc.mmap.restype = ctypes.c_ulong
title = libc.mmap(None, ctypes.c_ulong(4096), 3, 0x22, -1, ctypes.c_long(0))
libc.prctl(15, b'holds', 0, 0, 0)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
now = [int(word) for word in open('/proc/self/stat').read().rsplit(') ', 1)[1].split()[20:49] if word.isdigit()]
libc.sbrk.restype = ctypes.c_ulong
code, data = now[3:5], now[22:25]
parts = code + data + [libc.sbrk(0), now[5]] + [title + at for at in (16, 4090, 4091, 4095)]
moved = struct.pack('<12QIi', *parts, 0, 0, -1)
assert libc.prctl(35, 14, moved, ctypes.c_ulong(len(moved)), ctypes.c_ulong(0)) == 0
libc.prctl(15, b'title', 0, 0, 0)
open(sys.argv[2] + '.done', 'w')
time.sleep(1000)
";
    let host = TestHost::new();
    let (script, go) = (host.dir().with_file_name("title.py"), host.dir().with_file_name("go"));
    fs::write(&script, SCRIPT).expect("a new file");
    let words = format!("exec python3 {} {} {}", script.display(), host.dir().join("data").display(), go.display());
    let holder = Holder::start(&host, &words);
    dump_process(criu, &host, holder.pid, &images_of(&host), &stopped());
    assert_left_alone(&tool(&host));
    host.run("kill", &[&"-CONT", &holder.pid.to_string()]);
    fs::write(&go, "").expect("a new file");
    wait_until(|| go.with_extension("done").exists().then_some(())).expect("void: it keeps its title");
    assert_left_alone(&tool(&host));
    holder.end();
    assert_cleans(&tool(&host), || has_link(host.dir()));
}

/// Then the layout of the memory is that of any process of the program.
fn fixed_addresses(criu: &Criu) {
    let host = TestHost::new();
    let words = workload(&host, &deleted(&host), "ready");
    let ready = host.dir().with_file_name("ready");
    let holder = Holder::start_until(&host, &format!("exec setarch -R {words}"), &ready);
    let number = holder.pid;
    dump_process(criu, &host, holder.pid, &images_of(&host), &stopped());
    assert_left_alone(&tool(&host));
    holder.end();
    // Another one has all that the tree had but its age.
    let again = start_as(&host, number, "setarch -R ");
    assert_cleans(&tool(&host), || has_link(host.dir()));
    again.end();
}

/// It was started after the tree's end and has nothing of it but program and number.
fn same_program(criu: &Criu) {
    let host = TestHost::new();
    let words = workload(&host, &deleted(&host), "ready");
    let ready = host.dir().with_file_name("ready");
    let holder = Holder::start_until(&host, &format!("exec {words}"), &ready);
    let pid = holder.pid;
    dump_process(criu, &host, pid, &images_of(&host), &skip());
    wait_until(|| (!host.path(format!("/proc/{pid}")).exists()).then_some(())).expect("the end of the tree");
    let again = start_as(&host, pid, "");
    assert_cleans(&tool(&host), || has_link(host.dir()));
    again.end();
}

/// Another process of the workload's program, with this number.
fn start_as<'a>(host: &'a TestHost, pid: u32, before: &str) -> Holder<'a> {
    let ready = host.dir().with_file_name("again");
    let words = workload(host, "", "again");
    let script = format!("echo {} > /proc/sys/kernel/ns_last_pid; {before}{words} & wait", pid - 1);
    let shell = Holder::start_until(host, &script, &ready);
    assert_eq!(newest(host, "workload"), pid, "void: another number");
    Holder { pid, ..shell }
}

/// By a debugger, say, which has nothing to do with a criu.
fn traced(criu: &Criu) {
    const TRACER: &str = "
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
assert libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0
assert libc.ptrace(0x4207, int(sys.argv[1]), 0, 0) == 0
libc.prctl(15, b'holds', 0, 0, 0)
time.sleep(1000)
";
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let options = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    host.run("kill", &[&"-CONT", &tree.pid().to_string()]);
    let script = host.dir().with_file_name("tracer.py");
    fs::write(&script, TRACER).expect("a new file");
    let tracer = Holder::start(&host, &format!("exec python3 {} {}", script.display(), tree.pid()));
    wait_until(|| (tree.state() == Some('t')).then_some(())).expect("void: it is not traced");
    assert_left_alone(&tool(&host));
    tracer.end();
    assert_left_alone(&tool(&host));
    drop(tree);
    assert_cleans(&tool(&host), || has_link(host.dir()));
    assert!(host.command("pgrep").args(["-x", "workload"]).finish().stdout.is_empty());
}
