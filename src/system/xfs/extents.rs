// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The extents of a directory of an XFS, in order, one after another.
//!
//! Each node of the B-tree is one level below the one above it, no leaf is empty, and each extent begins after the end of
//! the one before: so a walk ends, whatever the device holds.

use super::super::big_endian::{u16_at, u64_at};
use super::super::on_device::{LARGEST_DIRECTORY, ReadError};
use super::inode::{Format, Inode};
use super::{BlockHead, Result, Xfs};

/// An extent takes so many bytes, and so do a key and a pointer of the B-tree.
const RECORD: usize = 16;
/// No B-tree has more levels.
const MOST_LEVELS: u16 = 16;
/// A node of the B-tree (`xfs_btree_block`), in version 4 and in version 5.
const HEAD_4: usize = 24;
const HEAD_5: BlockHead = BlockHead { length: 72, checksum: 64, place: 24, uuid: 40, owner: 56 };

/// Blocks that follow one another, in the file and on the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// The first block, as the file counts them.
    pub(super) offset: u64,
    /// The same, as the device counts them.
    pub(super) start: u64,
    /// How many they are.
    pub(super) length: u64,
}

/// Gives each extent of a directory to `each`, in order.
pub(super) fn walk(xfs: &Xfs, inode: &Inode, each: &mut dyn FnMut(Extent) -> Result<()>) -> Result<()> {
    let count = inode.extents();
    // The blocks of the index, too, are fewer than those of the entries.
    if count > 2 * LARGEST_DIRECTORY / xfs.superblock.block_size {
        return Err(ReadError::Damaged("a directory with too many extents"));
    }
    let mut walk = Walk { xfs, inode, left: count, next: 0, each };
    let fork = inode.data_fork()?;
    match inode.format()? {
        Format::Local => {}
        Format::Extents => walk.leaf(fork, count as usize)?,
        Format::Tree => walk.root(fork)?,
    }
    match walk.left {
        0 => Ok(()),
        _ => Err(ReadError::Damaged("a directory without some of its extents")),
    }
}

struct Walk<'a> {
    xfs: &'a Xfs,
    inode: &'a Inode,
    /// How many extents are still to come.
    left: u64,
    /// The first block of the file that the next extent may begin with.
    next: u64,
    each: &'a mut dyn FnMut(Extent) -> Result<()>,
}

impl Walk<'_> {
    /// The root in the inode has a shorter head than a node of its own.
    fn root(&mut self, fork: &[u8]) -> Result<()> {
        let level = u16_at(fork, 0);
        if !(1..=MOST_LEVELS).contains(&level) {
            return Err(ReadError::Damaged("extents that do not end"));
        }
        self.children(&fork[4..], u16_at(fork, 2), level)
    }

    /// Keys come first, with as much room as they could need, then the numbers of the nodes below.
    fn children(&mut self, body: &[u8], count: u16, level: u16) -> Result<()> {
        let (room, count) = (body.len() / RECORD, usize::from(count));
        if count == 0 || count > room {
            return Err(ReadError::Damaged("an invalid extent node"));
        }
        for at in 0..count {
            self.node(u64_at(body, room * 8 + at * 8), level - 1)?;
        }
        Ok(())
    }

    fn node(&mut self, number: u64, level: u16) -> Result<()> {
        let place = self.xfs.superblock.block(number).ok_or(ReadError::Damaged("extents beyond its end"))?;
        let block = self.xfs.read_blocks(&[place])?;
        let (magic, length) =
            if self.xfs.superblock.has_checksums { (b"BMA3", HEAD_5.length) } else { (b"BMAP", HEAD_4) };
        if block[..4] != *magic || u16_at(&block, 4) != level {
            return Err(ReadError::Damaged("an invalid extent node"));
        }
        self.xfs.check_block(&block, &HEAD_5, place, self.inode.number)?;
        let (body, count) = (&block[length..], u16_at(&block, 6));
        match level {
            0 if count == 0 => Err(ReadError::Damaged("an invalid extent node")),
            0 => self.leaf(body, usize::from(count)),
            _ => self.children(body, count, level),
        }
    }

    fn leaf(&mut self, records: &[u8], count: usize) -> Result<()> {
        let records = records.get(..count * RECORD).ok_or(ReadError::Damaged("more extents than there is room for"))?;
        for record in records.chunks_exact(RECORD) {
            self.left = self.left.checked_sub(1).ok_or(ReadError::Damaged("a directory with too many extents"))?;
            let extent = self.extent(record)?;
            self.next = extent.offset + extent.length;
            (self.each)(extent)?;
        }
        Ok(())
    }

    /// Of 128 bits the first says that nothing was written there, then follow 54 of the offset, 52 of the number of the
    /// first block, and 21 of the length.
    fn extent(&self, record: &[u8]) -> Result<Extent> {
        let (high, low) = (u64_at(record, 0), u64_at(record, 8));
        let (offset, length) = (high << 1 >> 10, low & 0x1f_ffff);
        let number = (high & 0x1ff) << 43 | low >> 21;
        let blocks = &self.xfs.superblock;
        let ends = (blocks.block(number), length.checked_sub(1).and_then(|more| blocks.block(number + more)));
        match ends {
            (Some(start), Some(end))
                if end.checked_sub(start) == Some(length - 1) && high >> 63 == 0 && offset >= self.next =>
            {
                Ok(Extent { offset, start, length })
            }
            _ => Err(ReadError::Damaged("invalid extents")),
        }
    }
}
