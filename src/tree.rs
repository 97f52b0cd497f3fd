// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the dumped tree is dead.
//!
//! Images contain the tasks' pids in their own pid namespace, their names and programs, and their memory layouts. A
//! process belongs to the tree only if one of its pids, in any pid namespace, is that of a task, and its memory layout
//! is the task's: CRIU restores it to the byte, and a newly started program gets a random one. If the layout cannot
//! decide, names and the start time of the process do.
//!
//! A restored tree needs evidence of a finished restore: a start after the images may only mean that a clock was
//! changed. A dead tree needs a look at every process that may belong to it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, FinalState, Task};
use crate::host::{self, DumpTrace, Host, Process, is_named};
use crate::locate::Given;
use crate::memory::Randomisation;
use crate::mounts;
use crate::record::Record;
use crate::time::Timestamp;

/// What is known about the processes of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeState {
    /// Processes that were dumped and have not died.
    pub alive: Vec<LiveTask>,
    /// Processes that were restored from the images.
    pub restored: Vec<LiveTask>,
    /// criu processes that work on these images.
    pub criu: Vec<LiveTask>,
    /// Whether there are others, which may be at work on other images of the same tree.
    pub has_other_criu: bool,
    /// Why nothing can be said, where nothing can.
    pub unknown: Option<UnknownTree>,
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
}

/// Looks for the processes of the checkpoint.
pub fn look(host: &Host, given: &Given, checkpoint: &Checkpoint) -> TreeState {
    let (criu, has_other_criu) = criu_processes(host, given);
    let mut state = TreeState { criu, has_other_criu, ..TreeState::default() };
    if checkpoint.is_pre_dump() {
        return state;
    }
    if checkpoint.tasks.is_empty() {
        // A dump that is known to have let the tree run left nothing to protect it with.
        if checkpoint.log.final_state != Some(FinalState::Dead) {
            state.unknown = Some(UnknownTree::NoTasks);
        }
        return state;
    }
    let matcher = Matcher::new(checkpoint);
    for process in &host.processes().list {
        match matcher.classify(process) {
            Some(Kinship::Dumped) => state.alive.push(LiveTask::of(process)),
            Some(Kinship::Restored) => state.restored.push(LiveTask::of(process)),
            Some(Kinship::Undecided) => state.unknown = Some(UnknownTree::Undecided(LiveTask::of(process))),
            Some(Kinship::Nameless) => state.unknown = Some(UnknownTree::Nameless),
            None => {}
        }
    }
    if state.alive.is_empty()
        && let Some(unseen) = host.hidden_from(&trace_of(checkpoint))
    {
        state.unknown = Some(UnknownTree::Hidden(unseen.why));
    }
    state
}

/// What the images and the record tell of where and when CRIU ran.
pub fn trace_of(checkpoint: &Checkpoint) -> DumpTrace {
    let shared = checkpoint.shares_pid_namespace() == Some(true);
    let own = checkpoint.tasks.iter().filter(|_| shared).map(|task| task.pid);
    DumpTrace {
        written: checkpoint.written,
        pids: own.chain(checkpoint.log.root_pid).collect(),
        recorded: checkpoint.record.record().and_then(Record::pid_namespace),
    }
}

impl LiveTask {
    fn of(process: &Process) -> Self {
        LiveTask { pid: process.pid, name: process.name.clone(), state: process.state }
    }
}

/// What a process is to the tree, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kinship {
    Restored,
    /// It has the pid of a task of which the images have nothing else.
    Nameless,
    Undecided,
    Dumped,
}

/// What the memory of a process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    Same,
    Other,
    /// One of the two layouts is not known, or neither is random.
    Silent,
}

struct Matcher<'a> {
    checkpoint: &'a Checkpoint,
    tasks: HashMap<u32, &'a Task>,
    written: Option<Timestamp>,
    /// For how long the machine had been running when the dump was recorded.
    recorded: Option<Duration>,
    randomisation: Randomisation,
}

impl<'a> Matcher<'a> {
    fn new(checkpoint: &'a Checkpoint) -> Self {
        let tasks = checkpoint.tasks.iter().map(|task| (task.pid, task)).collect();
        let written = checkpoint.written_until.map(Timestamp::latest);
        let recorded = checkpoint.record.record().and_then(Record::since_boot);
        Matcher { checkpoint, tasks, written, recorded, randomisation: host::randomisation() }
    }

    /// A process may have the pid of one task in one pid namespace, and of another in the next.
    fn classify(&self, process: &Process) -> Option<Kinship> {
        if process.is_kernel_thread {
            return None;
        }
        let tasks = process.pids.iter().filter_map(|pid| self.tasks.get(pid));
        tasks.filter_map(|task| self.compare(task, process)).max()
    }

    fn compare(&self, task: &Task, process: &Process) -> Option<Kinship> {
        match self.memory(task, process) {
            Memory::Other => None,
            Memory::Same if self.was_restored(process) => Some(Kinship::Restored),
            // What was dumped is older than the record.
            Memory::Same if self.recorded.is_some() && self.is_younger(process) => Some(Kinship::Restored),
            Memory::Same => Some(Kinship::Dumped),
            Memory::Silent => self.compare_names(task, process),
        }
    }

    fn memory(&self, task: &Task, process: &Process) -> Memory {
        let (Some(dumped), Some(layout)) = (&task.memory, &process.layout) else { return Memory::Silent };
        match (dumped.layout.is_same_process(layout), self.randomisation.and(dumped.randomisation)) {
            (false, _) => Memory::Other,
            (true, Randomisation::On) => Memory::Same,
            (true, Randomisation::Off) => Memory::Silent,
        }
    }

    fn compare_names(&self, task: &Task, process: &Process) -> Option<Kinship> {
        let shares = self.checkpoint.shares_pid_namespace();
        let is_nameless = task.name.is_none() && task.executable.is_none();
        let looks_alike = has_name(task, process) || has_program(task, process);
        match (self.is_younger(process), shares) {
            // The dumped process had this pid, and whoever has it now was there before the images were.
            (false, Some(true)) if process.pid == task.pid => Some(Kinship::Dumped),
            (false, _) if looks_alike && self.has_root_of(process) => Some(Kinship::Dumped),
            (_, _) if is_nameless && !self.is_younger(process) && self.has_root_of(process) => Some(Kinship::Nameless),
            (true, _) if looks_alike && self.has_root_of(process) && self.was_restored(process) => {
                Some(Kinship::Restored)
            }
            (true, _) if looks_alike && self.recorded.is_none() && self.has_root_of(process) => {
                Some(Kinship::Undecided)
            }
            (true | false, _) => None,
        }
    }

    /// By the clock of now, which may have been stepped since, unless a record has the machine's own.
    fn is_younger(&self, process: &Process) -> bool {
        match self.recorded {
            Some(recorded) => process.after_boot > recorded,
            None => self.written.is_some_and(|written| process.started > written),
        }
    }

    fn was_restored(&self, process: &Process) -> bool {
        let is_younger_for_certain = || {
            let uptime = self.checkpoint.inventory.as_ref()?.entry.dump_uptime?;
            Some(process.after_boot.as_micros() > u128::from(uptime))
        };
        self.is_younger(process) && (self.checkpoint.restored.is_some() || is_younger_for_certain().unwrap_or_default())
    }

    /// Whether the process has the same root filesystem as the tree: every container has its pid 1, and many run the
    /// same program. What cannot be compared counts as equal.
    fn has_root_of(&self, process: &Process) -> bool {
        if process.pids.len() < 2 || !self.checkpoint.has_own_mount_namespace() {
            return true;
        }
        let Some(namespace) = self.checkpoint.root_mount_namespace() else { return true };
        let root = self
            .checkpoint
            .mounts
            .values()
            .find(|mount| mount.namespace == namespace && mounts::mountpoint(&mount.entry) == b"/");
        let (Some(root), Some(mounts)) = (root, process.root_mounts()) else { return true };
        mounts.iter().any(|mount| mount.device == root.entry.device() && mount.root == root.entry.root)
    }
}

fn has_name(task: &Task, process: &Process) -> bool {
    task.name.as_deref() == Some(process.name.as_slice())
}

fn has_program(task: &Task, process: &Process) -> bool {
    let Some(dumped) = &task.executable else { return false };
    process.executable.as_deref() == Some(Path::new(OsStr::from_bytes(dumped)))
}

/// Processes that have the images directory open, as every criu has while it dumps, restores or serves pages
/// (`open_image_dir` in `criu/image.c`), and that are a criu by their name or by what they do; and whether there is
/// another criu. One pass: to tell a criu takes a read for each process.
fn criu_processes(host: &Host, given: &Given) -> (Vec<LiveTask>, bool) {
    let processes = host.processes().list.iter();
    let others = processes.filter(|process| !process.is_kernel_thread && process.pid != std::process::id());
    let images = given.directory_and_inode().map(|(directory, (_, inode))| {
        (std::path::absolute(directory.path()).unwrap_or_else(|_| directory.path().to_owned()), inode)
    });
    let is_at_work =
        |process: &Process| images.as_ref().is_some_and(|(path, inode)| host.holds_open(process, path, *inode));
    let tracers = host.processes().tracers();
    let (mut at_work, mut has_other_criu) = (Vec::new(), false);
    for process in others {
        let is_criu = is_criu(process);
        if (is_criu || tracers.contains(&process.pid)) && is_at_work(process) {
            at_work.push(LiveTask::of(process));
        } else {
            has_other_criu |= is_criu;
        }
    }
    (at_work, has_other_criu)
}

/// Whether a process is a criu: by its name, its program, or, where a dynamic linker or an interpreter runs it or it has
/// another file name, by one of its first arguments.
fn is_criu(process: &Process) -> bool {
    const FIRST_ARGUMENTS: usize = 6;
    const COMMANDS: [&[u8]; 7] = [b"dump", b"pre-dump", b"restore", b"page-server", b"lazy-pages", b"service", b"swrk"];
    let is_program = |path: &Path| is_named(path, "criu") || is_named(path, "crtools");
    process.name == b"criu"
        || process.executable.as_deref().is_some_and(is_program)
        || process.arguments().iter().take(FIRST_ARGUMENTS).any(|argument| {
            COMMANDS.contains(&argument.as_slice()) || is_program(Path::new(OsStr::from_bytes(argument)))
        })
}

#[cfg(test)]
mod tests;
