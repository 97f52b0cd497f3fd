// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What tells a network namespace from a later one with the same inode number, which the kernel uses again.
//!
//! Each namespace has the kernel's own rtnetlink socket for as long as it lives. The cookie of a socket is a number that
//! the kernel gives once until the machine stops, so this socket's cookie stands for the namespace in records. (The
//! namespace has a cookie of its own, which any socket in it tells, but only since Linux 5.14.)

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::super::netlink::{Error as NetlinkError, Protocol, Request, Socket, array};
use super::{Error, NetNamespace, within};

/// linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_NETLINK: u8 = 16;
const NETLINK_ROUTE: u8 = 0;
/// `struct netlink_diag_req`: family, protocol, and what to show beyond that, which is nothing.
const QUESTION: [u8; 20] = {
    let mut question = [0; 20];
    question[0] = AF_NETLINK;
    question[1] = NETLINK_ROUTE;
    question
};
// Offsets in `struct netlink_diag_msg`.
const PORT: usize = 4;
const COOKIE: usize = 20;

/// Why a namespace's cookie is not known.
#[derive(Debug, thiserror::Error)]
pub enum CookieError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] Error),
    /// The kernel does not tell: it has no `netlink_diag`, which CRIU needs too.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The socket was not listed.
    #[error("the kernel does not list its own socket of network namespace {0}")]
    Missing(String),
}

/// The cookie of a namespace. Until the machine stops no other namespace has it.
pub fn cookie(namespace: &NetNamespace) -> Result<u64, CookieError> {
    let replies = within(namespace, || {
        let socket = Socket::open(Protocol::SockDiag)?;
        socket.dump("list the netlink sockets", Request::new(SOCK_DIAG_BY_FAMILY, &QUESTION))
    })??;
    let number = |payload: &[u8], at: usize| array(payload, at).map(u32::from_ne_bytes);
    let is_kernels = |payload: &&[u8]| number(payload, PORT) == Some(0);
    let messages = replies.messages().filter(|message| message.kind == SOCK_DIAG_BY_FAMILY);
    let kernels = messages.map(|message| message.payload).find(is_kernels);
    // Two 32-bit halves, the lower one first.
    let halves = kernels.and_then(|payload| Some((number(payload, COOKIE)?, number(payload, COOKIE + 4)?)));
    let (lower, upper) = halves.ok_or_else(|| CookieError::Missing(namespace.to_string()))?;
    Ok(u64::from(lower) | u64::from(upper) << 32)
}

/// The kernel's own number of a network namespace, which no other one has until the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelCookie(u64);

impl KernelCookie {
    /// That of the namespace in which a socket was made. Before Linux 5.14 the answer is `ENOPROTOOPT`.
    pub fn of_socket(socket: &impl AsFd) -> Result<Self, Errno> {
        let (mut cookie, level, option) = (0u64, uapi::c::SOL_SOCKET, uapi::c::SO_NETNS_COOKIE);
        match uapi::getsockopt(socket.as_fd().as_raw_fd(), level, option, &mut cookie) {
            Ok(_) => Ok(KernelCookie(cookie)),
            Err(error) => Err(Errno::from_raw_os_error(error.0)),
        }
    }

    /// That of the calling thread's namespace.
    pub fn here() -> Result<Self, Errno> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Self::of_socket(&socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::netns;

    #[test]
    fn a_socket_is_in_the_namespace_of_the_thread_that_made_it() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(KernelCookie::of_socket(&socket), KernelCookie::here());
        let no_socket = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(KernelCookie::of_socket(&no_socket), Err(Errno::NOTSOCK));
    }

    #[test]
    fn a_namespace_keeps_its_cookie() {
        let own = netns::current().unwrap();
        match (cookie(&own), cookie(&own)) {
            (Ok(first), Ok(second)) => assert_eq!(first, second),
            // Without privileges nobody enters a namespace, not even their own.
            (Err(CookieError::Namespace(Error::Enter { .. })), _) if !rustix::process::geteuid().is_root() => {}
            other => panic!("{other:?}"),
        }
    }
}
