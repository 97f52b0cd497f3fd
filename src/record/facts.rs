// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a record repeats of the images, so that it can name residue when they are gone: what to look for, where, and
//! which processes must be dead.
//!
//! Numbers and names are those of the images; docs/record.md describes the fields.

use serde::{Deserialize, Deserializer, Serialize};

use super::fields::{Device, Time};
use crate::connection;
use crate::json::Bytes;

/// The part of the images that matters for residue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Which directory the images were in.
    pub images: Option<ImagesDirectory>,
    /// When the dump began, as far as that is known.
    pub began: Option<Time>,
    /// For how long the machine had been running, in microseconds, when the record was made. No clock that can be set.
    pub since_boot: u64,
    /// The number of the time namespace whose clock that is.
    pub time_namespace: Option<u64>,
    /// The lock method, by CRIU's number.
    pub network_lock: Option<u32>,
    /// The key of the tree's network namespace, if it was external: then it may have outlived the tree.
    #[serde(deserialize_with = "present")]
    pub external_network: Option<Bytes>,
    /// The root task's pid as CRIU saw it.
    pub root_pid: Option<u32>,
    /// The namespaces of CRIU.
    pub criu: Option<Namespaces>,
    /// The processes of the tree, its root first.
    pub tasks: Vec<Task>,
    /// What the images say about the recorded link remaps.
    pub links: Vec<LinkFacts>,
    /// The mounts that these are on, and the root mount of the tree.
    pub mounts: Vec<Mount>,
    /// The connections that were locked.
    pub connections: Vec<Ends>,
}

/// A directory, by identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesDirectory {
    /// The device number of its filesystem.
    pub device: Device,
    /// Its inode number.
    pub inode: u64,
}

/// CRIU's numbers of the namespaces of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// The pid namespace.
    pub pid: Option<u32>,
    /// The network namespace.
    pub network: Option<u32>,
    /// The mount namespace.
    pub mount: Option<u32>,
}

/// A process of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its pid, in the pid namespace in which it was dumped.
    pub pid: u32,
    /// Its `comm`.
    #[serde(deserialize_with = "present")]
    pub name: Option<Bytes>,
    /// Its program, as the tree saw it.
    #[serde(deserialize_with = "present")]
    pub program: Option<Bytes>,
    /// Its memory layout.
    #[serde(deserialize_with = "present")]
    pub memory: Option<Memory>,
    /// Its namespaces.
    #[serde(deserialize_with = "present")]
    pub namespaces: Option<Namespaces>,
}

/// A memory layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Where the code of the program begins.
    pub start_code: u64,
    /// Where the stack began.
    pub start_stack: u64,
    /// Where the heap begins.
    pub start_brk: u64,
    /// Whether the kernel had chosen these addresses at random.
    pub is_random: bool,
}

/// What the images say about a link remap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFacts {
    /// N of `link_remap.N`.
    pub id: u32,
    /// The file that it stands for, as the tree saw it.
    pub original: Bytes,
    /// `st_mode` of the file.
    #[serde(deserialize_with = "present")]
    pub mode: Option<u32>,
    /// Its size in bytes.
    #[serde(deserialize_with = "present")]
    pub size: Option<u64>,
    /// The id of its mount; absent where the tree shared CRIU's mount namespace.
    #[serde(deserialize_with = "present")]
    pub mount: Option<u32>,
}

/// A mount of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// CRIU's number of the mount namespace.
    pub namespace: u32,
    /// Its id.
    pub id: u32,
    /// The id of the mount that it is on.
    pub parent: u32,
    /// The filesystem, by CRIU's number.
    pub kind: u32,
    /// The name of the filesystem, where the number does not tell.
    pub name: Option<Bytes>,
    /// Its device number.
    pub device: Device,
    /// The directory of the filesystem that is mounted.
    pub root: Bytes,
    /// Where it is mounted.
    pub mountpoint: Bytes,
    /// Its source.
    pub source: Bytes,
    /// Its options.
    pub options: Bytes,
    /// Whether a plugin takes care of it.
    pub has_plugin: bool,
    /// Whether it is external, in images before CRIU 3.0.
    pub is_external: bool,
    /// Whether what is mounted has been unlinked.
    pub is_deleted: bool,
    /// The user's key for an external one.
    pub key: Option<Bytes>,
}

/// A field that may be `null`, but not absent: a short text must not become a long list in memory.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The dumped socket's own end.
    pub local: std::net::SocketAddr,
    /// The other end.
    pub peer: std::net::SocketAddr,
}

impl From<connection::Connection> for Ends {
    fn from(connection::Connection { local, peer }: connection::Connection) -> Self {
        Ends { local, peer }
    }
}

impl From<Ends> for connection::Connection {
    fn from(Ends { local, peer }: Ends) -> Self {
        connection::Connection { local, peer }
    }
}

/// A restore from the images that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// When it was noted.
    pub noted: Time,
    /// The start of the machine, as in `machine`.
    pub boot_id: Option<String>,
    /// For how long the machine had been running, in microseconds.
    pub since_boot: u64,
    /// The root process of the restored tree, as CRIU saw it.
    pub root_pid: Option<u32>,
}
