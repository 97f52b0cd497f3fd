// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the readers of filesystems on a device share.

use std::io;

/// No directory that is looked into is larger.
pub(super) const LARGEST_DIRECTORY: u64 = 1 << 30;

/// Why nothing can be told of a filesystem.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The device cannot be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// A crash left changes in the journal, or somebody has it mounted where this process cannot see it.
    #[error("its journal has not been replayed: mount the filesystem once, if it is not mounted elsewhere")]
    NotReplayed,
    /// An error was met before, or it was not unmounted.
    #[error("its superblock says that it has errors or was not unmounted: run fsck first")]
    NotClean,
    /// Somebody has to repair it before it is used.
    #[error("its superblock says that it needs repair: run xfs_repair first")]
    NeedsRepair,
    /// It is laid out in a way that is not known.
    #[error("it has unknown features ({0:#x})")]
    Features(u32),
    /// It has a realtime section.
    #[error("it has a realtime section on another device")]
    OtherDevice,
    /// It contradicts itself.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A directory cannot be read as such.
    #[error("a directory on the path is encrypted, case-insensitive or inline")]
    Directory,
    /// Something else is on the way.
    #[error("a symbolic link or a file is on the path")]
    NotADirectory,
}
