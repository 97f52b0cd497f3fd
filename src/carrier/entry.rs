// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entries that no image names: CRIU's temporary directories, mounts, sockets and pid files. They are recognised by
//! everything that CRIU gives them: the template of the name, the owner, the type, the content, and what is mounted there.
//!
//! The same function recognises an entry when it is found and right before it goes. Nothing is ever removed recursively:
//! a mount is detached, and a directory has to be empty.

mod content;
mod look;
mod remove;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::system::dir::{FileIdentity, InodeId};
use crate::system::mountinfo::HostMount;

pub use content::{Content, PidOwner, Socket};
pub(crate) use look::{examine, look};
pub(crate) use remove::remove;

/// Entries to look for.
#[derive(Debug, Clone, Copy)]
pub struct EntryQuery {
    /// Where.
    pub places: &'static [EntryPlace],
    /// Whether a name is one that CRIU gives: only then more is asked about the entry.
    pub is_name: fn(&[u8]) -> bool,
    /// Whether an entry is CRIU's.
    pub is_own: fn(&FoundEntry) -> bool,
}

impl PartialEq for EntryQuery {
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places
    }
}

impl Eq for EntryQuery {}

/// Where entries are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryPlace {
    /// The directories of the images and of CRIU's log.
    Work,
    /// A directory of the host.
    Host(&'static str),
}

/// An entry that was found.
#[derive(Debug, Clone)]
pub struct FoundEntry {
    /// Its directory, without symbolic links.
    pub directory: PathBuf,
    /// Which inode that is.
    pub directory_id: InodeId,
    /// Its name.
    pub name: Vec<u8>,
    /// What is seen there: if something is mounted on it, the root of that.
    pub identity: FileIdentity,
    /// What is in it, as far as it matters.
    pub content: Content,
    /// What is mounted on it and below, in the order of the mount table.
    pub mounts: Vec<HostMount>,
    /// Processes in other mount namespaces that have something mounted there.
    pub users: Vec<u32>,
}

impl FoundEntry {
    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.directory.join(Path::new(OsStr::from_bytes(&self.name)))
    }

    /// What is mounted on the entry itself.
    pub fn mounted_on(&self) -> impl Iterator<Item = &HostMount> {
        let path = self.path();
        self.mounts.iter().filter(move |mount| mount.mountpoint == path.as_os_str().as_bytes())
    }

    /// Whether it is an empty directory of root's, with nothing mounted on it.
    pub fn is_empty_directory_of_root(&self) -> bool {
        self.identity.owner == 0 && self.content == Content::EmptyDirectory && self.mounts.is_empty()
    }

    /// Whether one tmpfs of this source is mounted on it, by root, and all below it passes the test.
    pub fn is_tmpfs_of_root(&self, source: &[u8], is_expected_below: fn(&HostMount) -> bool) -> bool {
        let on: Vec<&HostMount> = self.mounted_on().collect();
        let [tmpfs] = on[..] else { return false };
        let mut below = self.mounts.iter().filter(|mount| mount.id != tmpfs.id);
        self.identity.owner == 0
            && tmpfs.fstype == b"tmpfs"
            && tmpfs.source == source
            && tmpfs.root == b"/"
            && below.all(is_expected_below)
    }
}
