// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Open directories, and the entries in them.
//!
//! The tool accesses a file only by directory descriptor and one name: it resolves a path once, without following
//! symbolic links, and never again as a string. So nobody can redirect it by replacing a directory.

mod change;
mod error;
mod identity;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use super::author::Author;
use super::filesystem::FilesystemId;
use super::origin::{self, MountKey};
use super::reading;
use crate::time::Timestamp;
use identity::IDENTITY;

pub use change::{Name, Renamed};
pub use error::FileError;
pub(crate) use error::failed;
pub use identity::{FileIdentity, InodeId, age_when_written, born, identity_of, is_untouched, last_written};

/// How far a path may lead while it is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere below the directory, through other mounts too.
    AcrossMounts,
    /// Below the directory and on its own mount only.
    SameMount,
}

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// The mount that it is on, with the trust in its owners; asked once for all files in it.
    origin: OnceLock<(MountKey, Author)>,
}

/// What the listing of a directory says of the type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// It is a directory.
    Directory,
    /// It is none.
    Other,
    /// This filesystem does not tell.
    Unknown,
}

impl EntryType {
    fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::Directory => EntryType::Directory,
            FileType::Unknown => EntryType::Unknown,
            FileType::RegularFile
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice => EntryType::Other,
        }
    }
}

/// How much of a directory is read with one call.
const ENTRIES_BUFFER: usize = 32 * 1024;

/// What the names in one directory may take in memory: those of half a million files.
const NAMES_LIMIT: usize = 32 * 1024 * 1024;

impl Directory {
    /// Opens a directory that the user named: symbolic links in `path` are followed, as the shell would.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let fd = reading::open(CWD, path, OFlags::DIRECTORY).map_err(failed("open directory", path))?;
        Ok(Self::of_descriptor(fd, path))
    }

    /// Opens the directory at `path`, absolute and as the kernel writes it (a mount point), following no link at all.
    pub fn open_exactly(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd =
            rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve).map_err(failed("open directory", path))?;
        Ok(Self::of_descriptor(fd, path))
    }

    /// A directory that is open; `path` is for messages.
    pub fn of_descriptor(fd: OwnedFd, path: &Path) -> Self {
        Directory { fd, path: path.to_owned(), origin: OnceLock::new() }
    }

    /// Opens the directory `relative` below this one. No symbolic link is followed, no `..` leads out, and with
    /// [`Reach::SameMount`] no mount point is crossed. An empty `relative` is this directory.
    pub fn below(&self, relative: &Path, reach: Reach) -> Result<Self, FileError> {
        let path = if relative.as_os_str().is_empty() { self.path.clone() } else { self.path.join(relative) };
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if reach == Reach::SameMount {
            resolve |= ResolveFlags::NO_XDEV;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(&self.fd, relative, flags, Mode::empty(), resolve)
            .map_err(failed("open directory", &path))?;
        Ok(Self::of_descriptor(fd, &path))
    }

    /// The same, open for reading its names.
    pub fn below_to_read(&self, relative: &Path, reach: Reach) -> Result<Self, FileError> {
        self.below(relative, reach)?.reopened()
    }

    /// The directory that holds this one, across mounts; `None` for the root directory.
    pub fn parent(&self) -> Result<Option<Self>, FileError> {
        let path = self.path.join("..");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, "..", flags, Mode::empty()).map_err(failed("open directory", &path))?;
        let parent = Self::of_descriptor(fd, &path);
        Ok((parent.identity()? != self.identity()?).then_some(parent))
    }

    /// When the names in it were last changed.
    pub fn modified(&self) -> Result<Timestamp, FileError> {
        last_written(self).map_err(failed("look at", &self.path))
    }

    /// The same directory once more, open for reading its names and for a lock of its own.
    pub fn reopened(&self) -> Result<Self, FileError> {
        let fd =
            reading::open(&self.fd, Path::new("."), OFlags::DIRECTORY).map_err(failed("read directory", &self.path))?;
        Ok(Self::of_descriptor(fd, &self.path))
    }

    /// The path that was opened; for people only.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the kernel has it now, by a path without symbolic links.
    pub fn location(&self) -> Result<PathBuf, FileError> {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let target = rustix::fs::readlink(link, Vec::new()).map_err(failed("find", &self.path))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// The directory itself.
    pub fn identity(&self) -> Result<FileIdentity, FileError> {
        identity_of(self, &self.path)
    }

    /// The filesystem that it is on.
    pub fn filesystem(&self) -> FilesystemId {
        let device = self.identity().map(|identity| identity.device);
        match (self.reopened(), device) {
            (Ok(open), Ok(device)) => FilesystemId::of(open, device),
            (Err(_), _) | (_, Err(_)) => FilesystemId::default(),
        }
    }

    /// The overlay of which it is the upper directory.
    pub fn overlay(&self) -> FilesystemId {
        self.reopened().map(FilesystemId::of_overlay).unwrap_or_default()
    }

    /// Who may take an entry away from this directory, or put one in its place.
    pub fn author(&self) -> Result<Author, Errno> {
        self.author_of(self)
    }

    /// Who may have written an open file of this directory.
    pub fn author_of(&self, file: &impl AsFd) -> Result<Author, Errno> {
        let mount = origin::mount_of(file)?;
        let (known, author) = match self.origin.get() {
            Some(origin) => *origin,
            None => {
                let own = origin::mount_of(self)?;
                *self.origin.get_or_init(|| (own, origin::author_on(own)))
            }
        };
        let of_filesystem = if known == mount { author } else { origin::author_on(mount) };
        Ok(Author::by_attributes(file)?.or(of_filesystem))
    }

    /// What `name` is in this directory, a link itself where it is one; `None` where there is no such entry.
    pub fn entry(&self, name: &OsStr) -> Result<Option<FileIdentity>, FileError> {
        debug_assert!(!name.as_bytes().contains(&b'/'));
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match rustix::fs::statx(&self.fd, name, flags, IDENTITY) {
            Ok(stat) => Ok(Some(FileIdentity::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(source) => Err(failed("look at", &self.path.join(name))(source)),
        }
    }

    /// Holds on to what `name` is in this directory, a link itself where it is one; `None` where there is no such
    /// entry. Nothing is read and no device is woken.
    pub fn pin(&self, name: &OsStr) -> Result<Option<Pinned>, FileError> {
        let path = self.path.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Pinned { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(source) => Err(failed("look at", &path)(source)),
        }
    }

    /// The names in this directory, without `.` and `..`, sorted.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, FileError> {
        self.names_that(|_| true)
    }

    /// The same of those that are directories, or may be. The listing alone tells, so no filesystem that is mounted on one of
    /// them is asked.
    pub fn names_of_directories(&self) -> Result<Vec<Vec<u8>>, FileError> {
        self.names_that(|kind| kind != EntryType::Other)
    }

    fn names_that(&self, is_wanted: impl Fn(EntryType) -> bool) -> Result<Vec<Vec<u8>>, FileError> {
        // Not every directory here was opened for reading.
        let entries = rustix::fs::Dir::new(self.reopened()?.fd).map_err(failed("read directory", &self.path))?;
        let mut names = Vec::new();
        let mut size = 0;
        for entry in entries {
            let entry = entry.map_err(failed("read directory", &self.path))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && is_wanted(EntryType::of(entry.file_type())) {
                size += name.len() + size_of::<Vec<u8>>() + 2 * size_of::<usize>();
                if size > NAMES_LIMIT {
                    return Err(failed("hold all the names (too many) in directory", &self.path)(Errno::TOOBIG));
                }
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Calls `each` for every name in this directory, which must be open for reading. Nothing of it is held, so it may have any
    /// number.
    pub fn each_entry(&self, mut each: impl FnMut(&[u8], EntryType)) -> Result<(), FileError> {
        let mut buffer = Vec::with_capacity(ENTRIES_BUFFER);
        let mut entries = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed("read directory", &self.path))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                each(name, EntryType::of(entry.file_type()));
            }
        }
        Ok(())
    }

    /// Opens the regular file `name` for reading; `None` if there is none. A symbolic link, a FIFO or a device in
    /// its place is an error: no reader may be led elsewhere or made to wait.
    pub fn read_file(&self, name: &OsStr) -> Result<Option<File>, FileError> {
        let path = self.path.join(name);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match reading::open(&self.fd, Path::new(name), flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(source) => return Err(failed("open", &path)(source)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed("look at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed("read, because it is not a regular file:", &path)(Errno::INVAL));
        }
        Ok(Some(File::from(fd)))
    }
}

/// A file that cannot be exchanged for another one any more: whatever happens to its name, this stays the same inode.
#[derive(Debug)]
pub struct Pinned {
    fd: OwnedFd,
    path: PathBuf,
}

impl Pinned {
    /// What the file is now.
    pub fn identity(&self) -> Result<FileIdentity, FileError> {
        identity_of(self, &self.path)
    }

    /// The path where the file was found; for people only.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Pinned {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What the user named, open.
#[derive(Debug)]
pub enum Opened {
    /// A directory.
    Directory(Directory),
    /// Something else, which can be read.
    File(File),
}

/// Opens what the user named for reading: symbolic links in `path` are followed, as the shell would. A pipe without a
/// writer is not waited for.
pub fn open_named(path: &Path) -> Result<Opened, FileError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = reading::open(CWD, path, flags).map_err(failed("open", path))?;
    let stat = rustix::fs::fstat(&fd).map_err(failed("look at", path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Ok(Opened::Directory(Directory::of_descriptor(fd, path)));
    }
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(failed("look at", path))?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK).map_err(failed("look at", path))?;
    Ok(Opened::File(File::from(fd)))
}
