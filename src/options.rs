// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options that a caller sets, and the events that it receives.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::goal::Goal;
use crate::mounts::MountHints;
use crate::part::Part;
use crate::plan::StrandedTasks;
use crate::probe::Hints;
use crate::reason::KeepReason;
use crate::record::store::RecordStore;

/// The options of a look or a removal. The defaults are those of the program without options.
///
/// ```
/// let options = criu_gc::Options::new()
///     .network_namespace("/run/netns/web")
///     .allow(criu_gc::KeepReason::ChangedSince)
///     .save("/root/saved");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(crate) hints: Hints,
    pub(crate) allowed: BTreeSet<KeepReason>,
    pub(crate) work_dir: Option<PathBuf>,
    pub(crate) dump_log: Option<PathBuf>,
    pub(crate) save: Option<PathBuf>,
    pub(crate) only: Option<Part>,
    pub(crate) goal: Goal,
    pub(crate) stranded: StrandedTasks,
    /// What `criu restore` would inherit, by the key in the images.
    pub(crate) inherited: Vec<(Vec<u8>, PathBuf)>,
    pub(crate) unknown_keys: UnknownKeys,
    pub(crate) record_store: RecordStore,
    pub(crate) observer: Observer,
}

/// What becomes of the key of an external mount or network namespace that the images do not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownKeys {
    /// It is an error: somebody mistyped it.
    #[default]
    Refuse,
    /// It causes a note.
    Note,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Options::default()
    }

    /// The directory with CRIU's log and statistics, if it is not the images directory (`criu -W`).
    #[must_use]
    pub fn work_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.work_dir = Some(directory.into());
        self
    }

    /// The log of the dump (`criu dump -o`), if it is in neither the images nor the work directory.
    #[must_use]
    pub fn dump_log(mut self, file: impl Into<PathBuf>) -> Self {
        self.dump_log = Some(file.into());
        self
    }

    /// A network namespace that the dump locked, if it is not the caller's: a file such as `/run/netns/NAME` or
    /// `/proc/PID/ns/net`. This ties the namespace to the checkpoint.
    #[must_use]
    pub fn network_namespace(mut self, path: impl Into<PathBuf>) -> Self {
        self.hints.namespaces.push(path.into());
        self
    }

    /// The root directory of the dumped tree on this host (`criu restore --root`).
    #[must_use]
    pub fn root(mut self, path: impl Into<PathBuf>) -> Self {
        self.hints.mounts = MountHints { root: Some(path.into()), ..self.hints.mounts };
        self
    }

    /// The location of an external mount on this host (`criu restore --external mnt[KEY]:PATH`).
    #[must_use]
    pub fn external_mount(mut self, key: impl Into<Vec<u8>>, path: impl Into<PathBuf>) -> Self {
        self.hints.mounts.external.push((key.into(), path.into()));
        self
    }

    /// The location of an external network namespace on this host (`criu restore --external net[KEY]:PATH`).
    #[must_use]
    pub fn external_network_namespace(mut self, key: impl Into<Vec<u8>>, path: impl Into<PathBuf>) -> Self {
        self.hints.external_namespaces.push((key.into(), path.into()));
        self
    }

    /// A file that `criu restore --inherit-fd fd[N]:KEY` would inherit. It matters if the key is that of the external
    /// network namespace, and is ignored otherwise.
    #[must_use]
    pub fn inherited_file(mut self, key: impl Into<Vec<u8>>, path: impl Into<PathBuf>) -> Self {
        self.inherited.push((key.into(), path.into()));
        self
    }

    /// What becomes of a given key of an external mount or network namespace that no checkpoint has.
    #[must_use]
    pub fn unknown_keys(mut self, unknown_keys: UnknownKeys) -> Self {
        self.unknown_keys = unknown_keys;
        self
    }

    /// Ignores this reason for keeping an object, if it [can be allowed](KeepReason::can_be_allowed).
    #[must_use]
    pub fn allow(mut self, reason: KeepReason) -> Self {
        self.allowed.insert(reason);
        self
    }

    /// Removes link remaps of an interrupted dump, too, to which only its log leads.
    #[must_use]
    pub fn from_log(mut self) -> Self {
        self.allowed.insert(KeepReason::LogOnly);
        self
    }

    /// Saves the file of each link remap in this directory before the link is removed: as a hard link if possible, otherwise
    /// as a copy. A removal that needs the directory creates it.
    #[must_use]
    pub fn save(mut self, directory: impl Into<PathBuf>) -> Self {
        self.save = Some(directory.into());
        self
    }

    /// Chooses one part of what the checkpoint left. The other part stays, and does not count as left. Without
    /// [`Part::Files`] the checkpoint can still be restored.
    #[must_use]
    pub fn only(mut self, part: Part) -> Self {
        self.only = Some(part);
        self
    }

    /// What the run is for. By default it removes what the dump left.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    /// Kills the processes that a killed restore left. They never run again, but otherwise stay, and so does what depends
    /// on their end.
    #[must_use]
    pub fn end_half_restored(mut self) -> Self {
        self.stranded = StrandedTasks::End;
        self
    }

    /// The store in which the records of dumps outlive their images. By default that of the program.
    #[must_use]
    pub fn record_store(mut self, store: RecordStore) -> Self {
        self.record_store = store;
        self
    }

    /// Calls this on the caller's thread when an examination does something that can take long.
    #[must_use]
    pub fn on_event(mut self, show: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(show);
        self
    }
}

/// A step of an examination that can take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Looks for checkpoints below a path.
    Opening {
        /// The path.
        named: &'a Path,
    },
    /// Reads an archive. This event repeats until the end.
    Reading {
        /// The archive.
        archive: &'a Path,
        /// Bytes read or skipped.
        read: u64,
        /// Its size, if known.
        size: Option<u64>,
    },
    /// The search below a path has finished.
    Opened {
        /// The path.
        named: &'a Path,
    },
    /// Waits for another run that has locked the images.
    Waiting {
        /// The images directory or archive.
        path: &'a Path,
        /// The holder of the lock, for people.
        holder: &'a str,
    },
    /// A scan begins to look at this.
    Looking {
        /// What it looks at.
        at: Stage,
    },
    /// A scan has looked at everything.
    Looked,
}

/// What a scan looks at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Processes and their namespaces.
    Processes,
    /// The rules in network namespaces.
    Networks,
    /// Names in directories.
    Names,
    /// Images, which tell whose something is.
    Images,
}

/// Receives events.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Show>);

type Show = Arc<dyn Fn(Event<'_>) + Send + Sync>;

impl Observer {
    /// Calls this.
    pub(crate) fn new(show: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Observer(Some(Arc::new(show)))
    }

    /// Passes an event on.
    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(show) = &self.0 {
            show(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}
