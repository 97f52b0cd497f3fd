// SPDX-License-Identifier: Apache-2.0 OR MIT
#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! [`ImageReader`] reads the records of one image, and [`ImageWriter`] writes one. Each [`Record`] holds an entry, whose
//! type is one of those that implement [`Entry`]: [`Inventory`], [`FileEntry`], [`RemapFilePathEntry`] and the others.
//! [`ImageKind`] knows the names of images. The addresses of interfaces are in an image of another form, which
//! [`interface_addresses`] reads. Errors are of type [`Error`].
//!
//! # What CRIU adds
//!
//! A new CRIU may add fields to a message, values to an enum, and kinds of images. All of these are `#[non_exhaustive]`,
//! so that a release of this crate which knows them breaks no caller. Three things follow:
//!
//! - Other crates do not write messages as struct literals. They start from the default, or from another message, and
//!   set fields: every message has the method `with` for that, as in [`RegFileEntry::with`].
//! - Enums keep a number that they have no name for as `Unknown`. It may get a name in a later release, so compare with
//!   the number itself where that matters: `u32::from(fs_type)`.
//! - Messages are plain structs. The protobuf library that decodes them (prost, today) is no part of this interface.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod byte_order;
mod entries;
mod entry;
mod error;
mod framing;
mod interface_address;
mod kind;
mod message;
mod raw_enum;
mod reader;
mod writer;

pub use byte_order::ByteOrder;
pub use entries::{
    CoreEntry, DumpStats, FdType, FileEntry, FsType, GhostFileEntry, ImageVersion, InetSkEntry, Inventory, MmEntry,
    MntEntry, NetDeviceEntry, NetDeviceType, NetNsEntry, NetworkLock, PidNsEntry, PstreeEntry, RegFileEntry, Remap,
    RemapFilePathEntry, RestoreStats, SkOpts, StatsEntry, TaskCore, TaskKobjIds, TaskState, TcpStreamEntry, ThreadCore,
    Timeval, UnixSkEntry,
};
pub use entry::Entry;
pub use error::{Error, ErrorKind};
pub use framing::Framing;
pub use interface_address::{
    InterfaceAddress, interface_addresses, interface_addresses_file_name, is_interface_addresses_file_name,
};
pub use kind::ImageKind;
pub use reader::{ImageReader, RECORD_LIMIT, Record};
pub use writer::ImageWriter;
