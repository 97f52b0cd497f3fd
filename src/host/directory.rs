// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a directory has an entry, and whether a missing entry proves that the file is gone.

use std::ffi::OsStr;

use super::unseen::Looked;
use crate::system::dir::{Directory, FileError, FileIdentity};
use crate::time::Timestamp;

/// What a look into a directory gives.
#[derive(Debug)]
pub enum Sight {
    /// There is an entry.
    Found(FileIdentity),
    /// There is none.
    Absent(Absence),
}

/// The proof that a directory was looked into and has no such entry.
#[derive(Debug)]
pub struct Absence {
    directory: FileIdentity,
}

/// Why an entry that is absent in one directory cannot be elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyPlace {
    /// The user, or this host's own engine, says that it was there.
    Told,
    /// The images mean a path of the host's own mount namespace, and that is the one that was looked at.
    HostsOwn,
    /// The filesystem is the one of the images.
    SameFilesystem,
}

impl Absence {
    /// For those who looked: the directory is the nearest that is there.
    pub(super) fn in_directory(directory: FileIdentity) -> Self {
        Absence { directory }
    }

    /// For a directory that was made after the dump: whatever is in it, nothing is of the dump.
    pub fn in_younger(directory: FileIdentity, written: Timestamp) -> Option<Self> {
        directory.born.is_some_and(|born| born > written.latest()).then_some(Absence { directory })
    }

    /// What the nearest directory is that is there.
    pub fn directory(&self) -> &FileIdentity {
        &self.directory
    }

    /// The entry is nowhere.
    pub fn everywhere(self, _why: OnlyPlace) -> Looked {
        Looked::everywhere()
    }
}

/// Looks for an entry.
pub fn look_in(directory: &Directory, name: &OsStr) -> Result<Sight, FileError> {
    Ok(match directory.entry(name)? {
        Some(identity) => Sight::Found(identity),
        None => Sight::Absent(Absence { directory: directory.identity()? }),
    })
}
