// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A walk over every mount namespace of the machine.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, ioctl, opcode};

use crate::descriptor::NewDescriptor;

/// `struct mnt_ns_info` of `linux/nsfs.h`.
#[repr(C)]
#[derive(Default)]
struct MountNamespaceInfo {
    size: u32,
    mounts: u32,
    id: u64,
}

/// `NS_MNT_GET_NEXT`: the namespace with the next higher id.
const NEXT: Opcode = opcode::read::<MountNamespaceInfo>(0xb7, 11);
/// `NS_MNT_GET_PREV`: the namespace with the next lower id.
const PREVIOUS: Opcode = opcode::read::<MountNamespaceInfo>(0xb7, 12);

/// Every mount namespace of the machine that the caller may enter, its own among them, in no order that means anything
/// (`NS_MNT_GET_NEXT`, Linux 6.12). That is each one that there is, also one without any process in it, if the caller is
/// in the machine's first user and pid namespaces and has `CAP_SYS_ADMIN`.
///
/// # Errors
/// `ENOTTY` before Linux 6.12; `EPERM` where the caller may not walk; those of opening `/proc/self/ns/mnt`. An error ends
/// the walk, and then there may be more of them.
///
/// # Examples
/// ```no_run
/// for namespace in criu_gc_sys::mount_namespaces()? {
///     println!("mnt:[{}]", rustix::fs::fstat(namespace?)?.st_ino);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn mount_namespaces() -> Result<MountNamespaces, Errno> {
    let own = File::open("/proc/self/ns/mnt").map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let own = OwnedFd::from(own);
    // The first step tells whether this kernel, and this caller, can walk at all.
    step(&own, PREVIOUS)?;
    Ok(MountNamespaces { next: Some(duplicate(&own)?), own, direction: PREVIOUS })
}

/// See [`mount_namespaces`]. No more than three descriptors are open at a time.
#[derive(Debug)]
pub struct MountNamespaces {
    own: OwnedFd,
    next: Option<OwnedFd>,
    direction: Opcode,
}

impl MountNamespaces {
    /// The namespace after this one: those with lower ids than the caller's, then those with higher ones.
    fn after(&mut self, namespace: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
        match step(namespace, self.direction)? {
            None if self.direction == PREVIOUS => {
                self.direction = NEXT;
                step(&self.own, NEXT)
            }
            found => Ok(found),
        }
    }
}

impl Iterator for MountNamespaces {
    type Item = Result<OwnedFd, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        let namespace = self.next.take()?;
        match self.after(&namespace) {
            Ok(next) => self.next = next,
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(namespace))
    }
}

fn duplicate(file: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(file, 0)
}

/// The next namespace, or `None` at the end.
fn step(namespace: impl AsFd, direction: Opcode) -> Result<Option<OwnedFd>, Errno> {
    // SAFETY: both directions write one `struct mnt_ns_info`, and return a new descriptor.
    let request = unsafe { NewDescriptor::<MountNamespaceInfo>::new(direction) };
    // SAFETY: on a descriptor of a mount namespace, nsfs handles both requests itself.
    match unsafe { ioctl(namespace, request) } {
        Ok(namespace) => Ok(Some(namespace)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_own_namespace_is_among_them_and_each_is_there_once() {
        let walk = match mount_namespaces() {
            // Linux before 6.12, or not root: nothing can be said of the walk.
            Err(error) => return assert!(matches!(error, Errno::NOTTY | Errno::PERM), "{error}"),
            Ok(walk) => walk,
        };
        let numbers: Vec<u64> = walk.map(|each| rustix::fs::fstat(each.unwrap()).unwrap().st_ino).collect();
        let own = std::fs::metadata("/proc/self/ns/mnt").unwrap().ino();
        assert!(numbers.contains(&own), "{own} {numbers:?}");
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
    }
}
