// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The few calls of Linux that criu-gc needs and rustix has no safe function for.
//!
//! All unsafe code of the tool is here. Most calls are one `ioctl` on a descriptor that the caller keeps. Its argument is
//! nothing, or a plain structure as large as the kernel's, so the kernel writes no more than that. [`Tracee`] is
//! `ptrace`, and [`tcp_repair`] and its neighbours are options of sockets: their arguments are plain numbers.

mod descriptor;
mod filesystem;
mod loop_device;
mod mount_namespaces;
mod priority;
mod socket;
mod socket_option;
mod tracee;

pub use filesystem::{Uuid, filesystem_uuid};
pub use loop_device::{BackingFile, loop_backing_file};
pub use mount_namespaces::{MountNamespaces, mount_namespaces};
pub use priority::use_disks_when_idle;
pub use socket::{socket_file, socket_namespace};
pub use socket_option::{leave_tcp_repair, peek_offset, reset_peek_offset, tcp_repair};
pub use tracee::{CAN_UNMAP, CallError, Position, SeizeError, Tracee};
