// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Options of a socket that rustix does not have: `TCP_REPAIR` and `SO_PEEK_OFF`. Each is one `int`.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// Whether a TCP socket is in repair mode (`TCP_REPAIR`, Linux 3.5): then its traffic is dead. Neither `/proc/net/tcp` nor
/// `sock_diag` shows that.
///
/// # Errors
/// `ENOPROTOOPT` or `EOPNOTSUPP` for what is not a TCP socket; `EPERM` without `CAP_NET_ADMIN` over its network namespace on
/// kernels that ask for it.
///
/// # Examples
/// ```
/// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
/// assert!(!criu_gc_sys::tcp_repair(&socket)?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn tcp_repair(socket: impl AsFd) -> Result<bool, Errno> {
    get(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR).map(|value| value != 0)
}

/// Ends the repair mode of a TCP socket. The kernel sends a window probe, which makes both sides go on; it sends no reset.
/// `SO_REUSEADDR` is off afterwards, whatever it was.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the socket's network namespace.
pub fn leave_tcp_repair(socket: impl AsFd) -> Result<(), Errno> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, 0)
}

/// Where the next `MSG_PEEK` reads (`SO_PEEK_OFF`); negative if it always reads from the start.
///
/// # Errors
/// Those of `getsockopt`: not every kind of socket has the option.
pub fn peek_offset(socket: impl AsFd) -> Result<i32, Errno> {
    get(socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF)
}

/// Makes `MSG_PEEK` read from the start again, as a new socket does.
///
/// # Errors
/// Those of `setsockopt`.
pub fn reset_peek_offset(socket: impl AsFd) -> Result<(), Errno> {
    set(socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF, -1)
}

fn get(socket: impl AsFd, level: i32, option: i32) -> Result<i32, Errno> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, the kernel writes at most `length` bytes to `value`, and the length to `length`.
    let result = unsafe { libc::getsockopt(descriptor, level, option, (&raw mut value).cast(), &raw mut length) };
    if result == 0 { Ok(value) } else { Err(last_error()) }
}

fn set(socket: impl AsFd, level: i32, option: i32, value: libc::c_int) -> Result<(), Errno> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and the kernel reads `length` bytes of `value`.
    let result = unsafe { libc::setsockopt(descriptor, level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn an_ordinary_socket_is_not_in_repair() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(tcp_repair(&socket), Ok(false));
        assert!(tcp_repair(UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
        assert!(tcp_repair(std::fs::File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn a_peek_offset_is_reset() {
        let (socket, _other) = UnixDatagram::pair().unwrap();
        assert_eq!(peek_offset(&socket), Ok(-1));
        set(&socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF, 0).unwrap();
        assert_eq!(peek_offset(&socket), Ok(0));
        reset_peek_offset(&socket).unwrap();
        assert_eq!(peek_offset(&socket), Ok(-1));
    }
}
