// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--host`: moves the program from a container into the mount and network namespaces of the host, so that it sees what
//! a program on the host sees.
//!
//! The host is process 1 of the pid namespace that `/proc` shows. In the machine's first pid namespace this is the
//! machine's own. In any other one it may belong to a nested host (a kind node, LXC) or to a container, and the kernel
//! does not distinguish them. So this program must come from there: one of its ancestors shares the mount namespace of
//! process 1, while the program itself has another. Without `--pid=host`, process 1 is the container's own.
//!
//! This must happen before anything is opened and any thread is started: the kernel moves only a thread that does not
//! share its root directory.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;

use super::mounts;
use super::namespace::number_of;
use super::proc::read_file;
use super::standing::FIRST_PID_NAMESPACE;
use super::stat::{Stat, Status};
use crate::system::privilege::Capability;

/// Why the host's namespaces could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// Whatever process 1 is here, `/proc` does not show it.
    #[error(
        "/proc does not show the processes of this pid namespace; mount it, or start the container with --pid=host"
    )]
    NoProc,
    /// The container has a pid namespace of its own.
    #[error(
        "process 1 here is not the host's: it shares the mount namespace of criu-gc, and this is not the first pid \
         namespace of the machine; start the container with --pid=host (Kubernetes: hostPID: true), or leave out --host \
         if this is the host itself"
    )]
    OwnPidNamespace,
    /// Several containers share a pid namespace.
    #[error(
        "process 1 here ({}) is not the host's: nothing that started criu-gc is in its mount namespace; start the \
         container with --pid=host (Kubernetes: hostPID: true, not shareProcessNamespace)", .0
    )]
    OtherContainer(String),
    /// A namespace could not be opened or entered.
    #[error("cannot {operation}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// What the kernel answered.
        source: Refusal,
    },
}

/// What the kernel answered, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{answer}{}", advice(*.capability))]
pub struct Refusal {
    answer: Errno,
    capability: Capability,
}

/// Enters them. The host's root directory is the working directory then, and every path is one of the host.
pub fn enter() -> Result<(), EnterError> {
    is_process_shown()?;
    let mounts = open("mnt")?;
    let network = open("net")?;
    check_first(inode(&mounts))?;
    move_into(&network, LinkNameSpaceType::Network, "enter the host's network namespace", &[Capability::SysAdmin])?;
    mounts::leave_shared_directories()
        .map_err(refused("unshare the filesystem context (CLONE_FS)", Capability::SysAdmin))?;
    let needed = [Capability::SysAdmin, Capability::SysChroot];
    move_into(&mounts, LinkNameSpaceType::Mount, "enter the host's mount namespace", &needed)
}

fn is_process_shown() -> Result<(), EnterError> {
    let link = std::fs::read_link("/proc/self").ok();
    let shown = link.and_then(|link| link.to_str()?.parse::<u32>().ok());
    if shown == Some(std::process::id()) { Ok(()) } else { Err(EnterError::NoProc) }
}

fn open(kind: &'static str) -> Result<OwnedFd, EnterError> {
    let path = format!("/proc/1/ns/{kind}");
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(refused("see the namespaces of process 1", Capability::SysPtrace))
}

fn inode(file: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(file).ok().map(|stat| stat.st_ino)
}

/// Whether process 1, with this mount namespace, is the host's.
fn check_first(first: Option<u64>) -> Result<(), EnterError> {
    if number_of("/proc/self/ns/pid") == Some(FIRST_PID_NAMESPACE) {
        return Ok(());
    }
    if first == number_of("/proc/self/ns/mnt") {
        return Err(EnterError::OwnPidNamespace);
    }
    if ancestors().any(|pid| number_of(&format!("/proc/{pid}/ns/mnt")) == first) {
        return Ok(());
    }
    let name = read_file("/proc/1/stat".as_ref()).ok().and_then(|text| Stat::parse(&text)).map(|stat| stat.name);
    Err(EnterError::OtherContainer(String::from_utf8_lossy(&name.unwrap_or_default()).into_owned()))
}

/// The processes that this one descends from, as far as they are in this pid namespace.
fn ancestors() -> impl Iterator<Item = u32> {
    let parent = |pid: u32| {
        let status = read_file(format!("/proc/{pid}/status").as_ref()).ok()?;
        Status::parse(&status).parent.filter(|parent| *parent != 0)
    };
    std::iter::successors(parent(std::process::id()), move |pid| parent(*pid))
}

fn move_into(
    file: &OwnedFd,
    kind: LinkNameSpaceType,
    operation: &'static str,
    needed: &[Capability],
) -> Result<(), EnterError> {
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind)).map_err(|answer| {
        let missing = needed.iter().find(|capability| !capability.is_there());
        let capability = missing.copied().unwrap_or(needed[0]);
        EnterError::Refused { operation, source: Refusal { answer, capability } }
    })
}

fn refused(operation: &'static str, capability: Capability) -> impl Fn(Errno) -> EnterError {
    move |answer| EnterError::Refused { operation, source: Refusal { answer, capability } }
}

/// What to do, as the end of a sentence.
fn advice(capability: Capability) -> String {
    let name = capability.name();
    if capability.is_there() {
        return format!(
            ", although {name} is there: run the container without a user namespace, and where a security module is in \
             the way (AppArmor, SELinux, seccomp) with a profile that lets it"
        );
    }
    format!("; --host needs {name}, which this container lacks (--cap-add)")
}
