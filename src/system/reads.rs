// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When a file was first read after it was written.
//!
//! With `relatime`, the default of every distribution, the kernel updates the access time on the first read after a
//! change of the file, and then at most once a day (`relatime_need_update` in `fs/inode.c`, since Linux 2.6.30). So
//! the access time dates the first read, or proves that there was none. That holds only on local filesystems, only if
//! nobody has turned access times off, and only for a file whose times nobody has set.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{
    AtFlags, IFlags, StatVfsMountFlags, Statx, StatxFlags, StatxTimestamp, fstatfs, fstatvfs, ioctl_getflags, statx,
};
use rustix::io::Errno;

use crate::time::Timestamp;

/// When a file was first read after it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirstRead {
    /// The file does not tell.
    #[default]
    Unknown,
    /// At this time.
    At(Timestamp),
    /// It has not been read.
    Never,
}

/// Who set the times of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimesSetBy {
    /// The kernel, when the file was written.
    Writing,
    /// The engine that unpacked it, once.
    Unpacking,
}

/// With `relatime` a later read changes the access time again after this.
const RELATIME: Duration = Duration::from_secs(24 * 60 * 60);

/// When an open file was first read. A file that this process opened for reading has to be opened with `O_NOATIME`.
pub fn first_read(file: &File, times: TimesSetBy) -> FirstRead {
    let Ok(stat) = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) else { return FirstRead::Unknown };
    match kept_access_times(file) {
        Some(kept) => judge(Times::of(&stat), times, kept),
        None => FirstRead::Unknown,
    }
}

/// Which reads the access time of a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessTimes {
    /// The first one.
    First,
    /// The last one.
    Last,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
}

impl Times {
    fn of(stat: &Statx) -> Self {
        let time = |time: StatxTimestamp| Timestamp::new(time.tv_sec, time.tv_nsec);
        Times { accessed: time(stat.stx_atime), modified: time(stat.stx_mtime), changed: time(stat.stx_ctime) }
    }
}

fn judge(times: Times, set_by: TimesSetBy, kept: AccessTimes) -> FirstRead {
    // Whoever sets a file's times, copies it or changes its attributes changes only the last of the three.
    if set_by == TimesSetBy::Writing && times.changed != times.modified {
        return FirstRead::Unknown;
    }
    if times.accessed <= times.modified {
        return FirstRead::Never;
    }
    match kept {
        AccessTimes::First if times.accessed.minus(RELATIME) < times.modified => FirstRead::At(times.accessed),
        AccessTimes::First | AccessTimes::Last => FirstRead::Unknown,
    }
}

/// `None` where access times are off, or where another machine keeps them.
fn kept_access_times(file: &File) -> Option<AccessTimes> {
    let flags = fstatvfs(file).ok()?.f_flag;
    if flags.intersects(StatVfsMountFlags::NOATIME | StatVfsMountFlags::RDONLY) || !is_local(file) {
        return None;
    }
    match ioctl_getflags(file) {
        Ok(flags) if flags.contains(IFlags::NOATIME) => None,
        // A filesystem without such flags.
        Ok(_) | Err(Errno::NOTTY | Errno::OPNOTSUPP) => {
            Some(if flags.contains(StatVfsMountFlags::RELATIME) { AccessTimes::First } else { AccessTimes::Last })
        }
        Err(_) => None,
    }
}

/// Whether a file or directory is on one of the usual local filesystems, to which no other machine writes. Their access times
/// work as the kernel's generic code has them.
pub fn is_local(file: &impl AsFd) -> bool {
    /// `f_type` of ext2 to ext4, XFS, btrfs, tmpfs, f2fs and overlay (`include/uapi/linux/magic.h`).
    const LOCAL: [i64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0x794C_7630];
    fstatfs(file).is_ok_and(|filesystem| LOCAL.contains(&filesystem.f_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    #[track_caller]
    fn check([accessed, modified, changed]: [i64; 3], set_by: TimesSetBy, kept: AccessTimes, expected: FirstRead) {
        let time = |seconds| Timestamp::new(seconds, 1);
        let times = Times { accessed: time(accessed), modified: time(modified), changed: time(changed) };
        assert_eq!(judge(times, set_by, kept), expected);
    }

    fn at(seconds: i64) -> FirstRead {
        FirstRead::At(Timestamp::new(seconds, 1))
    }

    #[test]
    fn the_access_time_shows_the_first_read() {
        use TimesSetBy::Writing;
        check([90, 100, 100], Writing, AccessTimes::First, FirstRead::Never);
        check([100, 100, 100], Writing, AccessTimes::Last, FirstRead::Never);
        check([101, 100, 100], Writing, AccessTimes::First, at(101));
        check([101, 100, 100], Writing, AccessTimes::Last, FirstRead::Unknown);
    }

    #[test]
    fn after_a_day_it_may_show_a_later_read() {
        check([99 + DAY, 100, 100], TimesSetBy::Writing, AccessTimes::First, at(99 + DAY));
        check([100 + DAY, 100, 100], TimesSetBy::Writing, AccessTimes::First, FirstRead::Unknown);
    }

    #[test]
    fn times_that_somebody_set_show_nothing_unless_the_engine_set_them() {
        check([90, 100, 101], TimesSetBy::Writing, AccessTimes::First, FirstRead::Unknown);
        check([100, 100, 101], TimesSetBy::Unpacking, AccessTimes::First, FirstRead::Never);
        check([102, 100, 101], TimesSetBy::Unpacking, AccessTimes::First, at(102));
    }
}
