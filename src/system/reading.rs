// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens files and directories for reading without changing their access times.
//!
//! The kernel allows this to the owner and with `CAP_FOWNER`. For others it updates the access time as usual.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// Opens `path` below `directory` for reading; `flags` say how else.
pub(super) fn open(directory: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let directory = directory.as_fd();
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    match openat(directory, path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(directory, path, flags, Mode::empty()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{CWD, Timespec, Timestamps, utimensat};

    use super::*;

    #[test]
    fn a_read_leaves_the_access_time_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, "x").unwrap();
        // Of long ago: every mount notes the next read.
        let old = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: old, last_modification: old };
        utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
        let mut text = String::new();
        File::from(open(CWD, &path, OFlags::empty()).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), fs::metadata(&path).unwrap().atime()), ("x", 1));
    }

    #[test]
    fn a_file_of_others_is_opened_all_the_same() {
        // Root may read it so; whoever else runs the tests does not own it.
        assert!(open(CWD, Path::new("/proc/self/status"), OFlags::empty()).is_ok());
        assert!(open(CWD, Path::new("/etc/passwd"), OFlags::empty()).is_ok());
    }
}
