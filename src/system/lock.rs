// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Locks on open files and directories, with which runs of the tool exclude each other.
//!
//! They are the kernel's `flock` locks: they write no file, work on a read-only filesystem, and end with their process,
//! however it ends. They bind only those who ask for them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// Who else may have a lock on the same file at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Others that only read.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A lock, until it is dropped and all descriptors that were duplicated from its file's are closed.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

/// Why there is no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else has one.
    Taken,
    /// The filesystem or the kernel has none to give.
    Impossible(Errno),
}

/// Locks an open file or directory, if nobody is in the way at this moment. It must not be open by `O_PATH`.
pub fn try_lock(file: &impl AsFd, kind: Kind) -> Result<Lock, Refusal> {
    let operation = match kind {
        Kind::Shared => FlockOperation::NonBlockingLockShared,
        Kind::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(Refusal::Taken),
        Err(error) => return Err(Refusal::Impossible(error)),
    }
    // The lock is the open file's, which a duplicate keeps open.
    rustix::io::fcntl_dupfd_cloexec(file, 0).map(|file| Lock { _file: file }).map_err(Refusal::Impossible)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let place = tempfile::tempdir().unwrap();
        let open = || File::open(place.path()).unwrap();
        let (one, other) = (open(), open());
        let first = try_lock(&one, Kind::Shared).unwrap();
        let second = try_lock(&other, Kind::Shared).unwrap();
        assert_eq!(try_lock(&open(), Kind::Exclusive).unwrap_err(), Refusal::Taken);
        drop((first, second, one, other));
        let _alone = try_lock(&open(), Kind::Exclusive).unwrap();
        assert_eq!(try_lock(&open(), Kind::Shared).unwrap_err(), Refusal::Taken);
    }

    #[test]
    fn a_lock_outlives_the_descriptor_that_it_was_taken_by() {
        let place = tempfile::tempdir().unwrap();
        let _lock = try_lock(&File::open(place.path()).unwrap(), Kind::Exclusive).unwrap();
        assert_eq!(try_lock(&File::open(place.path()).unwrap(), Kind::Shared).unwrap_err(), Refusal::Taken);
    }
}
