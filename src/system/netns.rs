// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces: finding them, and working inside one.
//!
//! A namespace is what its device and inode number say, never what a path says: a path is resolved once, to something
//! that is looked at before it is opened, so that a path that somebody swaps leads at most to another namespace, which
//! then goes by its own number. Work inside a namespace is done by a thread made for it; the caller's own thread
//! never leaves where it is.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;

use crate::time::Timestamp;

mod cookie;
mod find;

pub use cookie::{CookieError, cookie};
pub use find::{Found, Problem, find_all};

/// `NSFS_MAGIC` (linux/magic.h): the filesystem on which all namespaces are.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace, which lives at least as long as this value.
#[derive(Debug)]
pub struct NetNamespace {
    /// The device that the inode number belongs to.
    pub device: u64,
    /// What `readlink /proc/PID/ns/net` shows in brackets.
    pub inode: u64,
    /// Since when something has kept it from vanishing without interruption: a mount, or an open descriptor. One that
    /// only processes are in may be older.
    pub since: Timestamp,
    /// By what it can be named, the most lasting first: `/run/netns`, other mounts, processes.
    pub paths: Vec<PathBuf>,
    fd: OwnedFd,
}

/// Why a network namespace could not be opened or entered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be opened.
    #[error("cannot open network namespace {}", path.display())]
    Open {
        /// By which name.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
    /// There is something else.
    #[error("{} is not a network namespace", path.display())]
    NotANetNamespace {
        /// The path.
        path: PathBuf,
    },
    /// The thread could not go there.
    #[error("cannot enter network namespace {namespace}: run as root (CAP_SYS_ADMIN)")]
    Enter {
        /// A name of it.
        namespace: String,
        /// What the kernel answered.
        source: Errno,
    },
    /// There could be no thread to go there.
    #[error("cannot start a thread for network namespace {namespace}")]
    Thread {
        /// A name of it.
        namespace: String,
        /// What the system answered.
        source: io::Error,
    },
}

impl NetNamespace {
    /// Whether both are the same namespace.
    pub fn is_same(&self, other: &NetNamespace) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl std::fmt::Display for NetNamespace {
    /// The best name, or the number where there is none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.paths.first() {
            Some(path) => path.display().fmt(f),
            None => write!(f, "net:[{}]", self.inode),
        }
    }
}

/// The network namespace of the calling thread.
pub fn current() -> Result<NetNamespace, Error> {
    let mut namespace = File::find(Path::new("/proc/thread-self/ns/net"))?.open()?;
    // That name means another namespace to every thread.
    namespace.paths.clear();
    Ok(namespace)
}

/// Opens a network namespace that the user or the kernel names.
pub fn open(path: &Path) -> Result<NetNamespace, Error> {
    File::find(path)?.open_checked()
}

/// Opens the network namespace that a descriptor leads to, which was opened by `path` (`O_PATH`).
pub fn open_found(fd: OwnedFd, path: &Path) -> Result<NetNamespace, Error> {
    File::of_descriptor(fd, path)?.open_checked()
}

/// Runs `work` on a thread of its own inside the namespace, and waits for it. What `work` opens there (a netlink
/// socket), and what it starts, stays bound to the namespace. A panic in `work` goes on in the caller.
pub fn within<T: Send>(namespace: &NetNamespace, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let enter = || {
        rustix::thread::move_into_link_name_space(namespace.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|source| Error::Enter { namespace: namespace.to_string(), source })?;
        Ok(work())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, enter)
            .map_err(|source| Error::Thread { namespace: namespace.to_string(), source })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A namespace of some kind that was found but not opened: to open a file may do something (a device) or wait (a FIFO).
#[derive(Debug)]
struct File {
    fd: OwnedFd,
    device: u64,
    inode: u64,
    since: Timestamp,
    path: PathBuf,
}

impl File {
    fn find(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        Self::of_descriptor(fd, path)
    }

    fn of_descriptor(fd: OwnedFd, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let filesystem = rustix::fs::fstatfs(&fd).map_err(failed)?;
        if u64::try_from(filesystem.f_type) != Ok(NSFS_MAGIC) {
            return Err(Error::NotANetNamespace { path: path.to_owned() });
        }
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        let since = Timestamp::new(stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0));
        Ok(File { fd, device: stat.st_dev, inode: stat.st_ino, since, path: path.to_owned() })
    }

    fn open(self) -> Result<NetNamespace, Error> {
        let File { fd, device, inode, since, path } = self;
        // By the descriptor, not by the path once more: that may lead elsewhere by now.
        let found = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
        match rustix::fs::open(found, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(NetNamespace { device, inode, since, paths: vec![path], fd }),
            Err(source) => Err(Error::Open { path, source }),
        }
    }

    /// Opens it and makes sure of its kind. Without an ioctl (`NS_GET_NSTYPE`) only the way into it tells. What is kept
    /// is a descriptor opened in there: one opened through a mount would keep its owner from unmounting it.
    fn open_checked(self) -> Result<NetNamespace, Error> {
        let outside = self.open()?;
        match within(&outside, current) {
            Ok(inside) => Ok(NetNamespace { paths: outside.paths, since: outside.since, ..inside? }),
            Err(Error::Enter { source: Errno::INVAL, .. }) => {
                Err(Error::NotANetNamespace { path: outside.paths.into_iter().collect() })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
