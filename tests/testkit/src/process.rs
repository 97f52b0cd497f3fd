// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes as this process sees them in /proc.

use std::fs;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// The children of a process that has one thread.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The process and all below it.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let below = children(pid).into_iter().flat_map(tree);
    std::iter::once(pid).chain(below).collect()
}

/// The process's number in each pid namespace, ours first.
pub(crate) fn numbers(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let numbers = line.unwrap_or_default().split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The file that the process runs.
pub(crate) fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Whether the process exists, be it as a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap_or(false)
}

/// The process's state, as the letter in /proc/PID/stat.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Sends SIGKILL, unless the process is gone.
pub(crate) fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// Sends SIGCONT, unless the process is gone.
pub(crate) fn resume(pid: u32) {
    send(pid, Signal::CONT);
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match pid.map(|pid| kill_process(pid, signal)) {
        None | Some(Ok(()) | Err(Errno::SRCH)) => {}
        Some(Err(error)) => eprintln!("cannot send {signal:?} to process {pid:?}: {error}"),
    }
}
