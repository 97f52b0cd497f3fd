// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only module that may change the machine: files, firewall rules, and for `heal` running processes and their control
//! group; nothing else.
//!
//! It takes descriptors, names and rules, and knows nothing about CRIU or residue. Its input may come from hostile
//! images, so it follows no symbolic link that it was not given, runs no shell, and does to each object only what the
//! call's name says.

pub mod abstract_sockets;
pub mod author;
mod big_endian;
pub mod command;
mod crc32c;
pub mod device;
pub mod dir;
pub mod ext4;
pub mod filesystem;
pub mod interfaces;
pub mod journal;
pub mod ledger;
pub mod living;
pub mod lock;
pub mod machine;
pub mod modules;
pub mod mount;
pub mod mountinfo;
pub mod netlink;
pub mod netns;
pub mod nft;
mod on_device;
mod origin;
pub mod privilege;
mod reading;
pub mod reads;
pub mod replace;
pub mod save;
pub mod socket;
pub mod task;
pub mod unmounted;
pub mod volume;
pub mod way;
pub mod xfs;
pub mod xtables;
