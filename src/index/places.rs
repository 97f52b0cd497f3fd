// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where checkpoints may be on this host: the places that the index looks at.
//!
//! A place is a directory that root's configuration, a running process or the user names, and a path below it on which no
//! symbolic link is followed. Nothing here says that there are images.

mod criu;
mod engines;
mod podman;
mod walk;

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::causes::with_causes;
use crate::host::{self, Host, MountPoints};
use crate::locate::{self, Located};
use crate::system::dir::{self, Directory, FileError, Reach};
use crate::system::way::{self, WayError};

use super::unseen::{Unseen, Why};
use super::{Holder, IndexOptions};

/// How deep images may be below a directory that the user named.
const DEPTH: usize = 3;

/// A directory, or an archive, that may hold a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What is opened first.
    pub(super) base: Base,
    /// The path below it.
    pub(super) relative: PathBuf,
    /// Who put the images there, as far as the place tells.
    pub(super) holder: Holder,
    /// A process of CRIU's that has to do with it.
    pub(super) process: Option<u32>,
}

/// A directory from which a place is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// The user named it: links are followed.
    Named(PathBuf),
    /// A store of an engine: only links of root's are followed.
    Store(PathBuf),
    /// The root directory of a process.
    Process(PathBuf),
}

/// What is at a place.
enum Found {
    Directory(Directory),
    Archive(File),
}

fn unreadable(error: impl std::error::Error + 'static) -> Why {
    Why::Unreadable(with_causes(&error))
}

/// Why a place could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Way(#[from] WayError),
}

impl OpenError {
    /// Whether there is nothing: the store is not on this host.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            OpenError::File(error) => error.is_no_directory(),
            OpenError::Way(WayError::File(error)) => error.is_no_directory(),
            OpenError::Way(WayError::LinkOfOthers(_)) => false,
        }
    }
}

impl Base {
    pub(super) fn open(&self) -> Result<Directory, OpenError> {
        match self {
            Base::Named(path) => Ok(Directory::open(path)?),
            Base::Store(path) => Ok(way::open(path)?),
            Base::Process(path) => Ok(Directory::open(path)?),
        }
    }

    /// Its path, for people.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Base::Named(path) | Base::Store(path) | Base::Process(path) => path.clone(),
        }
    }
}

impl Place {
    fn in_store(store: &Path, relative: PathBuf, holder: Holder) -> Self {
        Place { base: Base::Store(store.to_owned()), relative, holder, process: None }
    }

    /// The checkpoints in it: a directory holds one, or those of a pod.
    pub(super) fn locate(&self) -> Result<Vec<Located>, Why> {
        match self.find() {
            Ok(Found::Directory(directory)) => locate::locate_here(directory).map_err(unreadable),
            Ok(Found::Archive(file)) => {
                locate::locate_in_plain_archive(file, &self.path()).map_err(unreadable)?.ok_or(Why::Compressed)
            }
            Err(error) if error.is_nothing() => Ok(Vec::new()),
            Err(error) => Err(unreadable(error)),
        }
    }

    fn find(&self) -> Result<Found, OpenError> {
        let (parent, name) = (self.relative.parent(), self.relative.file_name());
        if let (Some(parent), Some(name)) = (parent, name.filter(|name| name.as_bytes().ends_with(b".tar"))) {
            let parent = self.base.open()?.below(parent, Reach::AcrossMounts)?;
            if let Ok(Some(file)) = parent.read_file(name) {
                return Ok(Found::Archive(file));
            }
        }
        let base = match self.base.open() {
            Err(error) if error.is_nothing() && name.is_none() => return self.named_archive().ok_or(error),
            opened => opened?,
        };
        Ok(Found::Directory(match name {
            None => base,
            Some(_) => base.below(&self.relative, Reach::AcrossMounts)?.reopened()?,
        }))
    }

    /// An archive that the user named.
    fn named_archive(&self) -> Option<Found> {
        let Base::Named(path) = &self.base else { return None };
        match dir::open_named(path) {
            Ok(dir::Opened::File(file)) => Some(Found::Archive(file)),
            Ok(dir::Opened::Directory(_)) | Err(_) => None,
        }
    }

    /// Its path, for people.
    pub(super) fn path(&self) -> PathBuf {
        let base = self.base.path();
        if self.relative.as_os_str().is_empty() { base } else { base.join(&self.relative) }
    }
}

/// The places that were found, and what could not be looked at.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) list: Vec<Place>,
    pub(super) unseen: Vec<Unseen>,
}

impl Places {
    /// All places of this host. The limits are reached last by what only root can have put there: others could fill them.
    pub(super) fn find(options: &IndexOptions, host: &Host, recorded: impl Iterator<Item = PathBuf>) -> Self {
        let mut places = Places::default();
        for path in &options.images {
            let base = Base::Named(path.clone());
            // What is no directory may be an archive.
            let theirs = path.clone();
            if host::answer(&[path], move || theirs.is_dir()) == Some(false) {
                let (relative, holder) = (PathBuf::new(), Holder::default());
                places.list.push(Place { base, relative, holder, process: None });
                continue;
            }
            places.add(&Base::Named(path.clone()), &[walk::Pattern::below(DEPTH)], &Holder::default());
        }
        places.list.extend(recorded.filter_map(|path| {
            let relative = path.strip_prefix("/").ok()?.to_owned();
            Some(Place::in_store(Path::new("/"), relative, Holder::default()))
        }));
        if options.stores == super::Stores::Search {
            podman::add_roots(&mut places);
            engines::add(&mut places);
        }
        criu::add(host, &mut places);
        if options.stores == super::Stores::Search {
            podman::add_users(&mut places);
        }
        places
    }

    /// Adds the directories below a base that match one of the patterns.
    fn add(&mut self, base: &Base, patterns: &[walk::Pattern], holder: &Holder) {
        let path = base.path();
        if let Some(why) = not_asked(base, &path) {
            self.unseen.push(Unseen { place: path, why });
            return;
        }
        let (theirs, wanted) = (base.clone(), patterns.to_vec());
        match host::answer(&[&path], move || walk::expand(&theirs, &wanted)) {
            Some(Ok(found)) => {
                self.unseen.extend(found.failed);
                let place = |(relative, container): (PathBuf, Option<String>)| {
                    let holder = Holder { container: container.or(holder.container.clone()), ..holder.clone() };
                    Place { base: base.clone(), relative, holder, process: None }
                };
                self.list.extend(found.paths.into_iter().map(place));
            }
            Some(Err(error)) if error.is_nothing() => {}
            Some(Err(error)) => {
                self.unseen.push(Unseen { place: path, why: unreadable(error) });
            }
            None => self.unseen.push(Unseen { place: path, why: Why::Silent }),
        }
    }
}

/// Why a store is left alone: somebody else's server would be asked. What the user named is asked.
fn not_asked(base: &Base, path: &Path) -> Option<Why> {
    match base {
        Base::Named(_) => None,
        Base::Store(_) | Base::Process(_) => MountPoints::above([path]).remote_filesystem(path).map(Why::Remote),
    }
}
