// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The superblock of an XFS: how it is laid out, and whether that is known here. Pure.

use criu_gc_sys::Uuid;

use super::super::big_endian::{u16_at, u32_at, u64_at};
use super::super::on_device::ReadError;
use super::{Result, has_checksum};

/// No sector of an XFS is larger.
pub(super) const LARGEST_SECTOR: usize = 32_768;

/// Bits of `sb_versionnum`: directories without case, directories of version 2, `sb_features2` counts.
const CASELESS: u16 = 0x4000;
const DIRECTORIES_2: u16 = 0x2000;
const MORE_BITS: u16 = 0x8000;
/// `XFS_SB_VERSION_SHAREDBIT`, which no kernel mounts.
const SHARED: u16 = 0x200;
/// `XFS_SB_VERSION2_*` of version 4: lazy counters, extended attributes of version 2, project ids of 32 bits, file types.
const KNOWN_FEATURES_2: u32 = 0x2 | 0x8 | 0x80 | TYPES_2;
const TYPES_2: u32 = 0x200;

/// `XFS_SB_FEAT_INCOMPAT_*` of version 5: file types, sparse chunks of inodes, a UUID of metadata, times of 64 bits, counts
/// of extents of 64 bits, exchange of ranges, pointers to parents.
const KNOWN_FEATURES: u32 = TYPES | 0x2 | META_UUID | 0x8 | 0x20 | 0x40 | 0x80;
const TYPES: u32 = 0x1;
const META_UUID: u32 = 0x4;
/// `XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR`
const NEEDS_REPAIR: u32 = 0x10;
/// `XFS_SB_FEAT_INCOMPAT_LOG_XATTRS`: extended attributes in the log, which is empty.
const KNOWN_LOG_FEATURES: u32 = 0x1;

/// How an XFS is laid out.
#[derive(Debug)]
pub(super) struct Superblock {
    pub(super) block_size: u64,
    /// All of it, in blocks.
    blocks: u64,
    groups: u64,
    group_blocks: u64,
    /// How many bits of the number of a block are the number within its group.
    group_bits: u32,
    pub(super) inode_size: usize,
    /// How many bits of the number of an inode are the number within its block.
    inode_bits: u32,
    pub(super) root: u64,
    /// The size of a block of a directory, in bytes.
    pub(super) directory_block: u64,
    /// Whether entries of directories tell the type of the file.
    pub(super) has_types: bool,
    /// Version 5: metadata has checksums, and says what and where it is.
    pub(super) has_checksums: bool,
    pub(super) uuid: Uuid,
    /// What metadata calls the UUID.
    pub(super) meta_uuid: [u8; 16],
}

impl Superblock {
    /// From the first sector, with whatever follows it; `None` where that is no superblock of an XFS.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.get(..4) != Some(b"XFSB") {
            return Ok(None);
        }
        let has_checksums = match u16_at(bytes, 100) & 0xf {
            4 => false,
            5 => true,
            _ => return Err(ReadError::Features(u32::from(u16_at(bytes, 100)))),
        };
        if has_checksums {
            let sector = bytes.get(..usize::from(u16_at(bytes, 102)));
            if !sector.is_some_and(|sector| has_checksum(sector, 224)) {
                return Err(ReadError::Damaged("its superblock has a wrong checksum"));
            }
        }
        let has_types = if has_checksums { check_features_5(bytes)? } else { check_features_4(bytes)? };
        // The blocks of a realtime section.
        if u64_at(bytes, 16) != 0 {
            return Err(ReadError::OtherDevice);
        }
        // `mkfs` has not ended.
        if bytes[126] != 0 {
            return Err(ReadError::Damaged("mkfs did not finish"));
        }
        Self::layout(bytes, has_checksums, has_types).map(Some)
    }

    fn layout(bytes: &[u8], has_checksums: bool, has_types: bool) -> Result<Self> {
        let log = |at: usize| u32::from(bytes[at]);
        let uuid_at = |at: usize| std::array::from_fn(|index| bytes[at + index]);
        let has_meta_uuid = has_checksums && u32_at(bytes, 216) & META_UUID != 0;
        let found = Superblock {
            block_size: u64::from(u32_at(bytes, 4)),
            blocks: u64_at(bytes, 8),
            groups: u64::from(u32_at(bytes, 88)),
            group_blocks: u64::from(u32_at(bytes, 84)),
            group_bits: log(124),
            inode_size: usize::from(u16_at(bytes, 104)),
            inode_bits: log(123),
            root: u64_at(bytes, 56),
            directory_block: u64::from(u32_at(bytes, 4)).checked_shl(log(192)).unwrap_or(0),
            has_types,
            has_checksums,
            uuid: Uuid(uuid_at(32)),
            meta_uuid: uuid_at(if has_meta_uuid { 248 } else { 32 }),
        };
        let (block_bits, inode_size_bits) = (log(120), log(122));
        let is_possible = (9..=16).contains(&block_bits)
            && found.block_size == 1 << block_bits
            && (8..=11).contains(&inode_size_bits)
            && found.inode_size == 1 << inode_size_bits
            && found.inode_bits + inode_size_bits == block_bits
            && (9..=15).contains(&log(121))
            && u32::from(u16_at(bytes, 102)) == 1 << log(121)
            && log(192) + block_bits <= 16
            && (!has_checksums || (block_bits >= 10 && inode_size_bits >= 9));
        if is_possible && found.are_groups_possible() {
            Ok(found)
        } else {
            Err(ReadError::Damaged("its superblock contradicts itself"))
        }
    }

    fn are_groups_possible(&self) -> bool {
        let all_but_the_last = self.groups.saturating_sub(1) * self.group_blocks;
        self.group_blocks > 1
            && self.group_blocks.next_power_of_two() == 1_u64.checked_shl(self.group_bits).unwrap_or(0)
            && self.blocks > all_but_the_last
            && self.blocks <= self.groups * self.group_blocks
    }

    /// How the device counts a block that metadata calls so; `None` if there is none.
    pub(super) fn block(&self, number: u64) -> Option<u64> {
        let (group, within) = (number >> self.group_bits, number & ((1 << self.group_bits) - 1));
        let block = group.checked_mul(self.group_blocks)?.checked_add(within)?;
        (group < self.groups && within < self.group_blocks && block < self.blocks).then_some(block)
    }

    /// Where on the device the inode of this number is.
    pub(super) fn inode_place(&self, number: u64) -> Option<u64> {
        let within = number & ((1 << self.inode_bits) - 1);
        let block = self.block(number >> self.inode_bits)?;
        block.checked_mul(self.block_size)?.checked_add(within * self.inode_size as u64)
    }
}

/// Whether entries of directories have types, in version 5.
fn check_features_5(bytes: &[u8]) -> Result<bool> {
    let (features, log_features) = (u32_at(bytes, 216), u32_at(bytes, 220));
    if features & NEEDS_REPAIR != 0 {
        return Err(ReadError::NeedsRepair);
    }
    let unknown = [features & !KNOWN_FEATURES, log_features & !KNOWN_LOG_FEATURES];
    if let Some(unknown) = unknown.into_iter().find(|unknown| *unknown != 0) {
        return Err(ReadError::Features(unknown));
    }
    check_version(u16_at(bytes, 100))?;
    Ok(features & TYPES != 0)
}

/// The same in version 4.
fn check_features_4(bytes: &[u8]) -> Result<bool> {
    let version = u16_at(bytes, 100);
    check_version(version)?;
    // Some systems once wrote the features four bytes later.
    let features = if version & MORE_BITS != 0 { u32_at(bytes, 200) | u32_at(bytes, 204) } else { 0 };
    if features & !KNOWN_FEATURES_2 != 0 {
        return Err(ReadError::Features(features & !KNOWN_FEATURES_2));
    }
    Ok(features & TYPES_2 != 0)
}

fn check_version(version: u16) -> Result<()> {
    if version & CASELESS != 0 {
        return Err(ReadError::Directory);
    }
    if version & SHARED != 0 || version & DIRECTORIES_2 == 0 {
        return Err(ReadError::Features(u32::from(version)));
    }
    Ok(())
}
