// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Saves an open file under a new name in another directory: as a hard link, otherwise as a new file with the same content,
//! owner, mode, times and extended attributes.
//!
//! It saves the open inode, whatever its name refers to now. It never writes to or replaces an existing entry, and the name
//! of an incomplete one ends in `.part`. The original file stays unchanged, except that a hard link changes its ctime, and
//! reading a symbolic link its atime.

mod attributes;
mod content;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::dir::{Directory, FileError, Pinned};

pub use attributes::{Attributes, ExtendedAttribute};

/// What the name of an entry ends with until it is whole.
const UNFINISHED: &str = ".part";

/// How a file was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One more name of the same inode.
    HardLink,
    /// A new file that shares the blocks of the old one.
    Reflink,
    /// A new file with the same content; holes stay holes.
    Copy,
    /// A new FIFO, symbolic link, socket or device, which have no content.
    MadeAnew,
}

/// A saved file.
#[derive(Debug)]
pub struct SavedFile {
    /// How.
    pub method: Method,
    /// Extended attributes that the new file cannot have, because its filesystem or the kernel's policy refuses them.
    pub refused: Vec<ExtendedAttribute>,
}

/// Saves `file` as the new entry `name` of `into`. On failure there is no such entry.
pub fn save(file: &Pinned, into: &Directory, name: &OsStr) -> Result<SavedFile, FileError> {
    if link(file, into, name)? {
        return Ok(SavedFile { method: Method::HardLink, refused: Vec::new() });
    }
    let before = file.identity()?;
    let attributes = Attributes::of(file, file.path())?;
    let part = NewEntry::make(file, &attributes, into, name)?;
    let method = if attributes.file_type() == FileType::RegularFile {
        content::copy(file, &part.fd).map_err(failed("copy into", &part.path()))?
    } else {
        Method::MadeAnew
    };
    let refused = attributes.give_to(&part.fd, file).map_err(failed("set owner, mode and times of", &part.path()))?;
    let now = file.identity()?;
    if (before.size, before.changed) != (now.size, now.changed) {
        return Err(failed("copy, because another process is writing it:", file.path())(Errno::BUSY));
    }
    part.finish(name)?;
    Ok(SavedFile { method, refused })
}

/// Waits until the directory's entries are on disk.
pub fn sync(directory: &Directory) -> Result<(), FileError> {
    rustix::fs::fsync(directory).map_err(failed("write to disk", directory.path()))
}

/// Creates a hard link; `false` if the two places cannot share an inode.
fn link(file: &Pinned, into: &Directory, name: &OsStr) -> Result<bool, FileError> {
    let linked = match rustix::fs::linkat(file, "", into, name, AtFlags::EMPTY_PATH) {
        // The kernel also gives this answer without CAP_DAC_READ_SEARCH.
        Err(Errno::NOENT) => rustix::fs::linkat(CWD, by_descriptor(file), into, name, AtFlags::SYMLINK_FOLLOW),
        result => result,
    };
    match linked {
        Ok(()) => Ok(true),
        // Two mounts, a filesystem without hard links, an inode that must not or cannot have more.
        Err(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => Ok(false),
        Err(source) => Err(failed("make", &into.path().join(name))(source)),
    }
}

/// A new entry until it is complete. If something fails, it is removed.
struct NewEntry<'a> {
    into: &'a Directory,
    name: OsString,
    /// Opened for writing if there is content to write, otherwise with `O_PATH`.
    fd: OwnedFd,
}

impl<'a> NewEntry<'a> {
    fn make(file: &Pinned, like: &Attributes, into: &'a Directory, name: &OsStr) -> Result<Self, FileError> {
        let mut unfinished = name.to_owned();
        unfinished.push(UNFINISHED);
        let path = into.path().join(&unfinished);
        let made = match like.file_type() {
            FileType::RegularFile => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return match rustix::fs::openat(into, &unfinished, flags, Mode::RUSR | Mode::WUSR) {
                    Ok(fd) => Ok(NewEntry { into, name: unfinished, fd }),
                    Err(source) => Err(failed("make", &path)(source)),
                };
            }
            FileType::Symlink => rustix::fs::readlinkat(file, "", Vec::new())
                .and_then(|target| rustix::fs::symlinkat(target, into, &unfinished)),
            kind @ (FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice) => {
                rustix::fs::mknodat(into, &unfinished, kind, Mode::empty(), like.device_number())
            }
            FileType::Directory | FileType::Unknown => Err(Errno::OPNOTSUPP),
        };
        made.map_err(failed("make", &path))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(into, &unfinished, flags, Mode::empty()) {
            Ok(fd) => Ok(NewEntry { into, name: unfinished, fd }),
            Err(source) => Err(failed("look at", &path)(source)),
        }
    }

    fn path(&self) -> PathBuf {
        self.into.path().join(&self.name)
    }

    /// Renames the entry once all of it is on disk.
    fn finish(mut self, name: &OsStr) -> Result<(), FileError> {
        match rustix::fs::fsync(&self.fd) {
            // A file without content is written with its directory.
            Ok(()) | Err(Errno::BADF) => {}
            Err(source) => return Err(failed("write to disk", &self.path())(source)),
        }
        rename(self.into, &self.name, name).map_err(failed("make", &self.into.path().join(name)))?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for NewEntry<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // If it stays, its name says what it is.
            let _ = rustix::fs::unlinkat(self.into, &self.name, AtFlags::empty());
        }
    }
}

/// Renames, unless the entry `to` exists.
fn rename(directory: &Directory, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        // NFS, for one, has no such rename, but hard links do not replace anything either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
            rustix::fs::unlinkat(directory, from, AtFlags::empty())
        }
        result => result,
    }
}

/// A path to the open inode, even one opened with `O_PATH`.
fn by_descriptor(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(Errno) -> FileError {
    let path = path.to_owned();
    move |source| FileError { operation, path, source }
}

#[cfg(test)]
mod tests;
