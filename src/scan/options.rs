// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a scan is asked for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::removal::{Files, Processes, Wish};
use crate::options::{Event, Observer};

/// The time that a scan takes at most, unless the caller says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The options of a scan.
///
/// ```
/// let options = criu_gc::scan::Options::new().walk("/srv").timeout(std::time::Duration::from_secs(5));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) timeout: Duration,
    pub(super) walk: Vec<PathBuf>,
    also: Vec<PathBuf>,
    pub(super) images: Vec<PathBuf>,
    pub(super) wish: Wish,
    pub(super) processes: Processes,
    pub(super) save: Option<PathBuf>,
    pub(super) observer: Observer,
}

impl Default for Options {
    fn default() -> Self {
        let (wish, processes) = (Wish::Nothing, Processes::default());
        Options {
            timeout: TIMEOUT,
            walk: Vec::new(),
            also: Vec::new(),
            images: Vec::new(),
            wish,
            processes,
            save: None,
            observer: Observer::default(),
        }
    }
}

impl Options {
    /// The defaults: 30 seconds, and nothing is removed.
    pub fn new() -> Self {
        Options::default()
    }

    /// How long the look may take. What was not reached is reported as not known.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Options { timeout, ..self }
    }

    /// Also looks at all names in this directory and below, on the same mount.
    #[must_use]
    pub fn walk(mut self, directory: impl Into<PathBuf>) -> Self {
        self.walk.push(directory.into());
        self
    }

    /// Also looks for images in this directory and below, to find out whose an object is.
    #[must_use]
    pub fn images(mut self, directory: impl Into<PathBuf>) -> Self {
        self.images.push(directory.into());
        self
    }

    /// Also looks at the names in this directory, and not below.
    #[must_use]
    pub fn look_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.also.push(directory.into());
        self
    }

    /// Removes litter.
    #[must_use]
    pub fn clean(self) -> Self {
        Options { wish: Wish::Litter, ..self }
    }

    /// Removes the object with this id, as a report gives it; may be called several times.
    #[must_use]
    pub fn remove(mut self, id: impl Into<Vec<u8>>) -> Self {
        match &mut self.wish {
            Wish::Named(ids) => ids.push(id.into()),
            Wish::Nothing | Wish::Litter => self.wish = Wish::Named(vec![id.into()]),
        }
        self
    }

    /// Kills the processes that a killed dump or restore left, which never run again.
    #[must_use]
    pub fn end_processes(self) -> Self {
        Options { processes: Processes::End, ..self }
    }

    /// Saves the file of each name in this directory before the name is removed.
    #[must_use]
    pub fn save(self, directory: impl Into<PathBuf>) -> Self {
        Options { save: Some(directory.into()), ..self }
    }

    /// Calls this on the caller's thread when a part of the look begins.
    #[must_use]
    pub fn on_event(self, show: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Options { observer: Observer::new(show), ..self }
    }

    pub(super) fn files(&self) -> Files {
        if self.save.is_some() { Files::Saved } else { Files::NotSaved }
    }

    /// Single directories, and those of named paths, which may be where a scan does not look by itself.
    pub(super) fn parents(&self) -> Vec<PathBuf> {
        let ids: &[Vec<u8>] = if let Wish::Named(ids) = &self.wish { ids } else { &[] };
        let paths = ids.iter().map(|id| Path::new(OsStr::from_bytes(id)));
        let is_path = |path: &&Path| path.is_absolute() && !path.starts_with("/proc");
        let parents = paths.filter(is_path).filter_map(Path::parent).map(Path::to_owned);
        let mut parents: Vec<PathBuf> = parents.chain(self.also.iter().cloned()).collect();
        parents.sort();
        parents.dedup();
        parents
    }
}
