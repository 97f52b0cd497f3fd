// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The entries of a directory of an XFS, read one block after another, without its index.
//!
//! A small directory lies in its inode. A larger one has blocks of entries, each of one or more blocks of the filesystem,
//! then, from [`INDEX_OFFSET`] on, blocks of its index. One that has a single block of entries can have the index at the end
//! of it.

use super::super::big_endian::{u16_at, u32_at, u64_at};
use super::super::on_device::{LARGEST_DIRECTORY, ReadError};
use super::extents::{self, Extent};
use super::inode::{Format, Inode};
use super::{BlockHead, Result, Xfs};

/// From this byte of a directory on there are no entries.
const INDEX_OFFSET: u64 = 1 << 35;
/// The head of a block of entries (`xfs_dir2_data_hdr`), in version 4 and in version 5.
const HEAD_4: usize = 16;
const HEAD_5: BlockHead = BlockHead { length: 64, checksum: 4, place: 8, uuid: 24, owner: 40 };
/// Entries begin at multiples of this.
const ALIGNMENT: usize = 8;
/// What stands for the number of an inode where there is no entry.
const FREE: u16 = 0xffff;

/// What is done with the name and the inode's number of each entry.
type Each<'a> = dyn FnMut(&[u8], u64) -> Result<()> + 'a;

/// Gives each entry of a directory to `each`.
pub(super) fn each_entry(xfs: &Xfs, inode: &Inode, each: &mut Each<'_>) -> Result<()> {
    match inode.format()? {
        Format::Local => each_entry_of_inode(xfs, inode, each),
        Format::Extents | Format::Tree => each_entry_of_blocks(xfs, inode, each),
    }
}

/// Behind the number of entries, that of those whose inodes have long numbers, and the number of the directory above stand
/// the entries: the length of the name, two bytes for an order, the name, its type if there is one, and the number.
fn each_entry_of_inode(xfs: &Xfs, inode: &Inode, each: &mut Each<'_>) -> Result<()> {
    const DAMAGED: ReadError = ReadError::Damaged("an invalid inline directory");
    let size = usize::try_from(inode.size()).map_err(|_| DAMAGED)?;
    let bytes = inode.data_fork()?.get(..size).filter(|bytes| bytes.len() >= 2).ok_or(DAMAGED)?;
    let (count, number_length) = (bytes[0], if bytes[1] == 0 { 4 } else { 8 });
    let mut rest = bytes.get(2 + number_length..).ok_or(DAMAGED)?;
    for _ in 0..count {
        let name_length = usize::from(*rest.first().ok_or(DAMAGED)?);
        let number_at = 3 + name_length + usize::from(xfs.superblock.has_types);
        let entry = rest.get(..number_at + number_length).filter(|_| name_length > 0).ok_or(DAMAGED)?;
        let number = if number_length == 4 { u64::from(u32_at(entry, number_at)) } else { u64_at(entry, number_at) };
        give(xfs, &entry[3..3 + name_length], number, each)?;
        rest = &rest[entry.len()..];
    }
    if rest.is_empty() { Ok(()) } else { Err(DAMAGED) }
}

fn give(xfs: &Xfs, name: &[u8], number: u64, each: &mut Each<'_>) -> Result<()> {
    if xfs.superblock.inode_place(number).is_none() {
        return Err(ReadError::Damaged("an entry without an inode"));
    }
    each(name, number)
}

fn each_entry_of_blocks(xfs: &Xfs, inode: &Inode, each: &mut Each<'_>) -> Result<()> {
    let (size, block_size) = (inode.size(), xfs.superblock.block_size);
    if size > LARGEST_DIRECTORY {
        return Err(ReadError::Damaged("a directory that is too large"));
    }
    if size == 0 || size.checked_rem(xfs.superblock.directory_block) != Some(0) {
        return Err(ReadError::Damaged("a directory with a part of a block"));
    }
    let mut blocks = Blocks { xfs, inode, end: size / block_size, parts: Vec::new(), next: 0, has_itself: false, each };
    extents::walk(xfs, inode, &mut |extent| match extent.offset >= INDEX_OFFSET / block_size {
        true => Ok(()),
        false => blocks.add(extent),
    })?;
    // There may be holes, but not at the end.
    if !blocks.parts.is_empty() || blocks.next != blocks.end {
        return Err(ReadError::Damaged("a directory without its end"));
    }
    if blocks.has_itself { Ok(()) } else { Err(ReadError::Damaged("a directory without itself")) }
}

/// Puts the blocks of a directory together from those of the filesystem.
struct Blocks<'a, 'each> {
    xfs: &'a Xfs,
    inode: &'a Inode,
    /// The block of the file behind the last that can have entries.
    end: u64,
    /// What there is of the next block, as the device counts.
    parts: Vec<u64>,
    /// The block of the file behind those that were seen.
    next: u64,
    /// Whether there was an entry `.` with the right number.
    has_itself: bool,
    each: &'a mut Each<'each>,
}

impl Blocks<'_, '_> {
    fn add(&mut self, extent: Extent) -> Result<()> {
        let parts = self.xfs.superblock.directory_block / self.xfs.superblock.block_size;
        let follows = if self.parts.is_empty() {
            extent.offset.checked_rem(parts) == Some(0)
        } else {
            extent.offset == self.next
        };
        if !follows || extent.offset + extent.length > self.end {
            return Err(ReadError::Damaged("a directory with other blocks than it has"));
        }
        for at in 0..extent.length {
            self.parts.push(extent.start + at);
            if self.parts.len() as u64 == parts {
                self.read_block()?;
                self.parts.clear();
            }
        }
        self.next = extent.offset + extent.length;
        Ok(())
    }

    fn read_block(&mut self) -> Result<()> {
        let block = self.xfs.read_blocks(&self.parts)?;
        let is_alone = self.end * self.xfs.superblock.block_size == block.len() as u64;
        let has_checksums = self.xfs.superblock.has_checksums;
        let index = match (&block[..4], has_checksums) {
            (b"XDD3", true) | (b"XD2D", false) => None,
            (b"XDB3", true) | (b"XD2B", false) if is_alone => Some(Index::at_end_of(&block)?),
            _ => return Err(ReadError::Damaged("a directory with an invalid block")),
        };
        self.xfs.check_block(&block, &HEAD_5, self.parts[0], self.inode.number)?;
        let end = index.as_ref().map_or(block.len(), |index| index.start);
        let count = self.read_entries(&block, if has_checksums { HEAD_5.length } else { HEAD_4 }, end)?;
        match index {
            Some(index) if index.entries != count => Err(ReadError::Damaged("a directory whose index has others")),
            Some(_) | None => Ok(()),
        }
    }

    /// Each entry, and each stretch without any, ends with where it begins. Returns how many entries there are.
    fn read_entries(&mut self, block: &[u8], start: usize, end: usize) -> Result<usize> {
        const DAMAGED: ReadError = ReadError::Damaged("an entry without an end");
        let (mut at, mut count) = (start, 0);
        while at < end {
            let rest = block.get(at..end).filter(|rest| rest.len() >= ALIGNMENT).ok_or(DAMAGED)?;
            let is_free = u16_at(rest, 0) == FREE;
            let length = if is_free { usize::from(u16_at(rest, 2)) } else { self.entry_length(rest) };
            let is_whole = length >= ALIGNMENT && length % ALIGNMENT == 0 && length <= rest.len();
            if !is_whole || usize::from(u16_at(rest, length - 2)) != at {
                return Err(DAMAGED);
            }
            if !is_free {
                self.read_entry(&rest[..length])?;
                count += 1;
            }
            at += length;
        }
        Ok(count)
    }

    /// The number of the inode, the length of the name, the name, the type if there is one, and where the entry begins.
    fn entry_length(&self, entry: &[u8]) -> usize {
        let name_length = entry.get(8).copied().map_or(0, usize::from);
        (8 + 1 + name_length + usize::from(self.xfs.superblock.has_types) + 2).next_multiple_of(ALIGNMENT)
    }

    fn read_entry(&mut self, entry: &[u8]) -> Result<()> {
        let number = u64_at(entry, 0);
        let name = entry.get(8).and_then(|length| entry.get(9..9 + usize::from(*length)));
        let name = name.filter(|name| !name.is_empty()).ok_or(ReadError::Damaged("an entry without a name"))?;
        self.has_itself |= name == b"." && number == self.inode.number;
        give(self.xfs, name, number, self.each)
    }
}

/// The index at the end of the only block of a directory.
struct Index {
    /// Where it begins.
    start: usize,
    /// Of how many entries it is.
    entries: usize,
}

impl Index {
    /// Each entry takes 8 bytes; some are of deleted names. Their counts are at the very end.
    fn at_end_of(block: &[u8]) -> Result<Self> {
        let numbers = block.len() - 8;
        let (all, stale) = (u32_at(block, numbers) as usize, u32_at(block, numbers + 4) as usize);
        let start = all.checked_mul(8).and_then(|length| numbers.checked_sub(length));
        match (start, all.checked_sub(stale)) {
            (Some(start), Some(entries)) => Ok(Index { start, entries }),
            _ => Err(ReadError::Damaged("a directory whose index has no beginning")),
        }
    }
}
