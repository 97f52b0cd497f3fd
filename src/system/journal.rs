// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the journal of an unmounted filesystem contains changes that are not in place yet. Read-only.
//!
//! Without replaying its journal, a filesystem shows the state before those changes: a link that only the journal has
//! would look gone. A journal that cannot be understood counts as not replayed.

use std::io;

use super::big_endian::u32_at;
use super::device::Device;

/// What is known of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// Everything is on its place.
    Empty,
    /// Changes wait in it, or may, or the filesystem is mounted writable somewhere.
    Pending,
}

/// The journal of the filesystem on an open device. One of a type without a reader here counts as empty: the types that
/// are mounted all have one.
pub fn of_device(device: &Device) -> io::Result<Journal> {
    if read::<4>(device, 0)? == *b"XFSB" {
        return Ok(XfsLog::find(device)?.map_or(Journal::Pending, |log| log.state().unwrap_or(Journal::Pending)));
    }
    if is_ext4(device)? { of_ext4(device) } else { Ok(Journal::Empty) }
}

/// Whether there is the magic number of an ext4.
pub(super) fn is_ext4(device: &Device) -> io::Result<bool> {
    Ok(read::<2>(device, EXT4_MAGIC_AT)? == [0x53, 0xef])
}

const EXT4_MAGIC_AT: u64 = 0x438;

/// `s_feature_incompat` has `INCOMPAT_RECOVER` (4), which the kernel sets for as long as it has the filesystem mounted
/// writable.
fn of_ext4(device: &Device) -> io::Result<Journal> {
    let [features] = read::<1>(device, 0x460)?;
    Ok(if features & 4 == 0 { Journal::Empty } else { Journal::Pending })
}

/// The log of an XFS: a ring of blocks of 512 bytes, each of which begins with the number of the round in which it was
/// written, its cycle; in the header of a record that follows the magic number. Numbers are big-endian
/// (`fs/xfs/libxfs/xfs_format.h`, `xfs_log_format.h`).
struct XfsLog<'a> {
    device: &'a Device,
    /// Where it begins on the device.
    start: u64,
    blocks: u64,
}

const BLOCK: usize = 512;
const RECORD_MAGIC: u32 = 0xfeed_babe;
/// A record is at most 256 KiB long, and has a header block for each 32 KiB of it.
const LONGEST_RECORD: u64 = (256 + 4) * 1024 / BLOCK as u64;
/// `XLOG_UNMOUNT_TRANS`: what is written last when a filesystem is unmounted.
const UNMOUNT: u8 = 0x20;

impl<'a> XfsLog<'a> {
    /// The log as the superblock describes it; `None` where it is on a device of its own, or is invalid.
    fn find(device: &'a Device) -> io::Result<Option<Self>> {
        let superblock = read::<128>(device, 0)?;
        let block_size = u64::from(u32_at(&superblock, 4));
        let first = u64::from(u32_at(&superblock, 48)) << 32 | u64::from(u32_at(&superblock, 52));
        let group_blocks = u64::from(u32_at(&superblock, 84));
        let group_bits = u32::from(superblock[124]);
        let blocks = u64::from(u32_at(&superblock, 96)) * block_size / BLOCK as u64;
        if first == 0 || blocks == 0 || !(1..64).contains(&group_bits) {
            return Ok(None);
        }
        let (group, within) = (first >> group_bits, first & ((1 << group_bits) - 1));
        let start =
            group.checked_mul(group_blocks).and_then(|block| block.checked_add(within)?.checked_mul(block_size));
        Ok(start.map(|start| XfsLog { device, start, blocks }))
    }

    /// Clean is a log whose last record is that of an unmount, as `xlog_check_unmount_rec` in the kernel has it.
    fn state(&self) -> io::Result<Journal> {
        let Some(head) = self.head()? else { return Ok(Journal::Empty) };
        for distance in 1..=LONGEST_RECORD.min(self.blocks) {
            let at = (head + self.blocks - distance) % self.blocks;
            let block = self.block(at)?;
            if u32_at(&block, 0) == RECORD_MAGIC {
                return self.state_by_last_record(at, &block, distance);
            }
        }
        Ok(Journal::Pending)
    }

    /// The record with this header is the last before the head, which is `distance` blocks after it.
    fn state_by_last_record(&self, at: u64, header: &[u8; BLOCK], distance: u64) -> io::Result<Journal> {
        let (version, length, operations) = (u32_at(header, 8), u32_at(header, 12), u32_at(header, 40));
        let header_blocks = match version & 2 {
            0 => 1,
            _ => u64::from(u32_at(header, 320)).div_ceil(32 * 1024).max(1),
        };
        let ends_at_head = header_blocks + u64::from(length).div_ceil(BLOCK as u64) == distance;
        if !ends_at_head || operations != 1 {
            return Ok(Journal::Pending);
        }
        let operation = self.block((at + header_blocks) % self.blocks)?;
        Ok(if operation[9] & UNMOUNT == 0 { Journal::Pending } else { Journal::Empty })
    }

    /// The block that would be written next: where the cycle falls back to the round before. `None` in a log that was
    /// never written.
    fn head(&self) -> io::Result<Option<u64>> {
        let (first, last) = (self.cycle(0)?, self.cycle(self.blocks - 1)?);
        if first == 0 {
            return Ok(None);
        }
        if first == last {
            return Ok(Some(0));
        }
        let (mut newer, mut older) = (0, self.blocks - 1);
        while older - newer > 1 {
            let middle = newer + (older - newer) / 2;
            match self.cycle(middle)? == first {
                true => newer = middle,
                false => older = middle,
            }
        }
        Ok(Some(older))
    }

    fn cycle(&self, at: u64) -> io::Result<u32> {
        let block = self.block(at)?;
        Ok(if u32_at(&block, 0) == RECORD_MAGIC { u32_at(&block, 4) } else { u32_at(&block, 0) })
    }

    fn block(&self, at: u64) -> io::Result<[u8; BLOCK]> {
        read(self.device, self.start.saturating_add(at * BLOCK as u64))
    }
}

fn read<const LENGTH: usize>(device: &Device, at: u64) -> io::Result<[u8; LENGTH]> {
    let bytes = device.read(at, LENGTH)?;
    bytes.try_into().map_err(|_| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests;
