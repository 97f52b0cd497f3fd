// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks up names on an unmounted ext4 by reading its device. Neither this code nor the kernel writes to it; through a
//! mount, even a read-only one, the kernel would record an error in the superblock (or panic, if the superblock says
//! so).
//!
//! Anything not understood is an error: a feature that changes the layout, a wrong checksum, an inline directory.
//! (`fs/ext4/ext4.h`, Documentation/filesystems/ext4 in Linux.)

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use criu_gc_sys::Uuid;

use super::crc32c::crc32c;
use super::dir::FileIdentity;
use super::filesystem::{self, FilesystemId};
use super::on_device::{LARGEST_DIRECTORY, ReadError};
use crate::time::Timestamp;

type Result<T> = std::result::Result<T, ReadError>;

const SUPERBLOCK: u64 = 1024;
/// `EXT4_FEATURE_INCOMPAT_*` that change nothing of what is read here, or are read: file types in entries, extents, 64 bits,
/// flexible groups, values in inodes, the seed of checksums, large directories; and those that show in the inodes
/// concerned: data in inodes, encryption, names without case.
const KNOWN_FEATURES: u32 = 0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000;
const CHECKSUMS: u32 = 0x400;
/// Flags of inodes.
const ENCRYPTED: u32 = 0x800;
const HUGE: u32 = 0x4_0000;
const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;
const CASE_FOLDED: u32 = 0x4000_0000;

/// An ext4 (or ext3, or ext2) on an open device.
#[derive(Debug)]
pub struct Ext4 {
    device: File,
    number: (u32, u32),
    block_size: u64,
    inodes: u32,
    inode_size: u64,
    inodes_per_group: u32,
    descriptor_size: u64,
    descriptors: u64,
    uuid: Uuid,
    /// Where checksums start; `None` where there are none.
    seed: Option<u32>,
}

/// An inode, as it is on the device.
struct Inode {
    number: u32,
    bytes: Vec<u8>,
}

impl Ext4 {
    /// The number of the inode of its root directory.
    pub(super) const ROOT: u64 = 2;

    /// The ext4 on a device of this number, if there is one.
    pub fn open(device: File, number: (u32, u32)) -> Result<Option<Self>> {
        let mut superblock = [0; 1024];
        if device.read_exact_at(&mut superblock, SUPERBLOCK).is_err() || u16_at(&superblock, 0x38) != 0xef53 {
            return Ok(None);
        }
        let features = u32_at(&superblock, 0x60);
        let (state, errors) = (u16_at(&superblock, 0x3a), u32_at(&superblock, 0x194));
        if state & 3 != 1 || errors != 0 {
            return Err(ReadError::NotClean);
        }
        if features & !KNOWN_FEATURES != 0 {
            return Err(ReadError::Features(features & !KNOWN_FEATURES));
        }
        let block_size = 1024_u64.checked_shl(u32_at(&superblock, 0x18)).filter(|size| *size <= 65_536);
        let block_size = block_size.ok_or(ReadError::Damaged("its blocks have no size"))?;
        let is_new = u32_at(&superblock, 0x4c) > 0;
        let inode_size = if is_new { u64::from(u16_at(&superblock, 0x58)) } else { 128 };
        let is_64_bit = features & 0x80 != 0;
        let descriptor_size = if is_64_bit { u64::from(u16_at(&superblock, 0xfe)) } else { 32 };
        let inodes_per_group = u32_at(&superblock, 0x28);
        if !(128..=block_size).contains(&inode_size) || inodes_per_group == 0 || !(32..=1024).contains(&descriptor_size)
        {
            return Err(ReadError::Damaged("its inodes have no size"));
        }
        let has_seed = features & 0x2000 != 0;
        let seed = if has_seed { u32_at(&superblock, 0x270) } else { crc32c(!0, &superblock[0x68..0x78]) };
        let has_checksums = u32_at(&superblock, 0x64) & CHECKSUMS != 0;
        Ok(Some(Ext4 {
            number,
            block_size,
            inodes: u32_at(&superblock, 0),
            inode_size,
            inodes_per_group,
            descriptor_size,
            descriptors: (u64::from(u32_at(&superblock, 0x14)) + 1) * block_size,
            uuid: Uuid(std::array::from_fn(|index| superblock[0x68 + index])),
            seed: has_checksums.then_some(seed),
            device,
        }))
    }

    /// Which filesystem it is, on which disk.
    pub fn filesystem(&self) -> FilesystemId {
        FilesystemId { uuid: Some(self.uuid), disk_sequence: filesystem::disk_sequence(self.number) }
    }

    /// It is an error if the inode of this number is no directory.
    pub(super) fn check_directory(&self, number: u64) -> Result<()> {
        self.inode(number)?.check_directory()
    }

    /// The entries of a directory whose names are wanted, with the numbers of their inodes.
    pub(super) fn entries(&self, directory: u64, wanted: impl Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, u64>> {
        let inode = self.inode(directory)?;
        inode.check_directory()?;
        let seed = self.seed.map(|seed| {
            let seed = crc32c(seed, &inode.number.to_le_bytes());
            crc32c(seed, &inode.bytes[0x64..0x68])
        });
        let mut found = HashMap::new();
        for block in self.blocks(&inode)? {
            let block = self.block(block)?;
            check_block(&block, seed)?;
            let mut rest = &block[..];
            while rest.len() >= 8 {
                let (number, length) = (u32_at(rest, 0), entry_length(u16_at(rest, 4), block.len()));
                let name = rest.get(8..8 + usize::from(rest[6])).ok_or(ReadError::Damaged("a name without an end"))?;
                if number != 0 && wanted(name) {
                    found.insert(name.to_owned(), u64::from(number));
                }
                if length < 8 || length > rest.len() {
                    return Err(ReadError::Damaged("an entry without an end"));
                }
                rest = &rest[length..];
            }
        }
        Ok(found)
    }

    /// What the inode of this number is, as `stat` would show it.
    pub fn identity(&self, number: u64) -> Result<FileIdentity> {
        let inode = self.inode(number)?;
        let bytes = &inode.bytes;
        let word = |at| u32_at(bytes, at);
        let unit = if inode.flags() & HUGE != 0 { self.block_size } else { 512 };
        let blocks = u64::from(u16_at(bytes, 0x74)) << 32 | u64::from(word(0x1c));
        Ok(FileIdentity {
            device: self.number,
            inode: number,
            mode: inode.mode(),
            owner: u32::from(u16_at(bytes, 0x78)) << 16 | u32::from(u16_at(bytes, 2)),
            links: u32::from(u16_at(bytes, 0x1a)),
            size: inode.size(),
            allocated: blocks.saturating_mul(unit),
            changed: inode.time(0x0c, 0x84),
            modified: inode.time(0x10, 0x88),
            born: inode.has(0x94).then(|| inode.time(0x90, 0x94)),
            mount_id: 0,
        })
    }

    fn inode(&self, number: u64) -> Result<Inode> {
        let number = u32::try_from(number).ok().filter(|number| *number <= self.inodes).unwrap_or(0);
        let index = number.checked_sub(1).ok_or(ReadError::Damaged("an entry without an inode"))?;
        let (group, within) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let mut descriptor = vec![0; self.descriptor_size as usize];
        self.read(&mut descriptor, self.descriptors + u64::from(group) * self.descriptor_size)?;
        let high = if self.descriptor_size >= 64 { u32_at(&descriptor, 0x28) } else { 0 };
        let table = u64::from(high) << 32 | u64::from(u32_at(&descriptor, 8));
        let mut bytes = vec![0; self.inode_size as usize];
        let start = table.checked_mul(self.block_size).ok_or(ReadError::Damaged("inodes beyond its end"))?;
        self.read(&mut bytes, start.saturating_add(u64::from(within) * self.inode_size))?;
        Ok(Inode { number, bytes })
    }

    /// The blocks of a directory that hold something, in order.
    fn blocks(&self, inode: &Inode) -> Result<Vec<u64>> {
        if inode.size() > LARGEST_DIRECTORY {
            return Err(ReadError::Damaged("a directory that is too large"));
        }
        let most = inode.size().div_ceil(self.block_size);
        let mut blocks = Vec::new();
        if inode.flags() & EXTENTS != 0 {
            self.add_extents(&inode.bytes[0x28..0x64], 5, most, &mut blocks)?;
        } else {
            let pointers: Vec<u64> = (0..15).map(|at| u64::from(u32_at(&inode.bytes, 0x28 + at * 4))).collect();
            blocks.extend(&pointers[..12]);
            for (levels, pointer) in (1..).zip(&pointers[12..]) {
                self.add_indirect(*pointer, levels, most, &mut blocks)?;
            }
            blocks.truncate(most as usize);
            blocks.retain(|block| *block != 0);
        }
        Ok(blocks)
    }

    /// Adds the blocks below a node of an extent tree with at most that many levels.
    fn add_extents(&self, node: &[u8], levels: u32, most: u64, blocks: &mut Vec<u64>) -> Result<()> {
        let (magic, entries, depth) = (u16_at(node, 0), u16_at(node, 2), u16_at(node, 6));
        let entries = node.get(12..12 + usize::from(entries) * 12).filter(|_| magic == 0xf30a);
        for entry in entries.ok_or(ReadError::Damaged("invalid extents"))?.chunks(12) {
            if depth == 0 {
                let (length, high) = (u16_at(entry, 4), u16_at(entry, 6));
                let start = u64::from(high) << 32 | u64::from(u32_at(entry, 8));
                let end = u64::from(u32_at(entry, 0)) + u64::from(length);
                // Longer ones are of blocks that were never written, which no directory has.
                if length > 32_768 || end > most.max(1) || blocks.len() as u64 + u64::from(length) > most {
                    return Err(ReadError::Damaged("a directory with more blocks than it has"));
                }
                blocks.extend((0..u64::from(length)).map(|at| start.saturating_add(at)));
            } else if levels == 0 || u32::from(depth) > levels {
                return Err(ReadError::Damaged("extents that do not end"));
            } else {
                let child = u64::from(u16_at(entry, 8)) << 32 | u64::from(u32_at(entry, 4));
                self.add_extents(&self.block(child)?, u32::from(depth) - 1, most, blocks)?;
            }
        }
        Ok(())
    }

    /// Adds the blocks that a block of pointers leads to, with holes as 0.
    fn add_indirect(&self, block: u64, levels: u32, most: u64, blocks: &mut Vec<u64>) -> Result<()> {
        if block == 0 || blocks.len() as u64 >= most {
            return Ok(());
        }
        for pointer in self.block(block)?.chunks(4).map(|bytes| u64::from(u32_at(bytes, 0))) {
            match levels {
                1 => blocks.push(pointer),
                _ => self.add_indirect(pointer, levels - 1, most, blocks)?,
            }
        }
        Ok(())
    }

    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let mut block = vec![0; self.block_size as usize];
        let at = number.checked_mul(self.block_size).ok_or(ReadError::Damaged("a block beyond its end"))?;
        self.read(&mut block, at)?;
        Ok(block)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        Ok(self.device.read_exact_at(bytes, at)?)
    }
}

impl Inode {
    fn mode(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 0))
    }

    fn flags(&self) -> u32 {
        u32_at(&self.bytes, 0x20)
    }

    fn size(&self) -> u64 {
        u64::from(u32_at(&self.bytes, 0x6c)) << 32 | u64::from(u32_at(&self.bytes, 4))
    }

    fn check_directory(&self) -> Result<()> {
        const TYPE: u32 = 0o170_000;
        const DIRECTORY: u32 = 0o040_000;
        if self.mode() & TYPE != DIRECTORY {
            return Err(ReadError::NotADirectory);
        }
        let is_odd = self.flags() & (ENCRYPTED | INLINE | CASE_FOLDED) != 0 || self.number == 0;
        if is_odd { Err(ReadError::Directory) } else { Ok(()) }
    }

    /// Whether the inode has the field of four bytes at this offset beyond its first 128 bytes.
    fn has(&self, at: usize) -> bool {
        self.bytes.len() >= 0x82 && 128 + usize::from(u16_at(&self.bytes, 0x80)) >= at + 4 && self.bytes.len() >= at + 4
    }

    /// The time at this offset; the field at `extra` has two more bits of the seconds, and nanoseconds.
    fn time(&self, at: usize, extra: usize) -> Timestamp {
        let seconds = i64::from(u32_at(&self.bytes, at) as i32);
        if !self.has(extra) {
            return Timestamp::new(seconds, 0);
        }
        let extra = u32_at(&self.bytes, extra);
        Timestamp::new(seconds + (i64::from(extra & 3) << 32), extra >> 2)
    }
}

/// The length of an entry; that of one that fills a block of 64 KiB does not fit the field.
fn entry_length(length: u16, block: usize) -> usize {
    match length {
        0 | u16::MAX if block == 65_536 => block,
        length => usize::from(length),
    }
}

/// A block of entries ends with its checksum, in what looks like an entry of nothing. Blocks of the index have another, and
/// may have kept such an end from before.
fn check_block(block: &[u8], seed: Option<u32>) -> Result<()> {
    let Some(seed) = seed.filter(|_| !is_index(block)) else { return Ok(()) };
    let tail = block.len() - 12;
    let is_tail = u32_at(block, tail) == 0 && u16_at(block, tail + 4) == 12 && block[tail + 7] == 0xde;
    if is_tail && crc32c(seed, &block[..tail]) != u32_at(block, tail + 8) {
        return Err(ReadError::Damaged("a directory has a wrong checksum"));
    }
    Ok(())
}

/// In the root of an index the entry `..` fills its block, in other nodes an entry of nothing does.
fn is_index(block: &[u8]) -> bool {
    let length = |at: usize| entry_length(u16_at(block, at + 4), block.len());
    length(0) == block.len() || length(0) == 12 && length(12) == block.len() - 12 && block.get(29) == Some(&8)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
