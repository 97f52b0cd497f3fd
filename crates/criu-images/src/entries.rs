// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The entries that records hold.
//!
//! Each is trimmed: it has the fields that tell what a dump did to its host, and skips the others. Three rules hold
//! for all of them. Names and paths are bytes, because the kernel's are, and a decoder that insists on UTF-8 loses the
//! whole record. Enums are numbers with a getter that keeps unknown ones. And a field is an `Option` where its absence
//! says something; a field that CRIU requires is plain, and 0 or empty if a record lacks it, which CRIU would refuse.

mod file;
mod inventory;
mod mount;
mod namespace;
mod remap;
mod socket;
mod stats;
mod task;

pub use file::{FdType, FileEntry, RegFileEntry};
pub use inventory::{ImageVersion, Inventory, NetworkLock};
pub use mount::{FsType, MntEntry};
pub use namespace::{NetDeviceEntry, NetDeviceType, NetNsEntry, PidNsEntry};
pub use remap::{GhostFileEntry, Remap, RemapFilePathEntry, Timeval};
pub use socket::{InetSkEntry, SkOpts, TcpStreamEntry, UnixSkEntry};
pub use stats::{DumpStats, RestoreStats, StatsEntry};
pub use task::{CoreEntry, MmEntry, PstreeEntry, TaskCore, TaskKobjIds, TaskState, ThreadCore};

/// Splits a device number as CRIU stores it: the kernel's own form, twenty bits of minor number.
fn split_device(device: u32) -> (u32, u32) {
    (device >> 20, device & 0x000f_ffff)
}
