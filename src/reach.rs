// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens the places that the mount arithmetic names, the same way for looking and for removing.
//!
//! Each base is opened once and then kept: ten thousand files may lie below it, and a filesystem may have to be mounted
//! for it. What is opened is compared with what was meant before anything below it is believed.

mod unmounted;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::unmounted::Looked;
use self::unmounted::Unmounted;
use crate::mounts::{Base, Place};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError, FileIdentity, Reach};
use crate::system::mount::{self, MountError, Purpose};

/// Why a place could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The directory from which to go could not be opened.
    #[error("{}", .0.to_string_with_cause())]
    Base(Arc<FileError>),
    /// The way from there could not be gone.
    #[error("{}", .0.to_string_with_cause())]
    File(Arc<FileError>),
    /// The filesystem could not be mounted.
    #[error("{}", with_cause(.0))]
    Mount(Arc<MountError>),
    /// Another mount covers the one that is meant.
    #[error("another mount covers {}", .0.display())]
    Overmounted(PathBuf),
}

impl OpenError {
    /// Whether the way ends at a directory that is no more, and the file with it. That a base is missing says nothing of
    /// the kind: a user may have misspelt it, and a mount may have ended a moment ago.
    pub fn is_not_found(&self) -> bool {
        matches!(self, OpenError::File(error) if error.is_not_found())
    }
}

impl OpenError {
    fn of_base(self) -> Self {
        match self {
            OpenError::File(error) => OpenError::Base(error),
            other => other,
        }
    }
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> Self {
        if error.is_mount_point() { OpenError::Overmounted(error.path) } else { OpenError::File(Arc::new(error)) }
    }
}

/// The bases that are open, for one purpose, and the directory that was opened last: the links of one directory follow
/// one another.
#[derive(Debug)]
pub struct OpenBases {
    purpose: Purpose,
    bases: HashMap<Base, Result<Arc<Directory>, OpenError>>,
    /// Filesystems that are read from their devices; `None` for one that has to be mounted.
    devices: HashMap<(u32, u32), Result<Option<Unmounted>, OpenError>>,
    author: Author,
    last: Option<(Base, PathBuf, Arc<OpenDirectory>)>,
}

/// A directory that holds links.
#[derive(Debug)]
pub struct OpenDirectory {
    /// The directory.
    pub directory: Directory,
    /// What it was when it was opened. Only its times can change while it is open.
    pub identity: FileIdentity,
}

impl OpenBases {
    /// None yet.
    pub fn new(purpose: Purpose) -> Self {
        OpenBases { purpose, bases: HashMap::new(), devices: HashMap::new(), author: Author::Trusted, last: None }
    }

    /// The same for places that images of this author name: by the word of others no device is touched.
    pub fn named_by(self, author: Author) -> Self {
        OpenBases { author, ..self }
    }

    /// Looks at a place on a device that nobody has mounted, by reading it; `None` where that is no such place, or has to
    /// be mounted all the same.
    pub fn read_unmounted(&mut self, place: &Place) -> Option<Result<Option<Looked>, OpenError>> {
        let Base::Device { device } = place.base else { return None };
        let opened = self.devices.entry(device).or_insert_with(|| open_unmounted(device, self.author));
        match opened {
            Ok(None) => None,
            Ok(Some(unmounted)) => Some(unmounted.look(place).map_err(|source| {
                let path = PathBuf::from(format!("/dev/block/{}:{}", device.0, device.1));
                OpenError::Mount(Arc::new(MountError::Ext4 { path, source }))
            })),
            Err(error) => Some(Err(error.clone())),
        }
    }

    /// Opens the directory that holds the file of a place.
    pub fn directory_of(&mut self, place: &Place) -> Result<Arc<OpenDirectory>, OpenError> {
        let (path, _) = place.split();
        if let Some((base, last, directory)) = &self.last
            && (base, last.as_path()) == (&place.base, path)
        {
            return Ok(Arc::clone(directory));
        }
        let directory = self.base(&place.base)?.below(path, reach(&place.base))?;
        let opened = Arc::new(OpenDirectory { identity: directory.identity()?, directory });
        self.last = Some((place.base.clone(), path.to_owned(), Arc::clone(&opened)));
        Ok(opened)
    }

    fn base(&mut self, base: &Base) -> Result<Arc<Directory>, OpenError> {
        if let Some(opened) = self.bases.get(base) {
            return opened.clone();
        }
        let opened = open(base, self.purpose).map(Arc::new);
        self.bases.insert(base.clone(), opened.clone());
        opened
    }
}

fn open_unmounted(device: (u32, u32), author: Author) -> Result<Option<Unmounted>, OpenError> {
    let found = match author {
        Author::Trusted => mount::unmounted_ext4(device),
        Author::User(_) | Author::Anybody => Err(MountError::OfOthers { device }),
    };
    let found = found.map_err(|error| OpenError::Mount(Arc::new(error)))?;
    Ok(found.map(Unmounted::new))
}

fn open(base: &Base, purpose: Purpose) -> Result<Directory, OpenError> {
    match base {
        Base::Mount { namespace_of, mountpoint, id, .. } => {
            open_mount(*namespace_of, mountpoint, *id).map_err(OpenError::of_base)
        }
        // An engine removes the upper directory with the container, and whatever is in it.
        Base::Upper(path) => Ok(Directory::open_exactly(path)?),
        Base::Recorded(path) => Directory::open_exactly(path).map_err(|error| OpenError::from(error).of_base()),
        Base::Named(path) | Base::Root(path) => Directory::open(path).map_err(|error| OpenError::from(error).of_base()),
        Base::Device { device } => {
            mount::block_device(*device, purpose).map_err(|error| OpenError::Mount(Arc::new(error)))
        }
    }
}

/// Opens a mount point and makes sure that it is on the mount that is meant: another may have been mounted over it.
fn open_mount(namespace_of: Option<u32>, mountpoint: &Path, id: u32) -> Result<Directory, OpenError> {
    let directory = match namespace_of {
        None => Directory::open_exactly(mountpoint)?,
        Some(pid) => {
            let root = Directory::open(Path::new(&format!("/proc/{pid}/root")))?;
            root.below(mountpoint.strip_prefix("/").unwrap_or(mountpoint), Reach::AcrossMounts)?
        }
    };
    let found = directory.identity()?.mount_id;
    // 0 is what a kernel says that does not tell.
    if found != 0 && found != u64::from(id) {
        return Err(OpenError::Overmounted(directory.path().to_owned()));
    }
    Ok(directory)
}

/// How far a path may lead from a base.
fn reach(base: &Base) -> Reach {
    match base {
        Base::Mount { .. } | Base::Upper(_) | Base::Device { .. } | Base::Recorded(_) | Base::Named(_) => {
            Reach::SameMount
        }
        Base::Root(_) => Reach::AcrossMounts,
    }
}

fn with_cause(error: &MountError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
