// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The record that criu-gc makes beside the images as CRIU's action script: what the dump has just left, with
//! identities that images do not hold.
//!
//! A record chooses nothing. The images name the objects; of two that look alike a record tells which one the dump left.
//! One that may be somebody else's word is believed only where it speaks for keeping something, and one that belongs to
//! another dump, or was made on another machine, is not believed at all.

pub mod document;
mod read;

use std::collections::HashMap;

use crate::connection::Connection;
use crate::system::filesystem::FilesystemId;
use document::{Document, Link, Network, Rule};

pub use read::{ImagesId, read};

/// The name of the record in the images directory.
pub const FILE_NAME: &str = "criu-gc-record.json";

/// What was found of a record beside the images.
#[derive(Debug, Default)]
pub enum Beside {
    /// There is none.
    #[default]
    Nothing,
    /// There is one that cannot be used, for this reason.
    Ignored(String),
    /// There is one.
    Found(Box<Record>),
}

/// How far a record is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nobody but root can have written it.
    Full,
    /// It may be anybody's: it can only speak for keeping.
    KeepOnly,
}

/// In which life of the machine a record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// The present one.
    This,
    /// An earlier one, whose packet filters, mounts and network namespaces ended with it.
    Earlier,
}

/// A record that belongs to the images beside it.
#[derive(Debug)]
pub struct Record {
    /// How far it is believed.
    pub trust: Trust,
    /// When it was made.
    pub boot: Boot,
    pid_namespace: Option<u64>,
    links: HashMap<u32, Link>,
    network: Option<Network>,
    connections: HashMap<Connection, Vec<Rule>>,
}

impl Beside {
    /// The record, if one can be used.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Beside::Found(record) => Some(record),
            Beside::Nothing | Beside::Ignored(_) => None,
        }
    }
}

impl Record {
    /// What stands in a document.
    pub fn new(document: Document, trust: Trust, boot: Boot) -> Self {
        let Document { links, network, machine, .. } = document;
        let pid_namespace = machine.pid_namespace.filter(|_| boot == Boot::This && trust == Trust::Full);
        let network = network.filter(|_| boot == Boot::This);
        let mut connections: HashMap<Connection, Vec<Rule>> = HashMap::new();
        for each in network.iter().flat_map(|network| &network.connections) {
            let connection = Connection { local: each.local, peer: each.peer };
            connections.entry(connection).or_default().extend(each.rules.iter().cloned());
        }
        Record {
            trust,
            boot,
            pid_namespace,
            links: links.into_iter().map(|link| (link.id, link)).collect(),
            network,
            connections,
        }
    }

    /// The link remap of this number, which the tree saw at this path.
    pub fn link(&self, id: u32, path: &[u8]) -> Option<&Link> {
        self.links.get(&id).filter(|link| link.link.0 == path)
    }

    /// The filesystem that the link remap of this number was on, if that outlives its mounts.
    pub fn filesystem_of(&self, id: u32, path: &[u8]) -> Option<RecordedFilesystem> {
        let link = self.link(id, path).filter(|link| link.device.0.0 != 0)?;
        let (uuid, disk_sequence) = (link.filesystem.clone(), link.disk_sequence);
        Some(RecordedFilesystem { device: link.device.0, uuid, disk_sequence, boot: self.boot })
    }

    /// The number of the pid namespace in which CRIU ran, if that was in this life of the machine.
    pub fn pid_namespace(&self) -> Option<u64> {
        self.pid_namespace
    }

    /// The network namespace that was locked, if that was in this life of the machine.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The rules of a connection; `None` where nothing was recorded about it.
    pub fn rules(&self, connection: &Connection) -> Option<&[Rule]> {
        self.connections.get(connection).map(Vec::as_slice)
    }
}

/// A filesystem on a block device, as a record tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFilesystem {
    device: (u32, u32),
    uuid: Option<String>,
    disk_sequence: Option<u64>,
    boot: Boot,
}

impl RecordedFilesystem {
    /// Whether a filesystem, which has this device number now, is certainly another one. A UUID decides; without, a
    /// device has its number for as long as the machine runs and nobody detaches it.
    pub fn is_other(&self, device: (u32, u32), found: &FilesystemId) -> bool {
        if let (Some(recorded), Some(found)) = (&self.uuid, found.uuid) {
            return *recorded != found.to_string();
        }
        let is_other_disk =
            self.disk_sequence.zip(found.disk_sequence).is_some_and(|(recorded, found)| recorded != found);
        self.boot == Boot::This && (self.device != device || is_other_disk)
    }
}

impl Network {
    /// Whether the lock was the only one: no chain had more than one jump from each side. Otherwise what closes the
    /// namespace was another dump's too.
    pub fn is_closed_once(&self) -> bool {
        self.chains.iter().all(|chain| {
            let from = |name: &str| chain.jumps.iter().filter(|jump| jump.chain == name).count();
            from("INPUT") <= 1 && from("OUTPUT") <= 1
        })
    }
}
