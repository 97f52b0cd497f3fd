// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Unmounted filesystems, read from their devices. Nothing writes to them, neither this code nor the kernel, because
//! nothing mounts them.
//!
//! If the journal contains changes that are not in place yet, the device does not show the current state, and the
//! filesystem is not read.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::device::Device;
use super::dir::FileIdentity;
use super::ext4::Ext4;
use super::filesystem::FilesystemId;
use super::journal::{self, Journal};
pub use super::on_device::ReadError;
use super::xfs::Xfs;

type Result<T> = std::result::Result<T, ReadError>;

/// A filesystem on an open device.
#[derive(Debug)]
pub enum UnmountedFilesystem {
    /// An ext4, or an ext3 or ext2.
    Ext4(Ext4),
    /// An XFS.
    Xfs(Xfs),
}

/// How far a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearest {
    /// To a directory, the inode of which has this number.
    Itself(u64),
    /// No further than to this one; the next is missing in it.
    Above(u64),
}

impl UnmountedFilesystem {
    /// The filesystem on the device at `node`, which has this number; `None` where it is of no type that can be read.
    pub(super) fn open(node: &Path, number: (u32, u32)) -> Result<Option<Self>> {
        let device = Device::open(node)?;
        // What a cache holds of the first bytes is no older than the filesystem.
        let is_ext4 = journal::is_ext4(&device)?;
        if device.read(0, 4)? == *b"XFSB" {
            if is_ext4 {
                return Err(ReadError::Damaged("it has the superblocks of both XFS and ext4"));
            }
            return Self::of_xfs(Device::open_direct(node)?, number);
        }
        check_journal(&device)?;
        Ok(Ext4::open(device.into_file(), number)?.map(UnmountedFilesystem::Ext4))
    }

    /// The XFS on a device of this number.
    pub fn of_xfs(device: Device, number: (u32, u32)) -> Result<Option<Self>> {
        check_journal(&device)?;
        Ok(Xfs::open(device, number)?.map(UnmountedFilesystem::Xfs))
    }

    /// What the kernel calls its type.
    pub(super) fn fstype(&self) -> &'static str {
        match self {
            UnmountedFilesystem::Ext4(_) => "ext4",
            UnmountedFilesystem::Xfs(_) => "xfs",
        }
    }

    /// Which filesystem it is, on which disk.
    pub fn id(&self) -> FilesystemId {
        match self {
            UnmountedFilesystem::Ext4(ext4) => ext4.filesystem(),
            UnmountedFilesystem::Xfs(xfs) => xfs.filesystem(),
        }
    }

    /// The directory at a path from the root, or the nearest one above that is there.
    pub fn nearest(&self, path: &Path) -> Result<Nearest> {
        let mut at = match self {
            UnmountedFilesystem::Ext4(_) => Ext4::ROOT,
            UnmountedFilesystem::Xfs(xfs) => xfs.root(),
        };
        for name in path.iter() {
            let found = self.entries(at, |entry| entry == name.as_bytes())?;
            match found.get(name.as_bytes()) {
                Some(inode) => at = *inode,
                None => return Ok(Nearest::Above(at)),
            }
        }
        match self {
            UnmountedFilesystem::Ext4(ext4) => ext4.check_directory(at)?,
            UnmountedFilesystem::Xfs(xfs) => xfs.check_directory(at)?,
        }
        Ok(Nearest::Itself(at))
    }

    /// The entries of a directory whose names are wanted, with the numbers of their inodes.
    pub fn entries(&self, directory: u64, wanted: impl Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, u64>> {
        match self {
            UnmountedFilesystem::Ext4(ext4) => ext4.entries(directory, wanted),
            UnmountedFilesystem::Xfs(xfs) => xfs.entries(directory, wanted),
        }
    }

    /// What the inode of this number is, as `stat` would show it.
    pub fn identity(&self, number: u64) -> Result<FileIdentity> {
        match self {
            UnmountedFilesystem::Ext4(ext4) => ext4.identity(number),
            UnmountedFilesystem::Xfs(xfs) => xfs.identity(number),
        }
    }
}

fn check_journal(device: &Device) -> Result<()> {
    match journal::of_device(device)? {
        Journal::Empty => Ok(()),
        Journal::Pending => Err(ReadError::NotReplayed),
    }
}
