// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one process is to the dumped tree.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, Task};
use crate::host::{self, Process};
use crate::memory::Randomisation;
use crate::mounts;
use crate::time::{SLACK, Timestamp};

/// What a process is to the tree, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kinship {
    /// A program started afresh in the place of a task: its memory layout differs from the task's.
    Fallback,
    /// It looks like a restored process, but its memory layout cannot be compared.
    Resembling,
    Restored,
    /// It has the pid of a task of which the images have nothing else.
    Nameless,
    Undecided,
    Dumped,
}

/// What the memory of a process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MemoryMatch {
    Same,
    Other,
    /// One of the two layouts is not known, or neither is random.
    Silent,
}

pub(super) struct Matcher<'a> {
    checkpoint: &'a Checkpoint,
    tasks: HashMap<u32, &'a Task>,
    written: Option<Timestamp>,
    /// For how long the machine had been running when the dump was recorded.
    recorded: Option<Duration>,
    randomisation: Randomisation,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint) -> Self {
        let tasks = checkpoint.tasks.iter().map(|task| (task.pid, task)).collect();
        let written = checkpoint.written_until.map(Timestamp::latest);
        let time_namespace = host::own_time_namespace();
        let recorded = checkpoint.record.record().and_then(|record| record.since_boot(time_namespace));
        Matcher { checkpoint, tasks, written, recorded, randomisation: host::randomisation() }
    }

    /// The same, whatever the kernel of this host does with addresses.
    #[cfg(test)]
    pub(super) fn with_random_addresses(self) -> Self {
        Matcher { randomisation: Randomisation::On, ..self }
    }

    /// A process may have the pid of one task in one pid namespace, and of another in the next.
    pub(super) fn classify(&self, process: &Process) -> Option<Kinship> {
        if process.is_kernel_thread {
            return None;
        }
        let tasks = process.pids.iter().filter_map(|pid| self.tasks.get(pid));
        tasks.filter_map(|task| self.compare(task, process)).max()
    }

    fn compare(&self, task: &Task, process: &Process) -> Option<Kinship> {
        match self.memory(task, process) {
            MemoryMatch::Other => self.is_fallback(task, process).then_some(Kinship::Fallback),
            MemoryMatch::Same if self.was_restored(process) => Some(Kinship::Restored),
            // What was dumped is older than the record.
            MemoryMatch::Same if self.recorded.is_some() && self.is_younger(process) => Some(Kinship::Restored),
            MemoryMatch::Same => Some(Kinship::Dumped),
            MemoryMatch::Silent => self.compare_names(task, process),
        }
    }

    fn memory(&self, task: &Task, process: &Process) -> MemoryMatch {
        let (Some(dumped), Some(layout)) = (&task.memory, &process.layout) else { return MemoryMatch::Silent };
        match (dumped.layout.is_same_process(layout), self.randomisation.and(dumped.randomisation)) {
            (false, _) => MemoryMatch::Other,
            (true, Randomisation::On) => MemoryMatch::Same,
            (true, Randomisation::Off) => MemoryMatch::Silent,
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
                Some(Kinship::Resembling)
            }
            (true, _) if looks_alike && self.recorded.is_none() && self.has_root_of(process) => {
                Some(Kinship::Undecided)
            }
            (true | false, _) => None,
        }
    }

    /// By the clock of now, which may have been stepped since, unless a record tells how old the machine was.
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
        self.is_younger(process)
            && (self.checkpoint.restores.succeeded.is_some() || is_younger_for_certain().unwrap_or_default())
    }

    /// Whether another process took the place of the task in its container: a process with the same pid of a pid
    /// namespace of its own, name or program, and root filesystem, started after the dump.
    fn is_fallback(&self, task: &Task, process: &Process) -> bool {
        let is_inner = process.pids.len() > 1 && process.pids.last() == Some(&task.pid);
        let is_younger = self.checkpoint.written.is_some_and(|written| process.started >= written.minus(SLACK));
        is_inner
            && is_younger
            && (has_name(task, process) || has_program(task, process))
            && self.compare_roots(process) == Some(true)
    }

    /// Whether the process has the same root filesystem as the tree: every container has its pid 1, and many run the
    /// same program. What cannot be compared counts as equal, because the tree may not be called dead for it. That of an
    /// interrupted dump is protected by nothing of the kind, and nobody else's process may stand for it.
    fn has_root_of(&self, process: &Process) -> bool {
        process.pids.len() < 2 || self.compare_roots(process).unwrap_or(!self.checkpoint.is_interrupted())
    }

    /// `None` where the roots cannot be compared.
    fn compare_roots(&self, process: &Process) -> Option<bool> {
        if self.checkpoint.is_interrupted() && self.checkpoint.mounts.is_empty() {
            return self.compare_mounts(process);
        }
        if !self.checkpoint.has_own_mount_namespace() {
            return None;
        }
        let namespace = self.checkpoint.root_mount_namespace()?;
        let mut mounts = self.checkpoint.mounts.values();
        let root = mounts.find(|mount| mount.namespace == namespace && mounts::mountpoint(&mount.entry) == b"/")?;
        let of_process = process.root_mounts()?;
        Some(of_process.iter().any(|mount| mounts::is_same_root(&root.entry, mount)))
    }

    /// The same for images without mounts: files of the tree are on mounts that its processes see, and the engine of this
    /// host knows its container.
    fn compare_mounts(&self, process: &Process) -> Option<bool> {
        let roots = process.root_mounts()?;
        let is_overlay = roots.iter().any(|root| root.fstype == b"overlay");
        if let Some(layer) = self.checkpoint.layer.as_ref().filter(|_| is_overlay) {
            return Some(roots.iter().any(|root| mounts::has_layer(root, layer)));
        }
        let mut of_files = self.checkpoint.mounts_of_files().peekable();
        of_files.peek()?;
        let seen: HashSet<u32> = process.mounts()?.iter().map(|mount| mount.id).collect();
        Some(of_files.any(|id| seen.contains(&id)))
    }
}

fn has_name(task: &Task, process: &Process) -> bool {
    task.name.as_deref() == Some(process.name.as_slice())
}

fn has_program(task: &Task, process: &Process) -> bool {
    let Some(dumped) = &task.executable else { return false };
    process.executable.as_deref() == Some(Path::new(OsStr::from_bytes(dumped)))
}
