// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The content of a regular file: its blocks shared where the filesystem can, else copied, and holes left out.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, OFlags, SeekFrom};
use rustix::io::Errno;

use super::{Method, by_descriptor};
use crate::system::reading;

/// Gives the new, empty file `to` the content of `from`.
pub(super) fn copy(from: impl AsFd, to: &OwnedFd) -> Result<Method, Errno> {
    let from = open(from)?;
    // Where the two are not on one filesystem, or it shares no blocks, there are many ways to say so.
    if rustix::fs::ioctl_ficlone(to, &from).is_ok() {
        return Ok(Method::Reflink);
    }
    let to = File::from(to.try_clone().map_err(|error| errno(&error))?);
    copy_data(&from, &to)?;
    Ok(Method::Copy)
}

/// Opens for reading what is only held, and leaves its atime alone where that is allowed.
fn open(file: impl AsFd) -> Result<File, Errno> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(reading::open(CWD, by_descriptor(file).as_ref(), flags)?))
}

fn copy_data(from: &File, to: &File) -> Result<(), Errno> {
    let size = rustix::fs::fstat(from)?.st_size.unsigned_abs();
    rustix::fs::ftruncate(to, size)?;
    let mut position = 0;
    while let Some((start, end)) = next_data(from, position, size)? {
        copy_range(from, to, start, end).map_err(|error| errno(&error))?;
        position = end;
    }
    Ok(())
}

/// The next stretch that is not a hole.
fn next_data(file: &File, position: u64, size: u64) -> Result<Option<(u64, u64)>, Errno> {
    if position >= size {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(start) => Ok(Some((start, rustix::fs::seek(file, SeekFrom::Hole(start))?))),
        Err(Errno::NXIO) => Ok(None),
        // A filesystem that does not know its holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((position, size))),
        Err(error) => Err(error),
    }
}

/// `std::io::copy` lets the kernel copy (`copy_file_range`) where it can.
fn copy_range(mut from: &File, mut to: &File, start: u64, end: u64) -> io::Result<()> {
    let _ = from.seek(io::SeekFrom::Start(start))?;
    let _ = to.seek(io::SeekFrom::Start(start))?;
    let _ = io::copy(&mut from.take(end - start), &mut to)?;
    Ok(())
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
