// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of files: found by mount arithmetic, removed by unlinking.

mod engine_place;
mod look;
mod remove;

use std::ffi::OsStr;

use crate::mounts::Place;
use crate::system::dir::{FileIdentity, Name};
use crate::system::filesystem::FilesystemId;

pub use look::location_of;
pub(crate) use look::look;
pub(crate) use remove::{NameRemoval, remove};

/// A name to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameQuery {
    /// The name, absolute, as the tree saw it.
    pub path: Vec<u8>,
    /// The file that it stands for, absolute, as the tree saw it, where the images tell.
    pub original: Option<Vec<u8>>,
    /// The mount that it is on.
    pub mount: FileMount,
    /// Size of the file in bytes when it was dumped, where the images tell.
    pub size: Option<u64>,
    /// What the last part of it looks like. No other name is ever removed.
    pub shape: NameShape,
    /// What becomes of it.
    pub act: NameAct,
    /// Another name in the same directory that matters for it.
    pub beside: Option<Vec<u8>>,
}

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameAct {
    /// It is removed.
    Unlink,
    /// It is removed as long as the name beside it has the same inode.
    UnlinkTwin,
    /// Its file gets the name beside it, unless that is taken.
    RenameBack,
    /// It is removed if it is an empty directory, a control group without processes, or an empty file.
    RemoveEmpty,
}

/// What a kind calls its files.
#[derive(Debug, Clone, Copy)]
pub struct NameShape {
    /// What is the same in the names of all files of the kind, for files that are saved: `link_remap`.
    pub stem: &'static str,
    /// The number in the name.
    pub id: u32,
    /// Whether a name is one that CRIU gives, for the number.
    pub is_own: fn(&[u8], u32) -> bool,
}

impl NameShape {
    /// The name, if it may be removed.
    pub(crate) fn check<'a>(&self, name: &'a OsStr) -> Option<Name<'a>> {
        Name::checked(name, |name| (self.is_own)(name, self.id))
    }
}

impl PartialEq for NameShape {
    fn eq(&self, other: &Self) -> bool {
        (self.stem, self.id) == (other.stem, other.id)
    }
}

impl Eq for NameShape {}

/// On which mount of the images a file was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileMount {
    /// The tree shared CRIU's mount namespace: the path is one of this host.
    Shared,
    /// The mount with this id in a `mountpoints` image.
    Id(u32),
    /// A control group. The first part of the path is the hierarchy, as a restore names it: `/pids/GROUP`, `/unified/GROUP`.
    ControlGroup,
    /// The images do not say.
    Unknown,
}

/// A file that was found, and how to find it again.
#[derive(Debug, Clone)]
pub struct FoundFile {
    /// The way to it.
    pub place: Place,
    /// The filesystem that it is on.
    pub filesystem: FilesystemId,
    /// The directory that holds it.
    pub directory: FileIdentity,
    /// The file itself; a symbolic link is not followed.
    pub identity: FileIdentity,
    /// What has the name beside it.
    pub beside: Option<Box<FileIdentity>>,
    /// Whether it is an empty directory or a control group without processes, where [`NameAct::RemoveEmpty`] asks for that.
    pub is_empty_directory: bool,
}

impl FoundFile {
    /// Whether the name beside it is another name of the same file.
    pub fn has_twin(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.is_same_inode(&self.identity))
    }
}
