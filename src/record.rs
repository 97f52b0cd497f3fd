// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The record that criu-gc writes next to the images as a CRIU action script: what the dump has just left, with
//! identities that images do not contain.
//!
//! A record chooses nothing. The images name the objects; between two look-alikes, a record shows which one the dump
//! left. A record that somebody else may have written counts only as a reason to keep an object. A record of another
//! dump or another machine does not count at all.
//!
//! A record outlives its images in the [store](store::RecordStore). Without them, the user can name the record itself:
//! then it names the objects too, and is trusted as images are.

pub mod document;
pub mod facts;
pub mod fields;
mod file;
mod read;
pub mod store;

use std::collections::HashMap;
use std::time::Duration;

use crate::connection::Connection;
use crate::system::filesystem::FilesystemId;
use crate::time::Timestamp;
use document::{Document, Link, Network, Rule};
use facts::{Facts, Restore};

pub use file::{RecordFile, RecordFileError, is_record};
pub use read::{ImagesId, read, trusted_document};

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

/// What there is beside a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// The images, which name the objects.
    Images,
    /// Nothing: it names the objects itself, and only those that it identifies are the dump's.
    Alone,
}

/// A record that belongs to the images beside it, or to images that are gone.
#[derive(Debug)]
pub struct Record {
    /// What people call it.
    pub name: String,
    /// How far it is believed.
    pub trust: Trust,
    /// When it was made.
    pub boot: Boot,
    /// What there is beside it.
    pub company: Company,
    pid_namespace: Option<u64>,
    age: Option<Age>,
    restores: Vec<Restore>,
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
        let Document { links, network, machine, facts, restores, .. } = document;
        let pid_namespace = machine.pid_namespace.filter(|_| boot == Boot::This && trust == Trust::Full);
        let network = network.filter(|_| boot == Boot::This);
        let mut connections: HashMap<Connection, Vec<Rule>> = HashMap::new();
        for each in network.iter().flat_map(|network| &network.connections) {
            let connection = Connection { local: each.local, peer: each.peer };
            connections.entry(connection).or_default().extend(each.rules.iter().cloned());
        }
        let record = Record {
            name: FILE_NAME.to_owned(),
            trust,
            boot,
            company: Company::Images,
            pid_namespace,
            age: None,
            restores: if trust == Trust::Full { restores } else { Vec::new() },
            links: links.into_iter().map(|link| (link.id, link)).collect(),
            network,
            connections,
        };
        facts.iter().fold(record, Record::with_age)
    }

    /// The same, made so long after the machine started. Who can write it would make every process young.
    fn with_age(self, facts: &Facts) -> Self {
        let is_known = self.boot == Boot::This && self.trust == Trust::Full;
        let age = Age { since_boot: Duration::from_micros(facts.since_boot), time_namespace: facts.time_namespace };
        Record { age: is_known.then_some(age), ..self }
    }

    /// The link remap of this number, which the tree saw at this path.
    pub fn link(&self, id: u32, path: &[u8]) -> Option<&Link> {
        self.links.get(&id).filter(|link| link.link.0 == path)
    }

    /// The filesystem that the link remap of this number was on, if that outlives its mounts.
    pub fn filesystem_of(&self, id: u32, path: &[u8]) -> Option<RecordedFilesystem> {
        let link = self.link(id, path).filter(|link| link.device.0.0 != 0)?.clone();
        Some(RecordedFilesystem { link, boot: self.boot })
    }

    /// The number of the pid namespace in which CRIU ran, if that was in this life of the machine.
    pub fn pid_namespace(&self) -> Option<u64> {
        self.pid_namespace
    }

    /// For how long the machine had been running when it was made, by the clock of this time namespace; `None` if that was
    /// in another one, or in an earlier life of the machine.
    pub fn since_boot(&self, time_namespace: Option<u64>) -> Option<Duration> {
        self.age.filter(|age| age.time_namespace == time_namespace).map(|age| age.since_boot)
    }

    /// When the last restore was noted.
    pub fn restored(&self) -> Option<Timestamp> {
        self.restores.last().map(|restore| restore.noted.0)
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

/// When a record was made, by a clock that nobody can set.
#[derive(Debug, Clone, Copy)]
struct Age {
    since_boot: Duration,
    time_namespace: Option<u64>,
}

impl Link {
    /// Whether its filesystem has the UUID of this one; `None` where one of the two is not known.
    pub fn has_uuid_of(&self, found: &FilesystemId) -> Option<bool> {
        self.filesystem.as_ref().zip(found.uuid).map(|(recorded, found)| *recorded == found.to_string())
    }

    /// Whether it is on another disk than this one, by the numbers that disks get in one life of the machine.
    pub fn is_on_other_disk(&self, found: &FilesystemId, boot: Boot) -> bool {
        let disks = self.disk_sequence.zip(found.disk_sequence);
        boot == Boot::This && disks.is_some_and(|(recorded, found)| recorded != found)
    }
}

/// A filesystem on a block device, as a record tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFilesystem {
    /// A link on it.
    link: Link,
    boot: Boot,
}

impl RecordedFilesystem {
    /// Whether a filesystem, which has this device number now, is certainly another one. A UUID decides; without, a
    /// device has its number for as long as the machine runs and nobody detaches it.
    pub fn is_other(&self, device: (u32, u32), found: &FilesystemId) -> bool {
        match self.link.has_uuid_of(found) {
            Some(is_same) => !is_same,
            None => {
                let has_other_number = self.boot == Boot::This && self.link.device.0 != device;
                has_other_number || self.link.is_on_other_disk(found, self.boot)
            }
        }
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
