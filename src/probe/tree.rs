// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the dumped tree is dead.
//!
//! Images hold the pids that the tasks had in their own pid namespace, their names and programs; they hold no start
//! times. A process with the pid of a dumped one that is older than the images is that one: a pid cannot be used
//! twice while it is in use. A younger one with the same name or program was restored from the images.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checkpoint::{Checkpoint, FinalState, Task};
use crate::locate::Images;
use crate::mounts;
use crate::system::dir::Directory;
use crate::system::mountinfo;
use crate::system::process::{self, Process, Processes};
use crate::time::Timestamp;

/// What is known about the processes of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeState {
    /// Processes that were dumped and have not died.
    pub alive: Vec<LiveTask>,
    /// Processes that were restored from the images.
    pub restored: Vec<LiveTask>,
    /// Processes of CRIU's that are at work on these images.
    pub criu: Vec<LiveTask>,
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

/// Why the state of the tree cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTree {
    /// No image names the processes.
    NoTasks,
    /// Processes could not be read.
    NotComparable,
    /// A process has the pid of a dumped one, and the images were cut before anything by which to tell the two apart.
    Nameless,
}

impl TreeState {
    /// Whether the tree runs again, restored from the images.
    pub fn is_restored(&self) -> bool {
        self.alive.is_empty() && !self.restored.is_empty()
    }
}

/// Looks for the processes of the checkpoint.
pub fn look(images: &Images, checkpoint: &Checkpoint) -> std::io::Result<TreeState> {
    let processes = process::all()?;
    let mut state = TreeState { criu: at_work(images, &processes), ..TreeState::default() };
    if checkpoint.is_pre_dump() {
        return Ok(state);
    }
    if checkpoint.tasks.is_empty() {
        // A dump that is known to have let the tree run left nothing to protect it with.
        if checkpoint.log.final_state != Some(FinalState::Dead) {
            state.unknown = Some(UnknownTree::NoTasks);
        }
        return Ok(state);
    }
    let matcher = Matcher::new(checkpoint);
    for process in &processes.list {
        match matcher.classify(process) {
            Some(Age::Dumped) => state.alive.push(LiveTask::of(process)),
            Some(Age::Restored) => state.restored.push(LiveTask::of(process)),
            Some(Age::DumpedPerhaps) => state.unknown = Some(UnknownTree::Nameless),
            None => {}
        }
    }
    if state.alive.is_empty() && processes.unreadable > 0 {
        state.unknown = Some(UnknownTree::NotComparable);
    }
    Ok(state)
}

impl LiveTask {
    fn of(process: &Process) -> Self {
        LiveTask { pid: process.pid, name: process.name.clone(), state: process.state }
    }
}

enum Age {
    Dumped,
    Restored,
    /// Old enough, with the pid of a task of which the images have nothing else.
    DumpedPerhaps,
}

struct Matcher<'a> {
    checkpoint: &'a Checkpoint,
    tasks: HashMap<u32, &'a Task>,
    written: Option<Timestamp>,
}

impl<'a> Matcher<'a> {
    fn new(checkpoint: &'a Checkpoint) -> Self {
        let tasks = checkpoint.tasks.iter().map(|task| (task.pid, task)).collect();
        Matcher { checkpoint, tasks, written: checkpoint.written_until.map(Timestamp::latest) }
    }

    fn classify(&self, process: &Process) -> Option<Age> {
        let is_older = self.written.is_none_or(|written| process.started <= written);
        let shares = self.checkpoint.shares_pid_namespace();
        let has_inner = !process.inner_pids.is_empty();
        let task = match shares {
            Some(true) => self.task(process.pid)?,
            Some(false) => self.task(*process.inner_pids.last()?)?,
            // Without an inventory either kind of pid may be meant.
            None => self.task(process.pid).or_else(|| self.task(*process.inner_pids.last()?))?,
        };
        let looks_alike = has_name(task, process) || has_program(task, process);
        let is_nameless = task.name.is_none() && task.executable.is_none();
        match (is_older, shares) {
            // The dumped process had this pid, and whoever has it now was there before the images were.
            (true, Some(true)) => Some(Age::Dumped),
            (true, _) if looks_alike && self.has_root_of(process, has_inner) => Some(Age::Dumped),
            (true, _) if is_nameless && self.has_root_of(process, has_inner) => Some(Age::DumpedPerhaps),
            (false, _) if looks_alike && self.has_root_of(process, has_inner) => Some(Age::Restored),
            _ => None,
        }
    }

    fn task(&self, pid: u32) -> Option<&'a Task> {
        self.tasks.get(&pid).copied()
    }

    /// Whether the process has the same root filesystem as the tree: every container has its pid 1, and many run the
    /// same program. What cannot be compared counts as equal.
    fn has_root_of(&self, process: &Process, is_in_container: bool) -> bool {
        if !is_in_container || !self.checkpoint.has_own_mount_namespace() {
            return true;
        }
        let Some(namespace) = self.checkpoint.root_mount_namespace() else { return true };
        let root = self
            .checkpoint
            .mounts
            .values()
            .find(|mount| mount.namespace == namespace && mounts::mountpoint(&mount.entry) == b"/");
        let Some(root) = root else { return true };
        let Ok(table) = process::mountinfo(process.pid) else { return true };
        let (mounts, _) = mountinfo::parse(&table);
        mounts.iter().any(|mount| {
            mount.mountpoint == b"/" && mount.device == root.entry.device() && mount.root == root.entry.root
        })
    }
}

fn has_name(task: &Task, process: &Process) -> bool {
    task.name.as_deref() == Some(process.name.as_slice())
}

fn has_program(task: &Task, process: &Process) -> bool {
    let Some(dumped) = &task.executable else { return false };
    process.executable.as_deref() == Some(Path::new(OsStr::from_bytes(dumped)))
}

/// Processes called criu that have the images directory open, as every criu has while it dumps, restores or serves
/// pages (`open_image_dir` in `criu/image.c`).
fn at_work(images: &Images, processes: &Processes) -> Vec<LiveTask> {
    let Some(Ok(directory)) = images.directory().map(Directory::identity) else { return Vec::new() };
    let device = rustix::fs::makedev(directory.device.0, directory.device.1);
    processes
        .list
        .iter()
        .filter(|process| process.pid != std::process::id())
        .filter(|process| is_criu(process) && process::holds_open(process.pid, device, directory.inode))
        .map(LiveTask::of)
        .collect()
}

/// Whether a process is a criu: by its name, its program, or, where a dynamic linker or an interpreter runs it, by one
/// of its first arguments.
fn is_criu(process: &Process) -> bool {
    const FIRST_ARGUMENTS: usize = 6;
    let is_program = |path: &Path| process::is_named(path, "criu") || process::is_named(path, "crtools");
    process.name == b"criu"
        || process.executable.as_deref().is_some_and(is_program)
        || process::arguments(process.pid)
            .iter()
            .take(FIRST_ARGUMENTS)
            .any(|argument| is_program(Path::new(OsStr::from_bytes(argument))))
}

#[cfg(test)]
mod tests;
