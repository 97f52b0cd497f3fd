// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for links on an unmounted device without mounting it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directory::{Absence, Sight};
use crate::system::dir::FileIdentity;
use crate::system::filesystem::FilesystemId;
use crate::system::unmounted::{Nearest, ReadError, UnmountedFilesystem};

/// What a look at a place on such a device gives.
#[derive(Debug)]
pub struct Seen {
    /// The filesystem.
    pub filesystem: FilesystemId,
    /// The directory of the place, or the nearest one above that is there.
    pub directory: FileIdentity,
    /// What is there.
    pub sight: Sight,
}

/// A filesystem that is read from its device, and the directory in which was looked last.
#[derive(Debug)]
pub struct Unmounted {
    filesystem: UnmountedFilesystem,
    last: Option<(PathBuf, Links)>,
}

/// The links in a directory: ten thousand of them may follow one another.
#[derive(Debug)]
struct Links {
    directory: FileIdentity,
    inodes: HashMap<Vec<u8>, u64>,
}

impl Unmounted {
    /// Nothing of it was looked at yet.
    pub fn new(filesystem: UnmountedFilesystem) -> Self {
        Unmounted { filesystem, last: None }
    }

    /// Looks for the link of this name in a directory.
    pub fn look_in(&mut self, directory: &Path, name: &OsStr) -> Result<Seen, ReadError> {
        let links = match self.last.take().filter(|(last, _)| last == directory) {
            Some((_, links)) => links,
            None => self.links(directory)?,
        };
        let sight = match links.inodes.get(name.as_bytes()) {
            Some(inode) => Sight::Found(self.filesystem.identity(*inode)?),
            None => Sight::Absent(Absence::in_directory(links.directory)),
        };
        let seen = Seen { filesystem: self.filesystem.id(), directory: links.directory, sight };
        self.last = Some((directory.to_owned(), links));
        Ok(seen)
    }

    fn links(&self, directory: &Path) -> Result<Links, ReadError> {
        let (number, inodes) = match self.filesystem.nearest(directory)? {
            Nearest::Itself(number) => {
                (number, self.filesystem.entries(number, |name| name.starts_with(b"link_remap."))?)
            }
            Nearest::Above(number) => (number, HashMap::new()),
        };
        Ok(Links { directory: self.filesystem.identity(number)?, inodes })
    }
}
