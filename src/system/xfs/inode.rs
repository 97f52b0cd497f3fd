// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An inode of an XFS (`xfs_dinode`). Pure.

use super::super::big_endian::{u16_at, u32_at, u64_at};
use super::super::on_device::ReadError;
use super::superblock::Superblock;
use super::{Result, has_checksum};
use crate::time::Timestamp;

/// Bits of `di_flags2`: times of 64 bits, counts of extents of 64 bits.
const LONG_TIMES: u64 = 0x8;
const LONG_COUNTS: u64 = 0x10;
/// Times of 64 bits count nanoseconds from this second on.
const FIRST_SECOND: i64 = i32::MIN as i64;
const NANOSECONDS: u64 = 1_000_000_000;

/// How the data of a file are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// They are in the inode.
    Local,
    /// Their extents are in the inode.
    Extents,
    /// Their extents are in a B-tree, the root of which is in the inode.
    Tree,
}

/// An inode that is what its number says.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u64,
    bytes: Vec<u8>,
    /// Version 3, which a filesystem of version 5 has.
    is_long: bool,
}

impl Inode {
    pub(super) fn parse(superblock: &Superblock, number: u64, bytes: Vec<u8>) -> Result<Self> {
        let is_long = superblock.has_checksums;
        if bytes.get(..2) != Some(b"IN") || bytes[4] != if is_long { 3 } else { 2 } {
            return Err(ReadError::Damaged("an invalid inode"));
        }
        if is_long {
            if !has_checksum(&bytes, 100) {
                return Err(ReadError::Damaged("an inode has a wrong checksum"));
            }
            if u64_at(&bytes, 152) != number || bytes[160..176] != superblock.meta_uuid {
                return Err(ReadError::Damaged("an inode with the wrong number"));
            }
        }
        let inode = Inode { number, bytes, is_long };
        if inode.mode() == 0 {
            return Err(ReadError::Damaged("an entry of a free inode"));
        }
        Ok(inode)
    }

    pub(super) fn mode(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 2))
    }

    pub(super) fn owner(&self) -> u32 {
        u32_at(&self.bytes, 8)
    }

    pub(super) fn links(&self) -> u32 {
        u32_at(&self.bytes, 16)
    }

    pub(super) fn size(&self) -> u64 {
        u64_at(&self.bytes, 56)
    }

    /// How many blocks it takes on the filesystem.
    pub(super) fn blocks(&self) -> u64 {
        u64_at(&self.bytes, 64)
    }

    pub(super) fn modified(&self) -> Timestamp {
        self.time(40)
    }

    pub(super) fn changed(&self) -> Timestamp {
        self.time(48)
    }

    /// When it was made, which only version 3 tells.
    pub(super) fn born(&self) -> Option<Timestamp> {
        self.is_long.then(|| self.time(144))
    }

    fn flags(&self) -> u64 {
        if self.is_long { u64_at(&self.bytes, 120) } else { 0 }
    }

    fn time(&self, at: usize) -> Timestamp {
        if self.flags() & LONG_TIMES == 0 {
            let seconds = i64::from(u32_at(&self.bytes, at) as i32);
            return Timestamp::new(seconds, u32_at(&self.bytes, at + 4));
        }
        let time = u64_at(&self.bytes, at);
        Timestamp::new((time / NANOSECONDS) as i64 + FIRST_SECOND, (time % NANOSECONDS) as u32)
    }

    pub(super) fn format(&self) -> Result<Format> {
        match self.bytes[5] {
            1 => Ok(Format::Local),
            2 => Ok(Format::Extents),
            3 => Ok(Format::Tree),
            _ => Err(ReadError::Damaged("a directory without data")),
        }
    }

    /// How many extents the data have.
    pub(super) fn extents(&self) -> u64 {
        if self.flags() & LONG_COUNTS == 0 { u64::from(u32_at(&self.bytes, 76)) } else { u64_at(&self.bytes, 24) }
    }

    /// What the inode holds of the data, or of the way to them.
    pub(super) fn data_fork(&self) -> Result<&[u8]> {
        let start = if self.is_long { 176 } else { 100 };
        let all = &self.bytes[start..];
        let length = match usize::from(self.bytes[82]) * 8 {
            0 => all.len(),
            length => length,
        };
        all.get(..length).ok_or(ReadError::Damaged("an inode with more data than it has"))
    }
}
