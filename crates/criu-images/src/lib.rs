// SPDX-License-Identifier: Apache-2.0 OR MIT
#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! [`ImageKind`] knows the names of images, [`ImageReader`] reads the records of one, and each record holds an entry:
//! [`Inventory`], [`FileEntry`], [`RemapFilePathEntry`] and the others. The addresses of interfaces are in an image of
//! another form, read by [`interface_addresses`]. What cannot be read is a [`Problem`].
//!
//! # What it promises
//!
//! Images may be written by anybody, so no input makes it panic, recurse without bound, or hold more than ten times
//! [`RECORD_LIMIT`]. It opens no file, and prints nothing.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod byte_order;
mod entries;
mod interface_address;
mod kind;
mod problem;
mod raw_enum;
mod reader;

pub use byte_order::ByteOrder;
pub use entries::{
    CoreEntry, DumpStats, FdType, FileEntry, FsType, GhostFileEntry, InetSkEntry, Inventory, MmEntry, MntEntry,
    NetDeviceEntry, NetDeviceType, NetNsEntry, NetworkLock, PidNsEntry, PstreeEntry, RegFileEntry, Remap,
    RemapFilePathEntry, RestoreStats, StatsEntry, TaskCore, TaskKobjIds, TaskState, Timeval,
};
pub use interface_address::{
    InterfaceAddress, interface_addresses, interface_addresses_file_name, is_interface_addresses_file_name,
};
pub use kind::ImageKind;
pub use problem::{Problem, ProblemKind};
pub use reader::{ImageReader, RECORD_LIMIT, Record};
