// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's own list of mount namespaces (Linux 6.12). It includes those that no process, file or descriptor leads
//! to, such as one whose only descriptor is in flight between two sockets.

use std::os::fd::OwnedFd;

use criu_gc_sys::{MountNamespaces, mount_namespaces};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

use super::super::namespace::number_of;
use super::super::standing::{FIRST_PID_NAMESPACE, FIRST_USER_NAMESPACE};

/// The list, if it shows all that there are: the kernel leaves out what the caller has no rights over.
pub(super) fn all() -> Option<MountNamespaces> {
    let is_first = number_of("/proc/self/ns/pid") == Some(FIRST_PID_NAMESPACE)
        && number_of("/proc/self/ns/user") == Some(FIRST_USER_NAMESPACE);
    let may_see = || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if is_first && may_see() { mount_namespaces().ok() } else { None }
}

/// The number of a namespace.
pub(super) fn number(namespace: &OwnedFd) -> Result<u64, Errno> {
    Ok(rustix::fs::fstat(namespace)?.st_ino)
}

/// Opens the namespace with this number once more.
pub(super) fn find(wanted: u64) -> Result<OwnedFd, Errno> {
    for namespace in mount_namespaces()? {
        let namespace = namespace?;
        if number(&namespace)? == wanted {
            return Ok(namespace);
        }
    }
    Err(Errno::STALE)
}
