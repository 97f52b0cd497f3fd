// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network namespace of a socket, and the file that it is bound to.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, ioctl};
use rustix::net::AddressFamily;

use crate::descriptor::NewDescriptor;

/// `SIOCGSKNS` of `linux/sockios.h`; it takes no argument and returns a descriptor.
const GET_NAMESPACE: Opcode = 0x894c;

/// `SIOCUNIXFILE` of `linux/un.h`; it takes no argument and returns a descriptor.
const GET_FILE: Opcode = 0x89e0;

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

/// Opens, with `O_PATH`, the file to which a Unix socket is bound (`SIOCUNIXFILE`, Linux 4.12), though its mount may be in
/// no mount namespace any more. `None` for a socket without such a file. The caller needs `CAP_NET_ADMIN` over the
/// network namespace of the socket.
///
/// # Errors
/// `ENOTSOCK` for what is not a socket; `EPERM` without the capability.
///
/// # Examples
/// ```no_run
/// let socket = std::os::unix::net::UnixListener::bind("/run/example")?;
/// let file = criu_gc_sys::socket_file(&socket)?.expect("a bound socket");
/// println!("inode {}", rustix::fs::fstat(&file)?.st_ino);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn socket_file(socket: impl AsFd) -> Result<Option<OwnedFd>, Errno> {
    // To other protocols the number means something else.
    if rustix::net::sockopt::socket_domain(&socket)? != AddressFamily::UNIX {
        return Ok(None);
    }
    // SAFETY: the request writes nothing, and returns a new descriptor.
    let request = unsafe { NewDescriptor::<()>::new(GET_FILE) };
    // SAFETY: the socket is a Unix socket, of which this request is one.
    match unsafe { ioctl(socket, request) } {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
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

    #[test]
    fn a_bound_socket_leads_to_its_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("socket");
        let bound = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        match socket_file(&bound) {
            Ok(file) => {
                let found = rustix::fs::fstat(file.unwrap()).unwrap();
                assert_eq!(found.st_ino, std::fs::metadata(&path).unwrap().ino());
            }
            Err(error) => assert!(error == Errno::PERM && !rustix::process::geteuid().is_root(), "{error}"),
        }
        let unbound = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(matches!(socket_file(&unbound), Ok(None) | Err(Errno::PERM)));
        assert!(socket_file(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap().is_none());
    }
}
