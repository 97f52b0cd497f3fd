// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the names in a directory and, if wanted, in all below it: without following a link, and on one mount.
//!
//! On a disk several threads do it, with the lowest priorities for the processor and the disk: a cold disk is faster with
//! several requests, and whoever works on the host goes first. They are abandoned when the time is over.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Depth, Looked, Sighting, Start};
use crate::causes::with_causes;
use crate::system::dir::{Directory, EntryType, FileError, Reach};
use crate::system::machine;

pub(super) const TIME_IS_OVER: &str = "the time was over before";
/// No more directories wait: whoever owns a filesystem says how many it has.
const MOST_DIRECTORIES: usize = 1_000_000;
/// No more names with a wanted shape are kept of one directory tree.
const MOST_SIGHTINGS: usize = 100_000;
/// So many directories are read before other threads are worth it.
const FEW: usize = 64;
/// More threads only wait for each other.
const MOST_THREADS: usize = 8;

/// Reads what is in a directory that is open.
pub(super) fn walk(start: &Start, directory: &Directory, is_wanted: fn(&[u8]) -> bool, until: Instant) -> Looked {
    let reader = Reader { start: start.clone(), is_wanted, until };
    let mut state = State::default();
    state.take(reader.read(directory, Path::new("")));
    while let Some(relative) = state.below.pop() {
        if start.depth == Depth::Disk && state.read > FEW {
            state.below.push(relative);
            return with_threads(reader, directory, state);
        }
        state.take(reader.read_below(directory, &relative));
    }
    state.looked
}

/// What is to be read, and how.
#[derive(Debug, Clone)]
struct Reader {
    start: Start,
    is_wanted: fn(&[u8]) -> bool,
    until: Instant,
}

/// What one directory holds.
#[derive(Debug, Default)]
struct Held {
    sightings: Vec<Sighting>,
    below: Vec<PathBuf>,
    count: u64,
    unseen: Option<String>,
}

/// How far a walk has come.
#[derive(Debug, Default)]
struct State {
    looked: Looked,
    /// Directories that are still to be read, relative to the first.
    below: Vec<PathBuf>,
    /// How many were.
    read: usize,
    /// How many are being read.
    open: usize,
}

impl State {
    fn take(&mut self, held: Held) {
        self.read += 1;
        self.looked.count += held.count;
        self.note(held.unseen);
        let room = MOST_SIGHTINGS.saturating_sub(self.looked.sightings.len());
        let is_cut = held.sightings.len() > room || self.below.len() + held.below.len() > MOST_DIRECTORIES;
        self.note(is_cut.then(|| "it has too many directories, or too many such names".to_owned()));
        self.looked.sightings.extend(held.sightings.into_iter().take(room));
        let room = MOST_DIRECTORIES.saturating_sub(self.below.len());
        self.below.extend(held.below.into_iter().take(room));
    }

    fn note(&mut self, unseen: Option<String>) {
        if self.looked.unseen.is_none() {
            self.looked.unseen = unseen;
        }
    }
}

impl Reader {
    fn read_below(&self, directory: &Directory, relative: &Path) -> Held {
        match directory.below_to_read(relative, Reach::SameMount) {
            Ok(below) => self.read(&below, relative),
            // It was removed meanwhile, or it is a mount point: that is looked at for itself.
            Err(error) if error.is_no_directory() || error.is_mount_point() => Held::default(),
            Err(error) => Held { unseen: Some(with_causes(&error)), ..Held::default() },
        }
    }

    fn read(&self, directory: &Directory, relative: &Path) -> Held {
        let mut held = Held::default();
        if Instant::now() >= self.until {
            held.unseen = Some(format!("{TIME_IS_OVER} {}", self.start.path.join(relative).display()));
            return held;
        }
        let mut hits = Vec::new();
        let read = directory.each_entry(|name, kind| {
            held.count += 1;
            if (self.is_wanted)(name) && hits.len() <= MOST_SIGHTINGS {
                hits.push(name.to_owned());
            }
            let may_be_directory = matches!(kind, EntryType::Directory | EntryType::Unknown);
            if may_be_directory && self.start.depth != Depth::Here && held.below.len() <= MOST_DIRECTORIES {
                held.below.push(relative.join(OsStr::from_bytes(name)));
            }
        });
        let added = self.add(directory, relative, hits, &mut held);
        held.unseen = read.and(added).err().map(|error| with_causes(&error));
        held
    }

    fn add(
        &self,
        directory: &Directory,
        relative: &Path,
        hits: Vec<Vec<u8>>,
        held: &mut Held,
    ) -> Result<(), FileError> {
        if hits.is_empty() {
            return Ok(());
        }
        let directory_identity = directory.identity()?;
        let is_top = relative.as_os_str().is_empty();
        let path = if is_top { self.start.path.clone() } else { self.start.path.join(relative) };
        for name in hits {
            let Some(identity) = directory.entry(OsStr::from_bytes(&name))? else { continue };
            let namespace = self.start.namespace.clone();
            let directory = path.clone();
            held.sightings.push(Sighting { namespace, directory, directory_identity, name, identity });
        }
        Ok(())
    }
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    reader: Reader,
    directory: Directory,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads directories until none is left.
    fn work(&self) {
        machine::go_last();
        let mut state = self.state();
        loop {
            if let Some(relative) = state.below.pop() {
                state.open += 1;
                drop(state);
                let held = self.reader.read_below(&self.directory, &relative);
                state = self.state();
                state.open -= 1;
                state.take(held);
                self.changed.notify_all();
            } else if state.open == 0 {
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

fn with_threads(reader: Reader, directory: &Directory, state: State) -> Looked {
    const INTERVAL: Duration = Duration::from_millis(100);
    let directory = match directory.reopened() {
        Ok(directory) => directory,
        Err(error) => return Looked { unseen: Some(with_causes(&error)), ..state.looked },
    };
    let until = reader.until;
    let shared = Arc::new(Shared { reader, directory, state: Mutex::new(state), changed: Condvar::new() });
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_THREADS);
    for _ in 0..threads {
        let theirs = Arc::clone(&shared);
        let start = thread::Builder::new().name("walk".to_owned()).spawn(move || theirs.work());
        shared.state().note(start.err().map(|error| format!("cannot start a thread: {error}")));
    }
    let mut state = shared.state();
    while state.open > 0 || !state.below.is_empty() {
        if Instant::now() >= until {
            state.note(Some(format!("{TIME_IS_OVER} all of it was read")));
            state.below.clear();
            break;
        }
        state = shared.changed.wait_timeout(state, INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
    }
    std::mem::take(&mut state.looked)
}
