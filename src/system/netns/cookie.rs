// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Distinguishes a network namespace from a later one with the same inode number, which the kernel reuses.
//!
//! Each namespace has the kernel's own rtnetlink socket for its whole lifetime. The kernel uses each socket cookie once
//! until it stops, so this socket's cookie identifies the namespace in records. (The namespace has its own cookie,
//! which any socket in it returns, but only since Linux 5.14.)

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::netns;

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
