// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What CRIU's processes do on this host, whatever images they are of: which are at work, and which a killed dump or restore
//! left behind.
//!
//! Without images nothing ties a process to a restore. So a task counts as left only if it waits in the very memory that the
//! tasks of a restore share, and a process of CRIU only if it is one by its program. As long as any criu is at work, the
//! caller must touch none of them.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::LiveTask;
use super::interrupted::is_stray;
use super::stranded::{Role, Stranded, is_waiting};
use crate::host::{Host, Process};

/// The signals that a task of a restore blocks once it is in the restorer, and before.
const MASK_IN_RESTORER: u64 = 0xffff_ffff_fffb_feff;
const MASK_BEFORE: u64 = 0xffff_fffe_7ffa_feff;
/// Commands of a criu that waits for others.
const SERVERS: [&[u8]; 3] = [b"service", b"page-server", b"lazy-pages"];

/// The processes of CRIU on this host.
#[derive(Debug, Clone, Default)]
pub struct Everywhere {
    /// They dump or restore something now.
    pub at_work: Vec<LiveTask>,
    /// They never run again.
    pub left: Vec<Stranded>,
}

/// Looks at all processes.
pub fn look(host: &Host) -> Everywhere {
    let processes = &host.processes().list;
    let tracers = host.processes().tracers();
    let own = std::process::id();
    let others: Vec<&Process> =
        processes.iter().filter(|process| !process.is_kernel_thread && process.pid != own).collect();
    let criu: BTreeSet<u32> = others.iter().filter(|process| process.is_criu()).map(|process| process.pid).collect();
    let tasks: BTreeSet<u32> = tasks(&others, &tracers);
    let is_left = |process: &Process| {
        let is_below = process.parent.is_some_and(|parent| tasks.contains(&parent));
        is_program(process) && !is_server(process) && (is_stray(host, process) || is_below && is_waiting(process))
    };
    let mut found = Everywhere::default();
    for process in others {
        if tasks.contains(&process.pid) {
            found.left.push(stranded(process, Role::Task));
        } else if criu.contains(&process.pid) {
            if is_left(process) {
                found.left.push(stranded(process, Role::Helper));
            } else if !is_resting(processes, &tracers, process) {
                found.at_work.push(LiveTask::of(process));
            }
        }
    }
    found
}

fn stranded(process: &Process, role: Role) -> Stranded {
    Stranded { task: LiveTask::of(process), after_boot: process.after_boot, role }
}

/// Tasks of a restore that wait for it to go on.
fn tasks(others: &[&Process], tracers: &BTreeSet<u32>) -> BTreeSet<u32> {
    let is_task = |process: &&&Process| {
        let is_in_restore = match process.blocked {
            MASK_IN_RESTORER => process.waits_in_restorer(),
            MASK_BEFORE => is_program(process) && is_waiting(process),
            _ => false,
        };
        is_in_restore && process.tracer.is_none() && !tracers.contains(&process.pid)
    };
    others.iter().filter(is_task).map(|process| process.pid).collect()
}

/// Whether it is CRIU by its own name or program, which the dynamic linker may run: any other argument of that name is no
/// proof.
fn is_program(process: &Process) -> bool {
    let executable = process.executable.as_deref().and_then(Path::file_name).unwrap_or_default();
    let is_run_by_linker = || executable.as_bytes().starts_with(b"ld-") && process.names_criu();
    process.runs_criu() || is_run_by_linker()
}

fn is_server(process: &Process) -> bool {
    process.arguments().iter().any(|argument| SERVERS.contains(&argument.as_slice()))
}

/// Whether it only waits: a server for a request, or `criu restore` for the end of a tree that runs.
fn is_resting(processes: &[Process], tracers: &BTreeSet<u32>, process: &Process) -> bool {
    let mut children = processes.iter().filter(|other| other.parent == Some(process.pid));
    let is_restored = |child: &Process| {
        !is_program(child) && !matches!(child.blocked, MASK_IN_RESTORER | MASK_BEFORE) && child.tracer.is_none()
    };
    let restores = || process.arguments().iter().any(|argument| argument == b"restore");
    if process.state != b'S' || tracers.contains(&process.pid) {
        return false;
    }
    if is_server(process) {
        return children.next().is_none();
    }
    let mut children = children.peekable();
    restores() && children.peek().is_some() && children.all(is_restored)
}
