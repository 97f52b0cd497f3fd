// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a block device. Nothing ever writes to it.
//!
//! XFS does not keep its metadata in the page cache of its device. While a process has the device open, that cache can
//! contain data from before the last unmount; only since Linux 6.2 does XFS drop it then. So criu-gc reads an XFS
//! around the cache (`O_DIRECT`), in whole units of the device and with aligned memory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, OFlags, ioctl_blksszget};

use super::reading;

/// No device has smaller pages, and hardly one larger sectors.
const PAGE: u64 = 4096;

/// Whether there may be a device of this number with something on it. A loop device without a file has no size.
pub fn may_be_attached((major, minor): (u32, u32)) -> bool {
    match fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/size")) {
        Ok(size) => size.trim() != "0",
        // Without sysfs nothing tells.
        Err(error) => error.kind() != io::ErrorKind::NotFound || !Path::new("/sys/dev/block").is_dir(),
    }
}

/// An open device, or a file that holds what a device would.
#[derive(Debug)]
pub struct Device {
    file: File,
    /// What is read is a multiple of it.
    unit: u64,
}

impl Device {
    /// Opens a device to read it through the page cache.
    pub(super) fn open(node: &Path) -> io::Result<Self> {
        Self::open_with(node, OFlags::empty())
    }

    /// Opens a device to read it around the page cache.
    pub(super) fn open_direct(node: &Path) -> io::Result<Self> {
        Self::open_with(node, OFlags::DIRECT)
    }

    fn open_with(node: &Path, flags: OFlags) -> io::Result<Self> {
        Ok(Self::of_file(reading::open(CWD, node, flags)?.into()))
    }

    /// A file that holds what a device would.
    pub fn of_file(file: File) -> Self {
        let sector = ioctl_blksszget(&file).map_or(PAGE, u64::from);
        Device { file, unit: sector.max(PAGE) }
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// The bytes from there on. It is an error if the device ends before them.
    pub(super) fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let ends = at.checked_add(length as u64).and_then(|end| end.checked_next_multiple_of(self.unit));
        let end = ends.filter(|end| i64::try_from(*end).is_ok()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let start = at - at % self.unit;
        let mut bytes = vec![0; (end - start + PAGE) as usize];
        let boundary = bytes.as_ptr().align_offset(PAGE as usize).min(PAGE as usize);
        let whole = (end - start) as usize;
        let read = self.read_units(&mut bytes[boundary..boundary + whole], start)?;
        let wanted = (at - start) as usize;
        if read < wanted + length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.copy_within(boundary + wanted..boundary + wanted + length, 0);
        bytes.truncate(length);
        Ok(bytes)
    }

    /// How much could be read: less than all where the device ends before.
    fn read_units(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = 0;
        // Around the cache only whole units can be read, so that what is none is the end.
        while read < bytes.len() && (read as u64).checked_rem(self.unit) == Some(0) {
            match self.file.read_at(&mut bytes[read..], at + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(device: &Device, at: u64, length: usize) {
        let expected: Option<Vec<u8>> = (at..at + length as u64).map(byte).collect();
        assert_eq!(device.read(at, length).ok(), expected, "{length} bytes at {at}");
    }

    const SIZE: u64 = 3 * PAGE + 512;

    fn byte(at: u64) -> Option<u8> {
        (at < SIZE).then_some((at % 251) as u8)
    }

    #[test]
    fn bytes_are_read_where_they_are_and_not_beyond_the_end() {
        let place = tempfile::NamedTempFile::new().unwrap();
        place.as_file().write_all(&(0..SIZE).filter_map(byte).collect::<Vec<_>>()).unwrap();
        for device in [Device::open(place.path()), Device::open_direct(place.path())].into_iter().flatten() {
            for at in [0, 1, 511, PAGE - 1, PAGE, 3 * PAGE - 1, 3 * PAGE, SIZE - 1, SIZE, SIZE + PAGE] {
                for length in [1, 2, 512, 4096, 9000, 12_800] {
                    check(&device, at, length);
                }
            }
        }
    }

    #[test]
    fn no_place_is_too_far() {
        let device = Device::of_file(tempfile::tempfile().unwrap());
        for at in [i64::MAX as u64, u64::MAX - 5, u64::MAX] {
            assert_eq!(device.read(at, 8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
