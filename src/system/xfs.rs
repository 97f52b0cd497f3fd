// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks up names on an XFS that is not mounted, by reading its device. Nothing is written.
//!
//! Versions 4 and 5, with directories of all forms. What is not understood is an error: a feature that may change the layout,
//! a wrong checksum, metadata that belong elsewhere, a number out of range, an entry that does not fit. Whether the log has
//! to be replayed is for [`super::journal`] to tell. (`fs/xfs/libxfs/xfs_format.h`, `xfs_da_format.h`.)

use std::collections::HashMap;

use super::big_endian::u64_at;
use super::crc32c::crc32c;
use super::device::Device;
use super::dir::FileIdentity;
use super::filesystem::{self, FilesystemId};
use super::on_device::ReadError;
use inode::Inode;
use superblock::{LARGEST_SECTOR, Superblock};

mod directory;
mod extents;
mod inode;
mod superblock;

type Result<T> = std::result::Result<T, ReadError>;

/// An XFS on an open device.
#[derive(Debug)]
pub struct Xfs {
    device: Device,
    number: (u32, u32),
    superblock: Superblock,
}

/// Where a block of version 5 says what it is: offsets in its head.
struct BlockHead {
    length: usize,
    checksum: usize,
    /// Where it is on the device, in sectors of 512 bytes.
    place: usize,
    uuid: usize,
    /// The inode that it belongs to.
    owner: usize,
}

impl Xfs {
    /// The XFS on a device of this number, if there is one.
    pub fn open(device: Device, number: (u32, u32)) -> Result<Option<Self>> {
        // No XFS is as small as its largest sector.
        let Ok(bytes) = device.read(0, LARGEST_SECTOR) else { return Ok(None) };
        let superblock = Superblock::parse(&bytes)?;
        Ok(superblock.map(|superblock| Xfs { device, number, superblock }))
    }

    /// Which filesystem it is, on which disk.
    pub fn filesystem(&self) -> FilesystemId {
        FilesystemId { uuid: Some(self.superblock.uuid), disk_sequence: filesystem::disk_sequence(self.number) }
    }

    /// The number of the inode of its root directory.
    pub(super) fn root(&self) -> u64 {
        self.superblock.root
    }

    /// It is an error if the inode of this number is no directory.
    pub(super) fn check_directory(&self, number: u64) -> Result<()> {
        self.directory(number).map(|_| ())
    }

    /// The entries of a directory whose names are wanted, with the numbers of their inodes.
    pub(super) fn entries(&self, directory: u64, wanted: impl Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, u64>> {
        let inode = self.directory(directory)?;
        let mut found = HashMap::new();
        directory::each_entry(self, &inode, &mut |name, number| {
            if wanted(name) && found.insert(name.to_owned(), number).is_some() {
                return Err(ReadError::Damaged("a directory with two entries of one name"));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// What the inode of this number is, as `stat` would show it.
    pub fn identity(&self, number: u64) -> Result<FileIdentity> {
        let inode = self.inode(number)?;
        Ok(FileIdentity {
            device: self.number,
            inode: number,
            mode: inode.mode(),
            owner: inode.owner(),
            links: inode.links(),
            size: inode.size(),
            allocated: inode.blocks().saturating_mul(self.superblock.block_size),
            changed: inode.changed(),
            modified: inode.modified(),
            born: inode.born(),
            mount_id: 0,
        })
    }

    fn directory(&self, number: u64) -> Result<Inode> {
        const TYPE: u32 = 0o170_000;
        const DIRECTORY: u32 = 0o040_000;
        let inode = self.inode(number)?;
        if inode.mode() & TYPE == DIRECTORY { Ok(inode) } else { Err(ReadError::NotADirectory) }
    }

    fn inode(&self, number: u64) -> Result<Inode> {
        let place = self.superblock.inode_place(number).ok_or(ReadError::Damaged("an entry without an inode"))?;
        let bytes = self.device.read(place, self.superblock.inode_size)?;
        Inode::parse(&self.superblock, number, bytes)
    }

    /// Some blocks, as the device counts them, one behind the other.
    fn read_blocks(&self, blocks: &[u64]) -> Result<Vec<u8>> {
        let size = self.superblock.block_size;
        let mut bytes = Vec::with_capacity(blocks.len() * size as usize);
        for run in blocks.chunk_by(|block, next| block + 1 == *next) {
            bytes.extend(self.device.read(run[0] * size, run.len() * size as usize)?);
        }
        Ok(bytes)
    }

    /// A block of version 5 has its checksum, and is the one that is meant.
    fn check_block(&self, block: &[u8], head: &BlockHead, place: u64, owner: u64) -> Result<()> {
        if !self.superblock.has_checksums {
            return Ok(());
        }
        if !has_checksum(block, head.checksum) {
            return Err(ReadError::Damaged("a directory has a wrong checksum"));
        }
        let sector = place * (self.superblock.block_size / 512);
        let is_it = u64_at(block, head.place) == sector
            && u64_at(block, head.owner) == owner
            && block[head.uuid..head.uuid + 16] == self.superblock.meta_uuid;
        if is_it { Ok(()) } else { Err(ReadError::Damaged("a directory has a block of something else")) }
    }
}

/// Whether the checksum at this offset is right; it was made with zeros in its own place.
fn has_checksum(bytes: &[u8], at: usize) -> bool {
    let (Some(before), Some(after), Some(stored)) = (bytes.get(..at), bytes.get(at + 4..), bytes.get(at..at + 4))
    else {
        return false;
    };
    let computed = crc32c(crc32c(crc32c(!0, before), &[0; 4]), after);
    stored == (!computed).to_le_bytes()
}
