// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The calls of the floors and of the measurement that rustix has no safe function for.
#![expect(unsafe_code, reason = "no part of the tool")]

use std::mem::MaybeUninit;
use std::num::NonZeroU32;

use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::net::{AddressFamily, Protocol, SocketType};

/// What the children that were waited for have used.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// The most memory that one had, in KiB.
    pub(crate) peak: u64,
}

pub(crate) fn usage_of_children() -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is of the type that the call fills.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    assert_eq!(result, 0, "getrusage");
    // SAFETY: the call has filled it, and all its bits are numbers.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| {
        Duration::from_micros(u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).expect("a time"))
    };
    Usage {
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak: u64::try_from(usage.ru_maxrss).expect("KiB"),
    }
}

/// Reads the filter table of legacy iptables as the kernel has it, and gives the number of its entries.
pub(crate) fn read_legacy_filter() -> u32 {
    const GET_INFO: i32 = 64;
    const GET_ENTRIES: i32 = 65;
    const HEAD: usize = 40;
    let raw = NonZeroU32::new(255).map(Protocol::from_raw);
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, raw).expect("a raw socket");
    let mut info = [0_u8; 84];
    info[..6].copy_from_slice(b"filter");
    get(&socket, GET_INFO, &mut info);
    let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().expect("four bytes"));
    let (count, size) = (word(76), word(80));
    let mut entries = vec![0_u8; HEAD + usize::try_from(size).expect("a size")];
    entries[..6].copy_from_slice(b"filter");
    entries[32..36].copy_from_slice(&size.to_ne_bytes());
    get(&socket, GET_ENTRIES, &mut entries);
    std::hint::black_box(&entries);
    count
}

fn get(socket: &impl AsRawFd, option: i32, bytes: &mut [u8]) {
    let mut length = libc::socklen_t::try_from(bytes.len()).expect("a length");
    // SAFETY: the kernel writes no more than the length that it is told, which is that of the bytes.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, bytes.as_mut_ptr().cast(), &raw mut length)
    };
    assert_eq!(result, 0, "getsockopt");
}
