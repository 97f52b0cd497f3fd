// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network namespace of a socket.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, ioctl};

use crate::descriptor::NewDescriptor;

/// `SIOCGSKNS` of `linux/sockios.h`; it takes no argument and returns a descriptor.
const GET_NAMESPACE: Opcode = 0x894c;

/// Opens the network namespace in which a socket was made (`SIOCGSKNS`, Linux 4.10), though nothing else may keep it. The
/// caller needs `CAP_NET_ADMIN` over it.
///
/// # Errors
/// `ENOTTY` for what is not a socket; `EPERM` without the capability.
///
/// # Examples
/// ```no_run
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let namespace = criu_gc_sys::socket_namespace(&socket)?;
/// println!("net:[{}]", rustix::fs::fstat(&namespace)?.st_ino);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn socket_namespace(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    // Of other files the number may mean something else: only sockets are asked.
    rustix::net::sockopt::socket_type(&socket).map_err(|error| match error {
        Errno::NOTSOCK => Errno::NOTTY,
        other => other,
    })?;
    // SAFETY: the request writes nothing, and returns a new descriptor.
    let request = unsafe { NewDescriptor::<()>::new(GET_NAMESPACE) };
    // SAFETY: the file is a socket, for which the kernel handles this request before any protocol sees it.
    unsafe { ioctl(socket, request) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_socket_is_in_the_namespace_in_which_it_was_made() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = std::fs::metadata("/proc/thread-self/ns/net").unwrap();
        match socket_namespace(&socket) {
            Ok(found) => assert_eq!(rustix::fs::fstat(&found).unwrap().st_ino, own.ino()),
            Err(error) => assert!(error == Errno::PERM && !rustix::process::geteuid().is_root(), "{error}"),
        }
    }

    #[test]
    fn a_file_is_in_none() {
        assert_eq!(socket_namespace(std::fs::File::open("/dev/null").unwrap()).err(), Some(Errno::NOTTY));
    }
}
