// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which checkpoints are on this host, and whose an object is. Read-only.
//!
//! The index looks where runtimes keep images, where a criu works, and where the user says, and reads an outline of each
//! checkpoint. An outline only says which checkpoints may have left an object. Those are examined as `criu-gc --show`
//! examines them, and only that decides: an owner lists the object in its report.
//!
//! That no owner is found never proves that there is none: images can be in archives, or on other hosts. What was not read
//! is said.

mod claims;
mod entry;
mod matching;
mod places;
mod unseen;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use crate::connection::Connection;
use crate::host::Host;
use crate::record::store::RecordStore;
use crate::time::Timestamp;

use claims::Claims;
use entry::Entry;
pub use unseen::{Limit, Unseen, Why};

/// What is indexed.
#[derive(Debug, Clone, Default)]
pub struct IndexOptions {
    /// Directories with images, or with directories of images (`--images`).
    pub images: Vec<PathBuf>,
    /// Whether the stores of the engines are searched.
    pub stores: Stores,
    /// The records that outlive their images.
    pub record_store: RecordStore,
    /// After that nothing more is read.
    pub deadline: Option<Instant>,
    /// How much is read.
    pub limits: Limits,
}

/// Whether the stores of the engines are searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stores {
    /// All that are known.
    #[default]
    Search,
    /// None: only what the user names, and where a criu works.
    Skip,
}

/// How much is read. What is beyond is not indexed, and said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most checkpoints.
    pub checkpoints: usize,
    /// The most bytes of images and records.
    pub bytes: u64,
    /// The most checkpoints that are examined, counted once for each part of what they leave.
    pub candidates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { checkpoints: 2_000, bytes: 1 << 30, candidates: 500 }
    }
}

/// The checkpoints of this host.
#[derive(Debug)]
pub struct Index {
    checkpoints: Vec<Indexed>,
    entries: Vec<Entry>,
    unseen: Vec<Unseen>,
    options: IndexOptions,
    claims: Claims,
}

/// A checkpoint on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The images directory, the archive with the directory in it, or the record: what `criu-gc` takes.
    pub directory: PathBuf,
    /// What it can be used for.
    pub state: State,
    /// When its images were written.
    pub written: Option<Timestamp>,
    /// What holds the images.
    pub source: Source,
    /// Who made it, where the place tells.
    pub holder: Holder,
    /// Processes of CRIU's that have its directory open.
    pub processes: BTreeSet<u32>,
}

/// What a checkpoint can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The images are whole, and nothing shows a restore.
    Restorable,
    /// The dump did not come to its end, or images are cut or missing.
    Incomplete,
    /// The record, CRIU's statistics or its log says that it was restored.
    Restored,
    /// Its images could not be read, or are not on this host.
    Unknown,
}

/// What holds the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A directory.
    Directory,
    /// An archive.
    Archive,
    /// Nothing: only the record of the dump is there.
    Record,
}

/// Who made a checkpoint, as far as the place of its images tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The engine.
    pub engine: Option<Engine>,
    /// The user, if it is not root.
    pub user: Option<String>,
    /// The name or id of the container.
    pub container: Option<String>,
}

/// An engine that keeps checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// podman.
    Podman,
    /// Docker.
    Docker,
    /// containerd.
    Containerd,
    /// The kubelet.
    Kubelet,
    /// runc or crun.
    OciRuntime,
    /// LXC.
    Lxc,
    /// Incus or LXD.
    Incus,
    /// zeropod.
    Zeropod,
}

/// An object that may be a checkpoint's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A name of a file.
    Name {
        /// The device of the file: major and minor number.
        device: (u32, u32),
        /// The inode number of the file.
        inode: u64,
        /// The name, by a path of this host.
        path: PathBuf,
    },
    /// A table of nftables, of family `inet`.
    Table {
        /// The inode number of the network namespace.
        netns_inode: u64,
        /// The name of the table.
        name: String,
    },
    /// The chain `CRIU` of iptables.
    Chain {
        /// The inode number of the network namespace.
        netns_inode: u64,
    },
    /// A rule that drops the packets of one connection.
    Rule {
        /// The inode number of the network namespace.
        netns_inode: u64,
        /// The connection, in either direction.
        connection: Connection,
    },
    /// A process.
    Process {
        /// Its pid here.
        pid: i32,
    },
    /// A directory, or another entry that CRIU makes for itself.
    Directory {
        /// Its path.
        path: PathBuf,
    },
}

/// Whose an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership<'a> {
    /// No checkpoint of the index claims it. There may be others.
    Unclaimed,
    /// One checkpoint claims it, and all tests agree.
    Certain(&'a Indexed),
    /// One checkpoint names it, and a test disagrees: something may have changed since, or it is another's of the same name.
    Doubtful(&'a Indexed),
    /// Several checkpoints claim it, and no test decides.
    Ambiguous(Vec<&'a Indexed>),
}

impl Index {
    /// Reads outlines of the checkpoints on this host. `host` shows the processes.
    pub fn build(options: &IndexOptions, host: &Host) -> Index {
        let read = entry::read_all(options, host);
        let claims = Claims::default();
        let checkpoints = read.entries.iter().map(Entry::indexed).collect();
        Index { checkpoints, entries: read.entries, unseen: read.unseen, options: options.clone(), claims }
    }

    /// The checkpoints that were found.
    pub fn checkpoints(&self) -> &[Indexed] {
        &self.checkpoints
    }

    /// What could not be read: it may hold checkpoints that are not indexed, and claim objects without an owner here.
    pub fn unseen(&self) -> Vec<Unseen> {
        self.unseen.iter().cloned().chain(self.claims.unseen()).collect()
    }

    /// Whether something was left out because of a limit.
    pub fn hit_limit(&self) -> bool {
        self.unseen().iter().any(|unseen| matches!(unseen.why, Why::Limit(_)))
    }

    /// The checkpoint that an object is of, as [`Index::ownership`] tells; `None` if there is none, or several claim it.
    pub fn owner(&self, object: &Object) -> Option<&Indexed> {
        match self.ownership(object) {
            Ownership::Certain(owner) | Ownership::Doubtful(owner) => Some(owner),
            Ownership::Unclaimed | Ownership::Ambiguous(_) => None,
        }
    }

    /// Whose an object is.
    pub fn ownership(&self, object: &Object) -> Ownership<'_> {
        self.settle(std::slice::from_ref(object));
        let claimants = self.claims.claimants(object);
        let of = |agrees: bool| -> Vec<&Indexed> {
            let meant = claimants.iter().filter(|(_, each)| each.agrees() == agrees);
            meant.map(|(at, _)| &self.checkpoints[*at]).collect()
        };
        let (certain, doubtful) = (of(true), of(false));
        match (certain.as_slice(), doubtful.as_slice()) {
            ([], []) => Ownership::Unclaimed,
            ([one], _) => Ownership::Certain(one),
            ([], [one]) => Ownership::Doubtful(one),
            ([], several) | (several, _) => Ownership::Ambiguous(several.to_vec()),
        }
    }

    /// Examines the checkpoints that may have left one of these objects, all of them with one picture of the host: faster than
    /// one object after the other. What was examined is remembered.
    pub fn settle(&self, objects: &[Object]) {
        let mut wanted: BTreeMap<claims::Part, BTreeSet<usize>> = BTreeMap::new();
        for object in objects {
            let candidates = matching::candidates(&self.entries, object);
            wanted.entry(claims::Part::of(object)).or_default().extend(candidates);
        }
        for (part, candidates) in wanted {
            self.claims.examine(&self.entries, &self.options, part, candidates);
        }
        // A mount can show a file at another path than the images do: then only its name is the same.
        let mut more: BTreeSet<usize> = BTreeSet::new();
        for object in objects.iter().filter(|object| matches!(object, Object::Name { .. })) {
            if self.claims.claimants(object).is_empty() {
                more.extend(matching::by_name(&self.entries, object));
            }
        }
        self.claims.examine(&self.entries, &self.options, claims::Part::Names, more);
    }
}

/// Whether two connections are the same, seen from either end.
fn is_same_connection(one: &Connection, other: &Connection) -> bool {
    let ends = |connection: &Connection| -> BTreeSet<SocketAddr> { [connection.local, connection.peer].into() };
    ends(one) == ends(other)
}

#[cfg(test)]
mod tests;
