// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What this program does when it calls itself in a host: it measures, it fills the host, or it is a floor.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use testkit::{TestHost, Word};

use crate::measure::itself;
use crate::{floor, sys};

/// Plays the role that the first word names; `false` if it names none.
pub(crate) fn play(words: &[String]) -> bool {
    let Some((role, rest)) = words.split_first() else { return false };
    match role.split_once(':') {
        Some(("floor", name)) => floor::run(name, rest),
        Some(("role", "time")) => time(rest),
        Some(("role", "pin")) => pin(Path::new(&rest[0])),
        Some(("role", "sleepers")) => sleepers(number(&rest[0])),
        Some(("role", "mounts")) => with_mounts(number(&rest[0])),
        _ => return false,
    }
    true
}

/// Fills the host with network namespaces that have names.
pub(crate) fn add_networks(host: &TestHost, from: usize, to: usize) {
    let script = format!(
        "mkdir -p /run/netns; i={from}; while [ $i -lt {to} ]; do unshare --net {} role:pin /run/netns/n$i; i=$((i+1)); done",
        itself().display()
    );
    host.run("sh", &[&"-e", &"-c", &script]);
}

/// Fills the host with processes.
pub(crate) fn add_processes(host: &TestHost, count: usize) {
    start(host, &[&itself(), &"role:sleepers", &count.to_string()]);
}

/// Fills the host with mount namespaces that have so many mounts more.
pub(crate) fn add_mount_namespaces(host: &TestHost, count: usize, mounts: usize) {
    let (program, mounts) = (itself(), mounts.to_string());
    host.run(
        "sh",
        &[&"-e", &"-c", &format!("mkdir -p /tmp/src; for i in $(seq {mounts}); do mkdir -p /tmp/m/$i; done")],
    );
    for _ in 0..count {
        start(host, &[&"unshare", &"--mount", &"--propagation", &"private", &program, &"role:mounts", &mounts]);
    }
}

/// Starts what says when it is ready, and goes with the host.
#[expect(clippy::zombie_processes, reason = "it goes with the host")]
fn start(host: &TestHost, words: &[Word<'_>]) {
    let mut command = host.command(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("nsenter");
    let said = child.stdout.take().expect("a pipe").read(&mut [0]).expect("a word");
    assert_eq!(said, 1, "{command:?} is not ready");
}

fn time(words: &[String]) {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("a program");
    let wall = start.elapsed();
    let usage = sys::usage_of_children();
    println!("{} {} {} {}", wall.as_nanos(), usage.cpu.as_micros(), usage.peak, status.code().unwrap_or(255));
}

fn pin(path: &Path) {
    fs::write(path, "").expect("a name");
    rustix::mount::mount_bind("/proc/self/ns/net", path).expect("a mount");
}

fn sleepers(count: usize) {
    let start = |_| Command::new("sleep").arg("infinity").stdout(Stdio::null()).spawn().expect("a process");
    let started: Vec<_> = (0..count).map(start).collect();
    wait_for_ever();
    drop(started);
}

fn with_mounts(count: usize) {
    for number in 1..=count {
        rustix::mount::mount_bind("/tmp/src", PathBuf::from(format!("/tmp/m/{number}"))).expect("a mount");
    }
    wait_for_ever();
}

fn wait_for_ever() {
    println!(".");
    loop {
        std::thread::park();
    }
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}
