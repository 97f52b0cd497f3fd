// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a file has beside its content: owner, mode, times, extended attributes.
//!
//! A file may be held without having been opened (`O_PATH`), so most calls go by `/proc/self/fd`, which leads to the
//! inode itself: also to that of a symbolic link.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Statx, StatxFlags, StatxTimestamp, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{by_descriptor, failed};
use crate::system::dir::FileError;
use crate::time::Timestamp;

/// The longest list of names, and the longest value, that the kernel gives.
const LONGEST: usize = 65_536;

/// Owner, mode and times of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The owning user.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// What a device node stands for, `(major, minor)`.
    pub device: (u32, u32),
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedAttribute {
    /// Its name, with the namespace in front: `user.…`, `security.…`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Attributes {
    /// Those of what is held. `path` is for messages.
    pub fn of(file: impl AsFd, path: &Path) -> Result<Self, FileError> {
        let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
        stat.map(|stat| Attributes::from_stat(&stat)).map_err(failed("look at", path))
    }

    fn from_stat(stat: &Statx) -> Self {
        let time = |time: StatxTimestamp| Timestamp::new(time.tv_sec, time.tv_nsec);
        Attributes {
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mode: u32::from(stat.stx_mode),
            device: (stat.stx_rdev_major, stat.stx_rdev_minor),
            accessed: time(stat.stx_atime),
            modified: time(stat.stx_mtime),
            changed: time(stat.stx_ctime),
        }
    }

    /// The type of file.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// What a device node stands for, as the kernel numbers it.
    pub(super) fn device_number(&self) -> u64 {
        rustix::fs::makedev(self.device.0, self.device.1)
    }

    /// Gives these, and the extended attributes of `from`, to a new file. Gives back the extended attributes that it
    /// could not be given; anything else that it refuses is an error.
    pub(super) fn give_to(&self, to: impl AsFd, from: impl AsFd) -> Result<Vec<ExtendedAttribute>, Errno> {
        let path = by_descriptor(&to);
        // The order counts: a change of owner takes set-id bits and capabilities away, and all changes touch times.
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::chownat(&to, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        let refused = extended(from)?.into_iter().filter(|each| !each.give_to(&path)).collect();
        if self.file_type() != FileType::Symlink {
            rustix::fs::chmod(&path, Mode::from_raw_mode(self.mode & 0o7777))?;
        }
        let times = Timestamps { last_access: timespec(self.accessed), last_modification: timespec(self.modified) };
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty())?;
        self.check(to)?;
        Ok(refused)
    }

    /// Some filesystems say yes to a change of owner or mode, and do nothing.
    fn check(&self, given: impl AsFd) -> Result<(), Errno> {
        let given = rustix::fs::statx(given, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        let given = Attributes::from_stat(&given);
        let is_same = (given.uid, given.gid, given.mode) == (self.uid, self.gid, self.mode)
            && given.modified.seconds() == self.modified.seconds();
        if is_same { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    }
}

impl ExtendedAttribute {
    /// Whether the file at `path` took it.
    fn give_to(&self, path: &str) -> bool {
        rustix::fs::setxattr(path, self.name.as_slice(), &self.value, XattrFlags::empty()).is_ok()
    }
}

/// All extended attributes of a file.
fn extended(file: impl AsFd) -> Result<Vec<ExtendedAttribute>, Errno> {
    let path = by_descriptor(file);
    let mut buffer = vec![0; LONGEST];
    let length = match rustix::fs::listxattr(&path, &mut buffer[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error),
    };
    let names: Vec<Vec<u8>> =
        buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    let mut found = Vec::new();
    for name in names {
        match rustix::fs::getxattr(&path, name.as_slice(), &mut buffer[..]) {
            Ok(length) => found.push(ExtendedAttribute { name, value: buffer[..length].to_vec() }),
            // Taken away meanwhile, or a name that only lists.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn timespec(time: Timestamp) -> Timespec {
    Timespec { tv_sec: time.seconds(), tv_nsec: time.nanoseconds().into() }
}
