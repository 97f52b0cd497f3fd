// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether somebody listens on a socket with a name.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with};

use super::dir::Directory;

/// What the kernel says to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nobody listens.
    Refused,
    /// Somebody listens.
    Accepted,
    /// It does not say.
    Unknown,
}

/// Tries to connect, as a stream and in packets. A listener sees a connection that ends at once.
pub fn connect(directory: &Directory, name: &OsStr) -> Answer {
    let Ok(Some(pinned)) = directory.pin(name) else { return Answer::Unknown };
    let path = PathBuf::from(format!("/proc/self/fd/{}", pinned.as_fd().as_raw_fd()));
    let Ok(address) = SocketAddrUnix::new(&path) else { return Answer::Unknown };
    let ask = |kind| {
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        connect_to(&socket, &address)
    };
    let answers = [SocketType::STREAM, SocketType::SEQPACKET, SocketType::DGRAM].map(ask);
    // A socket of another type is not told from one that nobody has.
    let is_refused = |answer: &Result<(), Errno>| matches!(answer, Err(Errno::CONNREFUSED));
    if answers.iter().all(is_refused) {
        Answer::Refused
    } else if answers.iter().any(Result::is_ok) {
        Answer::Accepted
    } else {
        Answer::Unknown
    }
}
