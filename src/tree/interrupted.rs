// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tree of a dump that was interrupted. It mostly runs on, and no restore from the images is possible. So it need not be
//! dead before what the dump left is removed, but nobody may work on it.
//!
//! The images may not name its processes yet. Then the log does, by their pids: the root process must also have the name that
//! the log gives, and all must be older than the log.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{LiveTask, TreeState};
use crate::checkpoint::Checkpoint;
use crate::host::{Host, Process};
use crate::system::machine;

/// Adds the processes that the log names, if the images name too little to recognise one.
pub(super) fn complete(host: &Host, checkpoint: &Checkpoint, state: &mut TreeState) {
    if state.alive.is_empty() {
        state.alive = named_by_log(host, checkpoint);
    }
    if state.networks.is_none() && !state.alive.is_empty() {
        state.networks = host.networks_of(state.alive.iter().map(|task| task.pid));
    }
}

/// The processes that the log names, if they are the dumped ones.
fn named_by_log(host: &Host, checkpoint: &Checkpoint) -> Vec<LiveTask> {
    let (log, processes) = (&checkpoint.log, host.processes());
    let is_old = |process: &&Process| checkpoint.began_exactly().is_some_and(|began| process.started <= began);
    let Some(root) = log.root_pid.and_then(|pid| processes.get(pid)).filter(is_old) else { return Vec::new() };
    if log.root_name.as_ref() != Some(&root.name) || root.is_kernel_thread {
        return Vec::new();
    }
    let seized = log.seized.iter().filter(|pid| **pid != root.pid).filter_map(|pid| processes.get(*pid));
    [root].into_iter().chain(seized.filter(is_old)).map(LiveTask::of).collect()
}

/// Those of the tree that a process traces, as each CRIU does while it dumps. If the tree is not known, those that a CRIU
/// traces.
pub(super) fn traced(host: &Host, state: &TreeState) -> Vec<LiveTask> {
    let processes = host.processes();
    let tree: BTreeSet<u32> =
        [&state.alive, &state.restored, &state.resembling].into_iter().flatten().map(|task| task.pid).collect();
    let is_meant = |process: &&Process| match (process.tracer, tree.is_empty()) {
        (None, _) => false,
        (Some(_), false) => tree.contains(&process.pid),
        (Some(tracer), true) => processes.get(tracer).is_none_or(Process::is_criu),
    };
    processes.list.iter().filter(is_meant).map(LiveTask::of).collect()
}

/// Whether a criu only stayed behind when its parent was killed: it traces nothing, has no children, and has stood still for
/// longer than any that begins its work.
pub(super) fn is_stray(host: &Host, process: &Process) -> bool {
    const STOPPED: Duration = Duration::from_secs(2);
    const ASLEEP: Duration = Duration::from_secs(10);
    let processes = host.processes();
    let has = |of: fn(&Process) -> Option<u32>| processes.list.iter().any(|other| of(other) == Some(process.pid));
    let parent = process.parent.and_then(|parent| processes.get(parent));
    let is_orphan = parent.is_none_or(|parent| parent.pids.last() == Some(&1));
    let patience = match process.state {
        b'T' => STOPPED,
        b'S' => ASLEEP,
        _ => return false,
    };
    is_orphan
        && !has(|other| other.tracer)
        && !has(|other| other.parent)
        && process.started <= machine::now().minus(patience)
}
