// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The format of the record: one JSON document, described in docs/record.md.
//!
//! Only these types define the format; they change only with [`VERSION`].

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Restore};
use super::fields::{Device, Time};
use crate::connection::Direction;
use crate::firewall::{FilterPlace, RuleId};
use crate::json::Bytes;

/// The version of the format; it grows when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// What a dump had left when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// [`VERSION`].
    pub criu_gc_record: u32,
    /// The program that wrote it.
    pub tool: String,
    /// When it had looked at everything.
    pub recorded: Time,
    /// Where it was written.
    pub machine: Machine,
    /// To which images it belongs.
    pub dump: Dump,
    /// The link remaps that were there.
    pub links: Vec<Link>,
    /// The network namespace that was locked, or in which there are locks; absent where the dump locked nothing.
    pub network: Option<Network>,
    /// What could not be recorded, in words for people.
    pub not_recorded: Vec<String>,
    /// What the images say; absent in records of before it was noted, which name nothing without their images.
    #[serde(default)]
    pub facts: Option<Facts>,
    /// The restores that were noted, in the stored record only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<Restore>,
}

/// A machine, and which start of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The host's name, for people.
    pub name: String,
    /// The number of the pid namespace in which CRIU ran; absent in records of before it was noted.
    #[serde(default)]
    pub pid_namespace: Option<u64>,
}

/// A dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// The run id, where the version of CRIU had one.
    pub run_id: Option<String>,
    /// When the images that name residue were last written.
    pub images_written: Option<Time>,
    /// Where the images were, for people.
    pub images_directory: Bytes,
}

/// A link remap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// N of `link_remap.N`.
    pub id: u32,
    /// The link as the tree saw it.
    pub link: Bytes,
    /// Where it was on this machine, for people.
    pub path: Bytes,
    /// The device number of its filesystem.
    pub device: Device,
    /// The UUID of its filesystem; absent where the kernel does not tell it, and in older records.
    #[serde(default)]
    pub filesystem: Option<String>,
    /// The `diskseq` of its disk; absent where it has none, and in older records.
    #[serde(default)]
    pub disk_sequence: Option<u64>,
    /// Its inode number.
    pub inode: u64,
    /// When the inode was made, where the filesystem tells.
    pub born: Option<Time>,
    /// The last change of the inode.
    pub changed: Time,
    /// How many names it had.
    pub links: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The directory that holds the link.
    pub directory: Directory,
}

/// A directory that holds a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Its inode number.
    pub inode: u64,
    /// Its last change.
    pub changed: Time,
}

/// A network namespace with what it holds of the dump's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Whose it is.
    pub role: Role,
    /// By what it could be named, for people.
    pub name: String,
    /// The device that the inode number belongs to.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// The cookie of the kernel's rtnetlink socket in it; absent where the kernel does not tell.
    pub cookie: Option<u64>,
    /// Whether everything could be looked at: then what is not in the record was not there.
    pub complete: bool,
    /// The connections, each with its own rules.
    pub connections: Vec<Connection>,
    /// The lock tables.
    pub tables: Vec<Table>,
    /// The lock chains.
    pub chains: Vec<Chain>,
}

/// Whose network namespace was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// CRIU's, which the tree shared: each connection by itself.
    Criu,
    /// The tree's own, as a whole.
    Tree,
}

/// A connection with the rules that drop its packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The dumped socket's own end.
    pub local: std::net::SocketAddr,
    /// The other end.
    pub peer: std::net::SocketAddr,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The command that shows it: `iptables-nft` and so on.
    pub command: String,
    /// The chain that it is in.
    pub chain: String,
    /// nf_tables' handle of the table.
    pub table: Option<u64>,
    /// nf_tables' handle of the rule.
    pub handle: Option<u64>,
}

impl Rule {
    /// What is recorded of a rule.
    pub fn of(place: FilterPlace, direction: Direction, table: Option<u64>, id: &RuleId) -> Self {
        let handle = match id {
            RuleId::Handle(handle) => Some(*handle),
            RuleId::Words(_) => None,
        };
        Rule { command: place.to_string(), chain: direction.chain().to_owned(), table, handle }
    }
}

/// A lock table of family `inet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// nf_tables' handle of it.
    pub handle: u64,
}

/// A lock chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The command that shows it.
    pub command: String,
    /// nf_tables' handle of the table that it is in.
    pub table: Option<u64>,
    /// nf_tables' handle of the chain.
    pub handle: Option<u64>,
    /// The rules that jump to it.
    pub jumps: Vec<Rule>,
}
