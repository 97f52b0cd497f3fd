// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the dumped tree is dead.
//!
//! Images contain the tasks' pids in their own pid namespace, their names and programs, and their memory layouts. A
//! process belongs to the tree only if one of its pids, in any pid namespace, is that of a task, and its memory layout
//! is the task's: CRIU restores it to the byte, and a newly started program gets a random one. If the layout cannot
//! decide, names and the start time of the process do.
//!
//! The tree of a dump that was interrupted need not be dead: see `tree/interrupted.rs`.
//!
//! A restored tree needs evidence of a finished restore: a start after the images may only mean that a clock was
//! changed. A dead tree needs a look at every process that may belong to it.

pub mod everywhere;
mod interrupted;
mod kinship;
mod mounts;
mod stranded;

use std::collections::BTreeSet;

use crate::checkpoint::{Checkpoint, FinalState};
use crate::host::{DumpTrace, Host, Process};
use crate::locate::Given;
use crate::record::Record;
use crate::system::author::Author;
use crate::system::netns::NetworkId;
use crate::time::Timestamp;
use kinship::{Kinship, Matcher};

pub use mounts::add_living_mounts;
pub use stranded::{Role, Stranded};

/// What is known about the processes of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeState {
    /// Processes that were dumped and have not died.
    pub alive: Vec<LiveTask>,
    /// The network namespaces that all of these are in, by their inode numbers; `None` where a task of the images is
    /// not among them, or one does not let its namespaces be seen.
    pub networks: Option<BTreeSet<u64>>,
    /// Processes that were restored from the images.
    pub restored: Vec<LiveTask>,
    /// Processes that look like restored ones by pid and name; their memory layouts cannot be compared.
    pub resembling: Vec<LiveTask>,
    /// Processes that were started afresh in the tree's place.
    pub fallback: Vec<Fallback>,
    /// When this host's engine started the container last, if that was after the dump.
    pub started_again: Option<Timestamp>,
    /// criu processes that work on these images.
    pub criu: Vec<LiveTask>,
    /// Processes that a killed restore from the images left.
    pub stranded: Vec<Stranded>,
    /// Whether there are others, which may be at work on other images of the same tree.
    pub has_other_criu: bool,
    /// Why nothing can be said, where nothing can.
    pub unknown: Option<UnknownTree>,
    /// What has to hold of the tree before anything is removed.
    pub guard: Guard,
}

/// What has to hold of the dumped tree before anything is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Guard {
    /// It is dead.
    #[default]
    Dead,
    /// Nobody works on it: no restore from the images is possible, so nothing that they name protects it. These are traced.
    Idle {
        /// Processes that another one traces.
        traced: Vec<LiveTask>,
    },
}

/// A process that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTask {
    /// Its pid here; 0 for one that was seen by a socket only.
    pub pid: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// Its state letter, as `ps` shows it.
    pub state: u8,
}

/// A process that was started afresh where a dumped one was: the fallback of an engine that restarts its containers, or
/// of a person. It has the pid, the program and the root filesystem of the dumped process, but its own memory layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The process.
    pub task: LiveTask,
    /// When it started, to a hundredth of a second.
    pub started: Timestamp,
}

/// Why the state of the tree is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownTree {
    /// No image names the processes.
    NoTasks,
    /// Processes of the tree may be where they do not show: why.
    Hidden(String),
    /// This process may be of the tree, and neither its memory nor its start tells.
    Undecided(LiveTask),
    /// A process has the pid of a dumped one, and the images are truncated before anything that distinguishes the two.
    Nameless,
}

impl TreeState {
    /// Whether the tree runs again, restored from the images.
    pub fn is_restored(&self) -> bool {
        self.alive.is_empty() && !self.restored.is_empty()
    }

    /// Whether the tree may run again, restored from the images.
    pub fn may_be_restored(&self) -> bool {
        self.alive.is_empty() && !(self.restored.is_empty() && self.resembling.is_empty())
    }

    /// Whether the tree of an interrupted dump runs on.
    pub fn runs_on(&self) -> bool {
        matches!(self.guard, Guard::Idle { .. }) && !self.alive.is_empty()
    }

    /// The network namespaces that the tree of an interrupted dump is in, by their inode numbers.
    pub fn inhabited(&self) -> BTreeSet<u64> {
        if self.runs_on() { self.networks.clone().unwrap_or_default() } else { BTreeSet::new() }
    }

    /// Whether a process of the tree may live in this network namespace.
    pub fn may_live_in(&self, network: NetworkId) -> bool {
        !self.alive.is_empty() && self.networks.as_ref().is_none_or(|networks| networks.contains(&network.inode))
    }
}

/// Looks for the processes of the checkpoint.
pub fn look(host: &Host, given: &Given, checkpoint: &Checkpoint) -> TreeState {
    let stranded = stranded::look(host, given, checkpoint);
    let (criu, has_other_criu) = criu_processes(host, given, checkpoint, &stranded);
    let state = TreeState { criu, has_other_criu, stranded, ..TreeState::default() };
    if checkpoint.is_pre_dump() {
        return state;
    }
    let mut state = processes(host, checkpoint, state);
    if checkpoint.is_interrupted() {
        interrupted::complete(host, checkpoint, &mut state);
        // Whoever works on it may be hidden, also where some of it shows.
        let hidden = host.hidden_from(&trace_of(checkpoint)).map(|unseen| UnknownTree::Hidden(unseen.why));
        state.unknown = hidden.or(state.unknown);
        state.guard = Guard::Idle { traced: interrupted::traced(host, &state) };
    }
    state
}

/// The processes of the tree of an interrupted dump that run on.
pub fn living(host: &Host, checkpoint: &Checkpoint) -> Vec<LiveTask> {
    let mut state = processes(host, checkpoint, TreeState::default());
    interrupted::complete(host, checkpoint, &mut state);
    state.alive
}

/// Adds the processes of the tree.
fn processes(host: &Host, checkpoint: &Checkpoint, mut state: TreeState) -> TreeState {
    if checkpoint.tasks.is_empty() {
        // A dump that is known to have let the tree run left nothing to protect it with.
        if checkpoint.log.final_state != Some(FinalState::Dead) {
            state.unknown = Some(UnknownTree::NoTasks);
        }
        return state;
    }
    let matcher = Matcher::new(checkpoint);
    let stranded = state.stranded.clone();
    for process in host.processes().list.iter().filter(|process| !is_among(&stranded, process)) {
        match matcher.classify(process) {
            Some(Kinship::Dumped) => state.alive.push(LiveTask::of(process)),
            Some(Kinship::Resembling) => state.resembling.push(LiveTask::of(process)),
            Some(Kinship::Restored) => state.restored.push(LiveTask::of(process)),
            Some(Kinship::Undecided) => state.unknown = Some(UnknownTree::Undecided(LiveTask::of(process))),
            Some(Kinship::Nameless) => state.unknown = Some(UnknownTree::Nameless),
            Some(Kinship::Fallback) => {
                state.fallback.push(Fallback { task: LiveTask::of(process), started: process.started });
            }
            None => {}
        }
    }
    if state.alive.len() >= checkpoint.tasks.len() {
        state.networks = host.networks_of(state.alive.iter().map(|task| task.pid));
    }
    let hidden = state.alive.is_empty().then(|| host.hidden_from(&trace_of(checkpoint))).flatten();
    if let Some(unseen) = hidden {
        state.unknown = Some(UnknownTree::Hidden(unseen.why));
    }
    state
}

/// What the images and the record tell of where and when CRIU ran.
pub fn trace_of(checkpoint: &Checkpoint) -> DumpTrace {
    let shared = checkpoint.shares_pid_namespace() == Some(true);
    let own = checkpoint.tasks.iter().filter(|_| shared).map(|task| task.pid);
    // A dump that was killed early has a log, and no image with a time.
    let logged = checkpoint.log_file.as_ref().filter(|log| log.author == Author::Trusted).and_then(|log| log.written);
    DumpTrace {
        written: checkpoint.written.or(logged),
        pids: own.chain(checkpoint.log.root_pid).collect(),
        recorded: checkpoint.record.record().and_then(Record::pid_namespace),
    }
}

impl LiveTask {
    fn of(process: &Process) -> Self {
        LiveTask { pid: process.pid, name: process.name.clone(), state: process.state }
    }
}

/// Processes that have the images directory open, as every criu has while it dumps, restores or serves pages
/// (`open_image_dir` in `criu/image.c`), and that are a criu by their name or by what they do; and whether there is
/// another criu. One pass: to tell a criu takes a read for each process.
fn criu_processes(host: &Host, given: &Given, checkpoint: &Checkpoint, stranded: &[Stranded]) -> (Vec<LiveTask>, bool) {
    let processes = host.processes().list.iter().filter(|process| !is_among(stranded, process));
    let others = processes.filter(|process| !process.is_kernel_thread && process.pid != std::process::id());
    let images = given.directory_and_inode().map(|(directory, (_, inode))| {
        (std::path::absolute(directory.path()).unwrap_or_else(|_| directory.path().to_owned()), inode)
    });
    let is_at_work =
        |process: &Process| images.as_ref().is_some_and(|(path, inode)| host.holds_open(process, path, *inode));
    let tracers = host.processes().tracers();
    let (mut at_work, mut has_other_criu) = (Vec::new(), false);
    for process in others {
        let is_criu = process.is_criu();
        if is_criu && checkpoint.is_interrupted() && interrupted::is_stray(host, process) {
            continue;
        }
        if (is_criu || tracers.contains(&process.pid)) && is_at_work(process) {
            at_work.push(LiveTask::of(process));
        } else {
            has_other_criu |= is_criu;
        }
    }
    (at_work, has_other_criu)
}

fn is_among(stranded: &[Stranded], process: &Process) -> bool {
    stranded.iter().any(|stranded| stranded.task.pid == process.pid)
}

/// Whether a killed restore may have left a process: it blocks all signals.
pub fn may_be_stranded(process: &Process) -> bool {
    stranded::blocks_all(process.blocked)
}

#[cfg(test)]
mod tests;
