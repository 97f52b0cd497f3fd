// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of a file beyond its name: which inode it is, and its times.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags};
use rustix::io::Errno;

use super::error::{FileError, failed};
use crate::time::Timestamp;

/// An inode of this host: the device number, `(major, minor)`, and the number of the inode.
pub type InodeId = ((u32, u32), u64);

/// What names a file for as long as its filesystem lives, and what can be compared with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// Device number, `(major, minor)`, as `stat` shows it.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Who owns it: a user's number.
    pub owner: u32,
    /// Number of hard links.
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
    /// Space taken on the filesystem, in bytes.
    pub allocated: u64,
    /// Last change of the inode: content, links, owner or mode.
    pub changed: Timestamp,
    /// Last change of the content, or what somebody set that to.
    pub modified: Timestamp,
    /// When the inode was made, where the filesystem tells it: inode numbers are used again.
    pub born: Option<Timestamp>,
    /// The kernel's id of the mount through which the file was reached; 0 where the kernel does not tell (before 5.8).
    pub mount_id: u64,
}

/// What is asked of a file.
pub(super) const IDENTITY: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

impl FileIdentity {
    pub(super) fn of(stat: &Statx) -> Self {
        let has = |field: StatxFlags| stat.stx_mask & field.bits() != 0;
        FileIdentity {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            mode: u32::from(stat.stx_mode),
            owner: stat.stx_uid,
            links: stat.stx_nlink,
            size: stat.stx_size,
            allocated: stat.stx_blocks.saturating_mul(512),
            changed: Timestamp::new(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            modified: Timestamp::new(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            born: has(StatxFlags::BTIME).then(|| Timestamp::new(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
            mount_id: if has(StatxFlags::MNT_ID) { stat.stx_mnt_id } else { 0 },
        }
    }

    /// The type of file.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Which inode it is.
    pub fn id(&self) -> InodeId {
        (self.device, self.inode)
    }

    /// Whether both are the same inode of the same filesystem.
    pub fn is_same_inode(&self, other: &FileIdentity) -> bool {
        self.id() == other.id()
    }
}

/// What an open file or directory is; `path` is for messages.
pub fn identity_of(file: &impl AsFd, path: &Path) -> Result<FileIdentity, FileError> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, IDENTITY).map_err(failed("look at", path))?;
    Ok(FileIdentity::of(&stat))
}

/// When an open file or directory was last written.
pub fn last_written(file: &impl AsFd) -> Result<Timestamp, Errno> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MTIME)?;
    Ok(Timestamp::new(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec))
}

/// When an open file was made, where the filesystem tells.
pub fn born(file: &File) -> Option<Timestamp> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let is_known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    is_known.then(|| Timestamp::new(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}

/// How old an open file was when it was written last, where the filesystem tells.
pub fn age_when_written(file: &File) -> Option<Duration> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MTIME | StatxFlags::BTIME).ok()?;
    let nanoseconds =
        |time: rustix::fs::StatxTimestamp| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    let is_known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let age = nanoseconds(stat.stx_mtime) - nanoseconds(stat.stx_btime);
    u64::try_from(age).ok().filter(|_| is_known).map(Duration::from_nanos)
}

/// Whether nothing has changed an open file since its content was written: no copy has its times, nobody has set its
/// times, owner or mode.
pub fn is_untouched(file: &File) -> bool {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MTIME | StatxFlags::CTIME);
    stat.is_ok_and(|stat| {
        let [changed, modified] = [stat.stx_ctime, stat.stx_mtime].map(|time| (time.tv_sec, time.tv_nsec));
        changed == modified
    })
}
