// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A call on a file or directory that failed.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A system call on a file or directory that failed, with what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct FileError {
    /// What was tried: "open directory", "look at", "remove", …
    pub operation: &'static str,
    /// The path as the tool knows it; for messages only, it is never resolved again.
    pub path: PathBuf,
    /// What the kernel answered.
    #[source]
    pub source: Errno,
}

impl FileError {
    /// Whether there was no such file or directory.
    pub fn is_not_found(&self) -> bool {
        self.source == Errno::NOENT
    }

    /// Whether it is not for this user.
    pub fn is_not_permitted(&self) -> bool {
        matches!(self.source, Errno::ACCESS | Errno::PERM)
    }

    /// Whether there was no such directory: nothing, or something else of that name.
    pub fn is_no_directory(&self) -> bool {
        matches!(self.source, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
    }

    /// Whether a mount point was in the way.
    pub fn is_mount_point(&self) -> bool {
        self.source == Errno::XDEV
    }
}

/// The error of a call on `path`.
pub(crate) fn failed(operation: &'static str, path: &Path) -> impl Fn(Errno) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError { operation, path: path.clone(), source }
}
