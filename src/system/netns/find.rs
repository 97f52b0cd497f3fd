// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every network namespace that can be reached: by a name in `/run/netns`, by a mount, or by a process.
//!
//! Not found are those that only an open descriptor, a thread of a process that is elsewhere, or a mount in another
//! mount namespace keeps alive.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{Error, File, NetNamespace};
use crate::system::mountinfo;
use crate::system::process;

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// What there is.
#[derive(Debug, Default)]
pub struct Found {
    /// The namespaces, each once.
    pub namespaces: Vec<NetNamespace>,
    /// Where there may be more.
    pub problems: Vec<Problem>,
}

/// Something that may hide a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A list of places to look at could not be read.
    #[error("cannot list network namespaces in {}", path.display())]
    List {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A namespace could not be opened or entered.
    #[error(transparent)]
    Namespace(#[from] Error),
    /// A mounted namespace is not where the mount table says: something else is mounted over it.
    #[error("cannot reach the network namespace mounted at {}: something else is mounted over it", path.display())]
    Hidden {
        /// Where it is mounted.
        path: PathBuf,
        /// Its number.
        inode: u64,
    },
    /// Processes whose namespace may not be seen.
    #[error("not permitted to see the network namespace of {count} processes: run as root (CAP_SYS_PTRACE)")]
    Processes {
        /// How many.
        count: usize,
    },
}

/// Finds the network namespaces.
pub fn find_all() -> Found {
    let mut found = Found::default();
    found.look_at_names();
    let hidden = found.look_at_mounts();
    found.look_at_processes();
    // One that a process or another mount leads to as well is not lost.
    for (path, inode) in hidden {
        if !found.namespaces.iter().any(|namespace| namespace.inode == inode) {
            found.problems.push(Problem::Hidden { path, inode });
        }
    }
    found
}

impl Found {
    fn look_at_names(&mut self) {
        let entries = match std::fs::read_dir(NAMED).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(source) => return self.problems.push(Problem::List { path: NAMED.into(), source }),
        };
        let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match File::find(&path) {
                Ok(file) => self.add(file),
                // A name whose mount is gone is an empty file; a link to a process that has ended leads nowhere.
                Err(Error::NotANetNamespace { .. } | Error::Open { source: Errno::NOENT, .. }) => {}
                Err(error) => self.problems.push(error.into()),
            }
        }
    }

    /// Adds the mounted namespaces, and gives the place and number of those that something is mounted over.
    fn look_at_mounts(&mut self) -> Vec<(PathBuf, u64)> {
        const TABLE: &str = "/proc/thread-self/mountinfo";
        let mountinfo = match std::fs::read(TABLE) {
            Ok(mountinfo) => mountinfo,
            Err(source) => {
                self.problems.push(Problem::List { path: TABLE.into(), source });
                return Vec::new();
            }
        };
        let mut hidden = Vec::new();
        for (path, inode) in mounted(&mountinfo) {
            match File::find(&path) {
                Ok(file) if file.inode == inode => self.add(file),
                Ok(_) | Err(Error::NotANetNamespace { .. } | Error::Open { .. }) => hidden.push((path, inode)),
                Err(error) => self.problems.push(error.into()),
            }
        }
        hidden
    }

    fn look_at_processes(&mut self) {
        let pids = match process::pids() {
            Ok(pids) => pids,
            Err(source) => return self.problems.push(Problem::List { path: "/proc".into(), source }),
        };
        let mut denied = 0;
        for pid in pids {
            match of_process(pid) {
                Ok(Some(file)) => self.add_process(file),
                Ok(None) => {}
                Err(Error::Open { source: Errno::ACCESS | Errno::PERM, .. }) => denied += 1,
                Err(error) => self.problems.push(error.into()),
            }
        }
        if denied > 0 {
            self.problems.push(Problem::Processes { count: denied });
        }
    }

    fn add(&mut self, file: File) {
        match self.position(&file) {
            Some(at) if self.namespaces[at].paths.contains(&file.path) => {}
            Some(at) => self.namespaces[at].paths.push(file.path),
            None => match file.open_checked() {
                Ok(namespace) => self.namespaces.push(namespace),
                // A namespace of another kind.
                Err(Error::NotANetNamespace { .. }) => {}
                Err(error) => self.problems.push(error.into()),
            },
        }
    }

    /// As [`Self::add`], but of the many processes in a namespace one is enough.
    fn add_process(&mut self, file: File) {
        let is_process = |path: &PathBuf| path.starts_with("/proc");
        match self.position(&file) {
            Some(at) if self.namespaces[at].paths.iter().any(is_process) => {}
            _ => self.add(file),
        }
    }

    fn position(&self, file: &File) -> Option<usize> {
        self.namespaces.iter().position(|each| (each.device, each.inode) == (file.device, file.inode))
    }
}

/// The namespace of a process; `None` where the process has ended.
fn of_process(pid: u32) -> Result<Option<File>, Error> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    match File::find(&directory.join("ns/net")) {
        Ok(file) => Ok(Some(file)),
        // A process that ends at this very moment is answered with EACCES as well.
        Err(Error::Open { source: Errno::ACCESS, .. }) if !directory.exists() => Ok(None),
        // The first thread of a process may end before the others, and has no namespace any more.
        Err(Error::Open { source: Errno::NOENT | Errno::SRCH, .. }) => Ok(of_other_threads(&directory)),
        Err(error) => Err(error),
    }
}

fn of_other_threads(process: &Path) -> Option<File> {
    let threads = std::fs::read_dir(process.join("task")).ok()?;
    threads.flatten().find_map(|thread| File::find(&thread.path().join("ns/net")).ok())
}

/// The network namespaces in a mount table: where they are mounted, and their numbers.
fn mounted(table: &[u8]) -> Vec<(PathBuf, u64)> {
    let (mounts, _) = mountinfo::parse(table);
    let mounts = mounts.into_iter().filter(|mount| mount.fstype == b"nsfs");
    mounts.filter_map(|mount| Some((OsString::from_vec(mount.mountpoint).into(), number(&mount.root)?))).collect()
}

/// The number in `net:[4026531840]`.
fn number(root: &[u8]) -> Option<u64> {
    let digits = root.strip_prefix(b"net:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_network_namespaces_are_told_from_other_ones() {
        let mountinfo = br"36 35 0:4 net:[4026532178] /run/netns/a\040b rw shared:7 - nsfs nsfs rw
37 35 0:4 mnt:[4026532179] /run/x rw - nsfs nsfs rw
38 35 0:5 /net:[1] /tmp/y rw - tmpfs tmpfs rw
39 35 0:4 net:[x] /run/netns/c rw - nsfs nsfs rw
";
        assert_eq!(mounted(mountinfo), [(PathBuf::from("/run/netns/a b"), 4_026_532_178)]);
    }
}
