// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The byte order of the host that dumped.
//!
//! CRIU writes its magic numbers, record lengths and IP addresses as that host keeps them in memory. Protocol buffers
//! have an order of their own, so nothing else in an image depends on it.

/// The byte order of the host that wrote an image, as its magic number shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The least significant byte comes first, as on x86, ARM and RISC-V.
    Little,
    /// The most significant byte comes first, as on s390.
    Big,
}

impl ByteOrder {
    /// The byte order of this machine.
    pub const NATIVE: ByteOrder = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };

    pub(crate) const ALL: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            ByteOrder::Little => u16::from_le_bytes(bytes),
            ByteOrder::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The bytes that `word` had in the memory of the host that dumped.
    pub(crate) fn bytes(self, word: u32) -> [u8; 4] {
        match self {
            ByteOrder::Little => word.to_le_bytes(),
            ByteOrder::Big => word.to_be_bytes(),
        }
    }
}
