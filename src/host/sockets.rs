// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What only a socket keeps alive: the network namespace in which it was created, and the filesystem of the file to
//! which it is bound.
//!
//! No file leads to such a namespace, but its existence shows. Whoever has a descriptor of a socket can ask for its
//! namespace, so criu-gc duplicates each socket for a moment (`pidfd_getfd`) and asks. This sends and receives nothing,
//! and the owner does not notice. A list of sockets (`sock_diag`) is not enough: it lacks unbound sockets.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::bounded;
use super::descriptors::{Descriptors, MOST_SOCKETS, Sockets, inode_of_socket};
use super::process::{Process, Processes, listed};
use super::unseen::{Scope, Unseen};
use crate::system::netns::{NetNamespace, NetworkId};
use crate::system::privilege::{self, Capability};

/// How many are asked before an answer is waited for: so many take a few milliseconds.
const AT_ONCE: usize = 500;

/// Where a process's sockets are, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SocketPlace {
    /// In namespaces that are known.
    Known,
    /// One could not be asked.
    NotAsked,
    /// One is in none of them.
    Elsewhere,
}

/// What the sockets of processes show of namespaces that are not among these.
pub(super) fn look(processes: &Processes, open: &Descriptors, known: &[Arc<NetNamespace>]) -> Vec<Unseen> {
    let known: BTreeSet<NetworkId> = known.iter().map(|namespace| namespace.id()).collect();
    let some = |Sockets { pid, list }: &Sockets| -> Vec<Sockets> {
        list.chunks(AT_ONCE).map(|list| Sockets { pid: *pid, list: list.to_vec() }).collect()
    };
    let sockets: Vec<Sockets> = open.sockets.iter().flat_map(some).collect();
    let pids: Vec<u32> = sockets.iter().map(|sockets| sockets.pid).collect();
    let answers = bounded::each(sockets, move |sockets: &Sockets| ask(sockets, &known));
    let holders = |is_meant: &dyn Fn(Option<SocketPlace>) -> bool| -> Vec<&Process> {
        let meant = pids.iter().zip(&answers).filter(|(_, answer)| is_meant(**answer));
        let pids: BTreeSet<u32> = meant.map(|(pid, _)| *pid).collect();
        pids.into_iter().filter_map(|pid| processes.get(pid)).collect()
    };
    let elsewhere = holders(&|answer| answer == Some(SocketPlace::Elsewhere));
    let not_asked = holders(&|answer| matches!(answer, Some(SocketPlace::NotAsked) | None));
    let mut found = Vec::new();
    if !elsewhere.is_empty() {
        found.push(format!("only a socket of {} keeps a network namespace alive", listed(&elsewhere)));
    }
    if !not_asked.is_empty() {
        let advice = privilege::advice(Capability::SysPtrace);
        found.push(format!(
            "cannot find out which network namespaces the sockets of {} are in{advice}",
            listed(&not_asked)
        ));
    }
    if open.has_more_sockets {
        found.push(format!("processes have more than {MOST_SOCKETS} sockets"));
    }
    found.into_iter().map(|why| Unseen { scope: Scope::Networks, why }).collect()
}

/// How many sockets may still be asked.
#[derive(Debug)]
pub(super) struct Left(AtomicUsize);

impl Left {
    pub(super) fn all() -> Self {
        Left(AtomicUsize::new(MOST_SOCKETS))
    }

    fn take(&self) -> io::Result<()> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.map(drop).map_err(|_| io::Error::other(format!("there are more than {MOST_SOCKETS} sockets")))
    }
}

/// The filesystems of the files to which sockets of a process are bound, by descriptor and inode number.
pub(super) fn devices_of_bound(pid: u32, sockets: &[(i32, u64)], left: &Left) -> io::Result<BTreeSet<(u32, u32)>> {
    let mut found = BTreeSet::new();
    if sockets.is_empty() {
        return Ok(found);
    }
    let process = open_process(pid)?;
    for socket in sockets {
        left.take()?;
        match device_of_bound(&process, *socket) {
            Ok(device) => found.extend(device),
            Err(_) if !is_still_there(pid, *socket) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(found)
}

fn device_of_bound(process: &OwnedFd, socket: (i32, u64)) -> Result<Option<(u32, u32)>, Errno> {
    let Some(file) = criu_gc_sys::socket_file(duplicate(process, socket)?)? else { return Ok(None) };
    let stat = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::empty())?;
    Ok(Some((stat.stx_dev_major, stat.stx_dev_minor)))
}

pub(super) fn open_process(pid: u32) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    pidfd_open(pid, PidfdFlags::empty())
}

/// The same socket, for as long as it is held.
pub(super) fn duplicate(process: &OwnedFd, (descriptor, inode): (i32, u64)) -> Result<OwnedFd, Errno> {
    let socket = pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty())?;
    // In another pid namespace than that of this /proc the pid is another process's.
    if rustix::fs::fstat(&socket)?.st_ino != inode { Err(Errno::STALE) } else { Ok(socket) }
}

/// Whether the process has not closed it meanwhile.
fn is_still_there(pid: u32, (descriptor, inode): (i32, u64)) -> bool {
    inode_of_socket(format!("/proc/{pid}/fd/{descriptor}").as_ref()) == Some(inode)
}

fn ask(sockets: &Sockets, known: &BTreeSet<NetworkId>) -> SocketPlace {
    let process = open_process(sockets.pid);
    let ask = |socket: &(i32, u64)| -> Result<NetworkId, Errno> {
        let process = process.as_ref().map_err(|error| *error)?;
        let namespace = rustix::fs::fstat(criu_gc_sys::socket_namespace(duplicate(process, *socket)?)?)?;
        Ok(NetworkId { device: namespace.st_dev, inode: namespace.st_ino })
    };
    let judge = |socket: &(i32, u64)| match ask(socket) {
        Ok(namespace) if known.contains(&namespace) => SocketPlace::Known,
        Ok(_) => SocketPlace::Elsewhere,
        Err(_) if is_still_there(sockets.pid, *socket) => SocketPlace::NotAsked,
        Err(_) => SocketPlace::Known,
    };
    sockets.list.iter().map(judge).max().unwrap_or(SocketPlace::Known)
}
