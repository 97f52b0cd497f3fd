// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for links on a device that nobody has mounted, without mounting it.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mounts::Place;
use crate::system::dir::FileIdentity;
use crate::system::ext4::{Ext4, Ext4Error};

/// A directory that holds links, and the one that was meant.
pub type Looked = (FileIdentity, Option<FileIdentity>);

/// A filesystem that is read from its device, and the directory in which was looked last.
#[derive(Debug)]
pub(super) struct Unmounted {
    filesystem: Ext4,
    last: Option<(PathBuf, Option<Links>)>,
}

/// The links in a directory: ten thousand of them may follow one another.
#[derive(Debug)]
struct Links {
    directory: FileIdentity,
    inodes: HashMap<Vec<u8>, u32>,
}

impl Unmounted {
    pub(super) fn new(filesystem: Ext4) -> Self {
        Unmounted { filesystem, last: None }
    }

    /// What is at the place; `None` where its directory is not there.
    pub(super) fn look(&mut self, place: &Place) -> Result<Option<Looked>, Ext4Error> {
        let (directory, name) = place.split();
        let is_last = self.last.as_ref().is_some_and(|(last, _)| last == directory);
        if !is_last {
            self.last = Some((directory.to_owned(), self.links(directory)?));
        }
        let Some((_, Some(links))) = &self.last else { return Ok(None) };
        let file = links.inodes.get(name.as_bytes()).map(|inode| self.filesystem.identity(*inode)).transpose()?;
        Ok(Some((links.directory, file)))
    }

    fn links(&self, directory: &Path) -> Result<Option<Links>, Ext4Error> {
        let Some(number) = self.filesystem.directory(directory)? else { return Ok(None) };
        let inodes = self.filesystem.entries(number, |name| name.starts_with(b"link_remap."))?;
        Ok(Some(Links { directory: self.filesystem.identity(number)?, inodes }))
    }
}
