// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces: finds them, and works inside them.
//!
//! Device and inode number identify a namespace, not its path. A path is resolved once, and its target checked before
//! it is opened, so a swapped path leads at most to another namespace, which has its own number. A separate thread
//! enters namespaces one after the other; the caller's thread never leaves its own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;

use super::privilege::{Capability, advice};
use crate::time::Timestamp;

mod cookie;

pub use cookie::{CookieError, cookie};

/// `NSFS_MAGIC` (linux/magic.h): the filesystem on which all namespaces are.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Which network namespace, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId {
    /// The device that the inode number belongs to.
    pub device: u64,
    /// What `readlink /proc/PID/ns/net` shows in brackets.
    pub inode: u64,
}

/// A network namespace that need not be open, and may have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName {
    /// Which one.
    pub id: NetworkId,
    /// By what it can be named, the most lasting first: `/run/netns`, other mounts, processes.
    pub paths: Vec<PathBuf>,
}

/// A network namespace, which lives at least as long as this value.
#[derive(Debug)]
pub struct NetNamespace {
    /// Which one it is.
    pub name: Arc<NetworkName>,
    /// Since when something has kept it from vanishing without interruption: a mount, or an open descriptor. One that
    /// only processes are in may be older.
    pub since: Timestamp,
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
    #[error("cannot enter network namespace {namespace}{}", advice(Capability::SysAdmin))]
    Enter {
        /// A name of it.
        namespace: String,
        /// What the kernel answered.
        source: Errno,
    },
    /// There could be no thread to go there.
    #[error("cannot start a thread for network namespaces")]
    Thread {
        /// What the system answered.
        source: io::Error,
    },
}

impl NetNamespace {
    /// Which one it is.
    pub fn id(&self) -> NetworkId {
        self.name.id
    }

    /// The same with one more path before the others.
    #[must_use]
    pub fn named(self, path: &str) -> Self {
        let paths = std::iter::once(PathBuf::from(path)).chain(self.name.paths.iter().cloned()).collect();
        NetNamespace { name: Arc::new(NetworkName { id: self.id(), paths }), ..self }
    }
}

impl std::fmt::Display for NetNamespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

impl std::fmt::Display for NetworkName {
    /// The best name, or the number where there is none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.paths.first() {
            Some(path) => path.display().fmt(f),
            None => write!(f, "net:[{}]", self.id.inode),
        }
    }
}

/// The network namespace of the calling thread.
pub fn current() -> Result<NetNamespace, Error> {
    let mut file = File::find(Path::new("/proc/thread-self/ns/net"))?;
    // That name means another namespace to every thread.
    file.forget_paths();
    file.open()
}

/// Opens a namespace once more, by one of its paths; `None` where none of them leads to it any more.
pub fn reopen(name: &NetworkName) -> Option<NetNamespace> {
    let find = |path: &PathBuf| if path.starts_with("/proc") { File::find_link(path) } else { File::find(path) };
    let file = name.paths.iter().filter_map(|path| find(path).ok()).find(|file| file.inode == name.id.inode)?;
    on_own_thread(|| file.open_from_within().ok()).ok().flatten()
}

/// Opens a network namespace that the user or the kernel names.
pub fn open(path: &Path) -> Result<NetNamespace, Error> {
    let file = File::find(path)?;
    on_own_thread(|| file.open_from_within())?
}

/// Opens the network namespace that a descriptor leads to, which was opened by `path` (`O_PATH`).
pub fn open_found(fd: OwnedFd, path: &Path) -> Result<NetNamespace, Error> {
    let file = File::of(fd, path)?;
    on_own_thread(|| file.open_from_within())?
}

/// Runs `work` on a thread of its own inside the namespace, and waits for it. What `work` opens there (a netlink
/// socket), and what it starts, stays bound to the namespace. A panic in `work` goes on in the caller.
pub fn within<T: Send>(namespace: &NetNamespace, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    on_own_thread(|| {
        enter(&namespace.fd, namespace)?;
        Ok(work())
    })?
}

/// Runs `work` inside each namespace, on one thread for all of them.
pub fn tour<T: Send>(
    namespaces: &[Arc<NetNamespace>],
    work: impl Fn(&Arc<NetNamespace>) -> T + Send + Sync,
) -> Result<Vec<Result<T, Error>>, Error> {
    let visit = |namespace: &Arc<NetNamespace>| enter(&namespace.fd, &**namespace).map(|()| work(namespace));
    on_own_thread(|| namespaces.iter().map(visit).collect())
}

/// Opens namespaces that were found, each from within: what is kept is a descriptor opened in there, since one opened
/// through a mount would keep its owner from unmounting it. Without an ioctl (`NS_GET_NSTYPE`) only the way into it
/// tells its kind.
pub fn open_each(files: Vec<File>) -> Result<Vec<Result<NetNamespace, Error>>, Error> {
    on_own_thread(|| files.into_iter().map(File::open_from_within).collect())
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|source| Error::Thread { source })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn enter(fd: &OwnedFd, name: &impl ToString) -> Result<(), Error> {
    rustix::thread::move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|source| Error::Enter { namespace: name.to_string(), source })
}

/// A namespace of some kind that was found but not opened: to open a file may do something (a device) or wait (a FIFO).
#[derive(Debug)]
pub struct File {
    /// Its number.
    pub inode: u64,
    fd: OwnedFd,
    device: u64,
    since: Timestamp,
    paths: Vec<PathBuf>,
}

impl File {
    /// Finds it where the user or the kernel names it.
    pub fn find(path: &Path) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        Self::of(fd.map_err(|source| Error::Open { path: path.to_owned(), source })?, path)
    }

    /// Finds it at a mount point, as the kernel writes it; no symbolic link is followed.
    pub fn find_exactly(path: &Path) -> Result<Self, Error> {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve);
        Self::of(fd.map_err(|source| Error::Open { path: path.to_owned(), source })?, path)
    }

    /// Finds it behind a link below `/proc`, whose text has said that it is one. What it leads to by now is not touched
    /// unless it still is.
    pub fn find_link(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        let text = rustix::fs::readlink(own_descriptor(&fd), Vec::new()).map_err(failed)?;
        if !text.as_bytes().starts_with(b"net:[") {
            return Err(Error::NotANetNamespace { path: path.to_owned() });
        }
        Self::of(fd, path)
    }

    fn of(fd: OwnedFd, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let filesystem = rustix::fs::fstatfs(&fd).map_err(failed)?;
        if u64::try_from(filesystem.f_type) != Ok(NSFS_MAGIC) {
            return Err(Error::NotANetNamespace { path: path.to_owned() });
        }
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        let since = Timestamp::new(stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0));
        Ok(File { inode: stat.st_ino, fd, device: stat.st_dev, since, paths: vec![path.to_owned()] })
    }

    /// Takes the names of another file of the same namespace.
    pub fn add_paths(&mut self, other: File) {
        for path in other.paths {
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
    }

    /// Its path means something in another mount namespace only.
    pub fn forget_paths(&mut self) {
        self.paths.clear();
    }

    fn open(self) -> Result<NetNamespace, Error> {
        let File { inode, fd, device, since, paths } = self;
        // By the descriptor, not by the path once more: that may lead elsewhere by now.
        match rustix::fs::open(own_descriptor(&fd), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => {
                Ok(NetNamespace { name: Arc::new(NetworkName { id: NetworkId { device, inode }, paths }), since, fd })
            }
            Err(source) => Err(Error::Open { path: paths.into_iter().next().unwrap_or_default(), source }),
        }
    }

    /// Opens it and makes sure of its kind, on a thread that may go there.
    fn open_from_within(self) -> Result<NetNamespace, Error> {
        let outside = self.open()?;
        match enter(&outside.fd, &outside) {
            Ok(()) => Ok(NetNamespace { name: outside.name, since: outside.since, ..current()? }),
            Err(Error::Enter { source: Errno::INVAL, .. }) => {
                Err(Error::NotANetNamespace { path: outside.name.paths.first().cloned().unwrap_or_default() })
            }
            Err(error) => Err(error),
        }
    }
}

fn own_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/thread-self/fd/{}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests;
