// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that a killed restore left. They never run again, and only SIGKILL ends them.
//!
//! A restored task blocks all signals and waits for CRIU until the whole tree is there. If CRIU is killed, it waits for
//! ever. So do CRIU's own daemons. In a restore that is at work, the tasks are children of a criu that is neither a task
//! nor without children: one such process, and nothing here is stranded.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LiveTask;
use crate::checkpoint::Checkpoint;
use crate::host::{Host, Process};
use crate::locate::Given;

/// A process that waits for a criu that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranded {
    /// The process.
    pub task: LiveTask,
    /// How long after the boot it started: with its pid, this is one process and no other.
    pub after_boot: Duration,
    /// What it was.
    pub role: Role,
}

/// What a stranded process was in the restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A task of the tree. It never ran.
    Task,
    /// A process of CRIU's own.
    Helper,
}

/// The system calls in which they wait.
struct Waits {
    futex: u64,
    recvmsg: u64,
}

/// `None` on an architecture whose numbers are not known here: there nothing is recognised.
const WAITS: Option<Waits> = if cfg!(target_arch = "x86_64") {
    Some(Waits { futex: 202, recvmsg: 47 })
} else if cfg!(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64")) {
    Some(Waits { futex: 98, recvmsg: 212 })
} else {
    None
};

/// The processes that a killed restore of these images left; none as long as a criu works on them.
pub(super) fn look(host: &Host, given: &Given, checkpoint: &Checkpoint) -> Vec<Stranded> {
    let places = Places::of(given);
    let processes = &host.processes().list;
    let own = std::process::id();
    let may_be = |process: &&Process| {
        !process.is_kernel_thread && process.pid != own && (process.is_criu() || blocks_all(process.blocked))
    };
    let tied: Vec<&Process> = processes.iter().filter(may_be).filter(|process| places.tie(process)).collect();
    if tied.is_empty() {
        return Vec::new();
    }
    let tracers = host.processes().tracers();
    let parents: BTreeSet<u32> = processes.iter().filter_map(|process| process.parent).collect();
    let pids: BTreeSet<u32> = checkpoint.tasks.iter().map(|task| task.pid).collect();
    let waiting: Vec<&Process> =
        tied.iter().copied().filter(|process| is_waiting(process) && !tracers.contains(&process.pid)).collect();
    let is_task = |process: &&Process| {
        let is_restored = process.pids.last().is_some_and(|pid| pids.contains(pid));
        is_restored && blocks_all(process.blocked) && (process.is_criu() || process.has_restorer())
    };
    let tasks: BTreeSet<u32> = waiting.iter().copied().filter(is_task).map(|process| process.pid).collect();
    // A criu that is process 1 of a container restores a process 1 below itself.
    let pid_of = |pid: u32| host.processes().get(pid).and_then(|process| process.pids.last().copied());
    let is_above_itself = |pid: &u32| {
        let parent = host.processes().get(*pid).and_then(|process| process.parent);
        parent.is_some_and(|parent| tasks.contains(&parent) && pid_of(parent) == pid_of(*pid))
    };
    if tasks.iter().any(is_above_itself) {
        return Vec::new();
    }
    // CRIU forks some that the images do not have: leaders of sessions that were dead.
    let is_below = |process: &Process| process.parent.is_some_and(|parent| tasks.contains(&parent));
    let role = |process: &Process| {
        let is_childless = !parents.contains(&process.pid);
        if tasks.contains(&process.pid) || (is_below(process) && blocks_all(process.blocked)) {
            Some(Role::Task)
        } else {
            (is_childless && process.is_criu()).then_some(Role::Helper)
        }
    };
    let stranded: Vec<(&Process, Role)> =
        waiting.into_iter().filter_map(|process| Some((process, role(process)?))).collect();
    let is_stranded = |pid: u32| stranded.iter().any(|(process, _)| process.pid == pid);
    let is_at_work = |process: &Process| process.is_criu() && !is_stranded(process.pid);
    let has_parent_at_work = |(process, _): &(&Process, Role)| {
        let parent = process.parent.and_then(|parent| host.processes().get(parent));
        parent.is_some_and(is_at_work)
    };
    if tied.iter().any(|process| !is_stranded(process.pid)) || stranded.iter().any(has_parent_at_work) {
        return Vec::new();
    }
    let stranded = stranded.into_iter();
    stranded
        .map(|(process, role)| Stranded { task: LiveTask::of(process), after_boot: process.after_boot, role })
        .collect()
}

/// Whether a process blocks every signal that can be blocked. CRIU leaves out SIGCHLD, and the C library two of its own,
/// until the task is in the restorer.
pub(super) fn blocks_all(blocked: u64) -> bool {
    const KILL: u64 = 1 << 8;
    const CHILD: u64 = 1 << 16;
    const STOP: u64 = 1 << 18;
    const OF_LIBRARY: u64 = 0b11 << 31;
    blocked | KILL | CHILD | STOP | OF_LIBRARY == u64::MAX
}

/// Whether it waits for another process, or was stopped as CRIU stops its probes.
pub(super) fn is_waiting(process: &Process) -> bool {
    if process.tracer.is_some() {
        return false;
    }
    match process.state {
        b'S' => WAITS.is_some_and(|Waits { futex, recvmsg }| {
            process.waits_in().is_some_and(|call| call == futex || call == recvmsg)
        }),
        b'T' => process.is_criu(),
        _ => false,
    }
}

/// Where the images and CRIU's log are, by paths without symbolic links.
struct Places {
    directories: BTreeSet<PathBuf>,
}

impl Places {
    fn of(given: &Given) -> Self {
        let directories = given.work_directories().into_iter();
        Places { directories: directories.filter_map(|directory| directory.location().ok()).collect() }
    }

    /// Whether a process has a file of theirs open, or names them on its command line.
    fn tie(&self, process: &Process) -> bool {
        let is_of_them = |path: &PathBuf| {
            self.directories.contains(path) || path.parent().is_some_and(|parent| self.directories.contains(parent))
        };
        process.open_paths().iter().any(is_of_them) || self.is_named_by(process)
    }

    fn is_named_by(&self, process: &Process) -> bool {
        let arguments = process.arguments();
        let given = arguments.iter().enumerate().filter_map(|(at, argument)| match argument.as_slice() {
            b"-D" | b"--images-dir" => arguments.get(at + 1).map(Vec::as_slice),
            argument => argument.strip_prefix(b"--images-dir=").or_else(|| argument.strip_prefix(b"-D")),
        });
        let directory = process.directory().unwrap_or_default();
        let named = given.map(|path| directory.join(Path::new(std::ffi::OsStr::from_bytes(path))));
        process.is_criu() && named.into_iter().any(|path| self.directories.contains(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_of_a_restore_blocks_all_signals() {
        assert!(blocks_all(0xffff_ffff_fffb_feff) && blocks_all(0xffff_fffe_7ffa_feff));
        // A dump that was killed leaves SIGTRAP, SIGKILL and SIGSTOP; others block what they like.
        for blocked in [0, 0xffff_ffff_fffb_feef, 0x7fff_ffff, 0xffff_fffe_7ffa_beff] {
            assert!(!blocks_all(blocked), "{blocked:x}");
        }
    }
}
