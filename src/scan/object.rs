// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a scan finds, and how it is named.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::shape::Shape;
use crate::carrier::{FoundChain, FoundEntry, FoundRules, FoundTable, FoundTask};
use crate::connection::Connection;
use crate::heal::Patient;
use crate::host::Sighting;
use crate::host::frozen::FrozenGroup;
use crate::kept_state::KeptState;
use crate::kind::EntryKind;
use crate::time::Timestamp;

/// Something of CRIU's shape.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) thing: Thing,
    pub(super) class: Class,
    /// The directory of the images that it belongs to.
    pub(super) owner: Option<PathBuf>,
    /// Since when it is there, where something tells.
    pub(super) since: Option<Timestamp>,
    /// Processes that use it, by pid and name.
    pub(super) holders: Vec<Holder>,
    /// What has to be known about it.
    pub(super) remarks: Vec<String>,
}

/// A process that uses an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) name: Vec<u8>,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Thing {
    /// A file whose name says what it is.
    File { shape: Shape, sighting: Sighting },
    /// A temporary directory or file in the mount namespace of criu-gc.
    Entry { kind: EntryKind, found: Box<FoundEntry> },
    /// One in another mount namespace.
    ElsewhereEntry { kind: EntryKind, sighting: Sighting, cover: Cover },
    /// The rules of a connection.
    Rules { connection: Connection, found: FoundRules },
    /// A table.
    Table(FoundTable),
    /// The chain `CRIU`.
    Chain(FoundChain),
    /// A process that a killed dump or restore left.
    Process(FoundTask),
    /// The bind mount of a container's root directory that runc's restore left: this path.
    RuncRoot(PathBuf),
    /// What a killed runc keeps of a container that was checkpointed.
    RuncState(KeptState),
    /// A control group that stands still.
    Frozen { group: FrozenGroup, pids: Vec<u32> },
    /// Processes that a killed dump left damaged.
    Damage(Box<Patient>),
}

/// Whether something is mounted on a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    Mounted,
    Bare,
}

/// What an object is to people, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Something that runs is damaged.
    Damage,
    /// It belongs to images that a restore may need.
    Restorable,
    /// It belongs to images from which no restore is possible.
    Incomplete,
    /// It belongs to images that were restored since.
    Restored,
    /// It belongs to images of which it is not known what they are good for.
    Undecided,
    /// A crash left it, and no restore needs it.
    Litter,
    /// No images are known that it belongs to.
    Orphan,
    /// A criu at work may be using it.
    InUse,
    /// It only looks like something of CRIU.
    LookAlike,
}

impl Object {
    pub(super) fn new(thing: Thing, class: Class) -> Self {
        Object { thing, class, owner: None, since: None, holders: Vec::new(), remarks: Vec::new() }
    }

    /// By what `criu-gc rm` finds it again.
    pub(super) fn id(&self) -> Vec<u8> {
        match &self.thing {
            Thing::File { sighting, .. } | Thing::ElsewhereEntry { sighting, .. } => bytes(&sighting.path()),
            Thing::Entry { found, .. } => bytes(&found.path()),
            Thing::RuncRoot(path) => bytes(path),
            Thing::RuncState(state) => bytes(state.directory()),
            Thing::Rules { connection, found } => {
                let Connection { local, peer } = connection;
                format!("rule:{}:{local}-{peer}", found.namespace.id.inode).into_bytes()
            }
            Thing::Table(found) => format!("table:{}:{}", found.namespace.id.inode, found.view.name).into_bytes(),
            Thing::Chain(found) => format!("chain:{}:{}", found.namespace.id.inode, found.place).into_bytes(),
            Thing::Process(found) => format!("process:{}", found.task.pid).into_bytes(),
            Thing::Frozen { group, .. } => bytes(&group.directory),
            Thing::Damage(patient) => {
                format!("damage:{}", patient.pids.first().copied().unwrap_or_default()).into_bytes()
            }
        }
    }

    /// The path of a file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match &self.thing {
            Thing::File { sighting, .. } | Thing::ElsewhereEntry { sighting, .. } => Some(sighting.path()),
            Thing::Entry { found, .. } => Some(found.path()),
            Thing::RuncRoot(path) => Some(path.clone()),
            Thing::RuncState(state) => Some(state.directory().to_owned()),
            Thing::Frozen { group, .. } => Some(group.directory.clone()),
            Thing::Rules { .. } | Thing::Table(_) | Thing::Chain(_) | Thing::Process(_) | Thing::Damage(_) => None,
        }
    }

    /// The number of the network namespace of a lock.
    pub(super) fn network(&self) -> Option<u64> {
        match &self.thing {
            Thing::Rules { found, .. } => Some(found.namespace.id.inode),
            Thing::Table(found) => Some(found.namespace.id.inode),
            Thing::Chain(found) => Some(found.namespace.id.inode),
            Thing::File { .. }
            | Thing::Entry { .. }
            | Thing::ElsewhereEntry { .. }
            | Thing::RuncRoot(_)
            | Thing::RuncState(_)
            | Thing::Process(_)
            | Thing::Frozen { .. }
            | Thing::Damage(_) => None,
        }
    }

    /// The processes that it is, or that are damaged or stand still.
    pub(super) fn pids(&self) -> Vec<u32> {
        match &self.thing {
            Thing::Process(found) => vec![found.task.pid],
            Thing::Frozen { pids, .. } => pids.clone(),
            Thing::Damage(patient) => patient.pids.clone(),
            Thing::File { .. }
            | Thing::Entry { .. }
            | Thing::ElsewhereEntry { .. }
            | Thing::RuncRoot(_)
            | Thing::RuncState(_)
            | Thing::Rules { .. }
            | Thing::Table(_)
            | Thing::Chain(_) => Vec::new(),
        }
    }

    /// Whether it is the last name of a file.
    pub(super) fn is_last_name(&self) -> bool {
        matches!(&self.thing, Thing::File { sighting, .. } if sighting.identity.links < 2)
    }
}

fn bytes(path: &std::path::Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_owned()
}

impl Class {
    /// Its name for programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Damage => "damage",
            Class::Restorable => "restorable",
            Class::Incomplete => "incomplete",
            Class::Restored => "restored",
            Class::Undecided => "undecided",
            Class::Litter => "litter",
            Class::Orphan => "orphan",
            Class::InUse => "in-use",
            Class::LookAlike => "look-alike",
        }
    }
}
