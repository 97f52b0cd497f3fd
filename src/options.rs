// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options that a caller sets, and the events that it receives.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::mounts::MountHints;
use crate::probe::Hints;
use crate::reason::KeepReason;

/// What a caller decides beforehand. The defaults are those of the program without any option.
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
    pub(crate) save: Option<PathBuf>,
    pub(crate) observer: Observer,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Options::default()
    }

    /// The directory of CRIU's log and statistics, where it is not the images directory (`criu -W`).
    #[must_use]
    pub fn work_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.work_dir = Some(directory.into());
        self
    }

    /// A network namespace that the dump locked, where it is not that of the caller: a file such as `/run/netns/NAME`
    /// or `/proc/PID/ns/net`. What is found in it is the checkpoint's by the caller's word.
    #[must_use]
    pub fn network_namespace(mut self, path: impl Into<PathBuf>) -> Self {
        self.hints.namespaces.push(path.into());
        self
    }

    /// Where the root directory of the dumped tree is on this host (`criu restore --root`).
    #[must_use]
    pub fn root(mut self, path: impl Into<PathBuf>) -> Self {
        self.hints.mounts = MountHints { root: Some(path.into()), ..self.hints.mounts };
        self
    }

    /// Where an external mount of the dump is on this host (`criu restore --external mnt[KEY]:PATH`).
    #[must_use]
    pub fn external_mount(mut self, key: impl Into<Vec<u8>>, path: impl Into<PathBuf>) -> Self {
        self.hints.mounts.external.push((key.into(), path.into()));
        self
    }

    /// Where an external network namespace of the dump is on this host (`criu restore --external net[KEY]:PATH`).
    #[must_use]
    pub fn external_network_namespace(mut self, key: impl Into<Vec<u8>>, path: impl Into<PathBuf>) -> Self {
        self.hints.external_namespaces.push((key.into(), path.into()));
        self
    }

    /// Removes an object in spite of this reason to keep it, unless [it cannot be
    /// allowed](KeepReason::can_be_allowed).
    #[must_use]
    pub fn allow(mut self, reason: KeepReason) -> Self {
        self.allowed.insert(reason);
        self
    }

    /// Saves each link remap's file in this directory before its link is removed, as a hard link where possible and
    /// else as a copy. The directory is made when a removal begins that needs it.
    #[must_use]
    pub fn save(mut self, directory: impl Into<PathBuf>) -> Self {
        self.save = Some(directory.into());
        self
    }

    /// Calls this, on the thread of the caller, when an examination does something that can take long.
    #[must_use]
    pub fn on_event(mut self, show: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Observer(Some(Arc::new(show)));
        self
    }
}

/// What an examination does that can take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Checkpoints are looked for in what was named.
    Opening {
        /// What was named.
        named: &'a Path,
    },
    /// An archive is read. This comes again and again until it is.
    Reading {
        /// The archive.
        archive: &'a Path,
        /// Bytes of it that were read or passed over.
        read: u64,
        /// How many it has, where that is known.
        size: Option<u64>,
    },
    /// What was named has been looked into.
    Opened {
        /// What was named.
        named: &'a Path,
    },
    /// Another run has locked the images, and is waited for.
    Waiting {
        /// The images directory or archive.
        path: &'a Path,
        /// Who has it locked, for people.
        holder: &'a str,
    },
}

/// Who is told of events.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Show>);

type Show = Arc<dyn Fn(Event<'_>) + Send + Sync>;

impl Observer {
    /// Tells of an event.
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
