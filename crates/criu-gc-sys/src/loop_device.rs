// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file behind a loop device.

use std::os::fd::AsFd;

use rustix::fs::{FileType, fstat, major};
use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `LOOP_MAJOR` of `linux/major.h`.
const LOOP_MAJOR: u32 = 7;

/// `LOOP_GET_STATUS64` of `linux/loop.h`.
const GET_STATUS: Opcode = 0x4c05;

/// `struct loop_info64` of `linux/loop.h`, of which only the beginning is used.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rest: [u64; 27],
}

/// A file by the number of its device, as `st_dev` has it, and its inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackingFile {
    /// The number of the filesystem's device.
    pub device: u64,
    /// The number of the inode.
    pub inode: u64,
}

/// The file behind an open loop device (`LOOP_GET_STATUS64`), though it may be mounted nowhere.
///
/// # Errors
/// `ENOTTY` for what is not a loop device; `ENXIO` for one without a file.
///
/// # Examples
/// ```no_run
/// let device = std::fs::File::open("/dev/loop0")?;
/// println!("inode {}", criu_gc_sys::loop_backing_file(&device)?.inode);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn loop_backing_file(device: impl AsFd) -> Result<BackingFile, Errno> {
    let stat = fstat(&device)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice || major(stat.st_rdev) != LOOP_MAJOR {
        return Err(Errno::NOTTY);
    }
    // SAFETY: the request reads nothing from us and writes one `struct loop_info64`, for which any bytes are valid.
    let request = unsafe { Getter::<GET_STATUS, LoopInfo64>::new() };
    // SAFETY: the device is a loop device, of which this request is one.
    let LoopInfo64 { device, inode, .. } = unsafe { ioctl(device, request) }?;
    Ok(BackingFile { device, inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<LoopInfo64>(), 232);
    }

    #[test]
    fn what_is_no_loop_device_has_no_file_behind_it() {
        assert_eq!(loop_backing_file(std::fs::File::open("/dev/null").unwrap()), Err(Errno::NOTTY));
    }
}
