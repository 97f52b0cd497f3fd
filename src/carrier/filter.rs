// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What CRIU writes into netfilter: rules of single connections, tables, and the chain that locks a namespace.

mod look;
mod metadata;
mod recorded_namespace;
mod remove;

use std::sync::Arc;

use crate::connection::{Connection, TableForm};
use crate::firewall::{ChainView, FilterPlace, Reading, RuleId, RuleKey, TableView};
use crate::system::netns::{NetworkId, NetworkName};

pub use look::ProbeError;
pub(crate) use look::look;
pub(crate) use remove::{FilterRemoval, remove};

/// What to look for in network namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterQuery {
    /// The rules that drop the packets of one connection.
    Rules {
        /// The connection.
        connection: Connection,
        /// What they may look like.
        forms: RuleForms,
    },
    /// A connection that is dropped by elements in the sets of the checkpoint's table.
    InTable {
        /// The connection.
        connection: Connection,
    },
    /// A table of family `inet`.
    Table {
        /// The names that it may have.
        names: Vec<TableName>,
        /// What it holds.
        form: TableForm,
    },
    /// The chain `CRIU` with the jumps to it.
    Chain,
}

/// The forms of rule that the version of CRIU which made the images may have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleForms {
    /// With `-m mark ! --mark 0xC114`: 2.10 and later.
    Marked,
    /// Also without it: the images are older than 3.4 and may be older than 2.10.
    MarkedOrNot,
}

/// A name of a table of family `inet`, and what it proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableName {
    /// `CRIU-<run id>`, of 4.3 and later: of this dump and no other.
    RunId(String),
    /// `CRIU-<first 21 characters of the run id>`, of 4.1 and 4.2: the same, for all that chance can do.
    CutRunId(String),
    /// `CRIU-<pid of the root task>`, of 3.16 to 4.0: pids are used again, so the name alone proves nothing.
    RootPid(String),
}

impl TableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        match self {
            TableName::RunId(name) | TableName::CutRunId(name) | TableName::RootPid(name) => name,
        }
    }

    /// Whether the name says by itself that the table is this dump's.
    pub fn is_signed(&self) -> bool {
        !matches!(self, TableName::RootPid(_))
    }
}

/// Where the network namespace is that the record of a dump names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordedNamespace {
    /// There is no record of one, or nobody can tell.
    #[default]
    Unknown,
    /// It is none of those that were found.
    NotFound,
    /// It is the one with this device and inode number.
    Found(NetworkId),
}

/// The rules of one connection.
#[derive(Debug, Clone)]
pub struct FoundRules {
    /// The namespace that they are in.
    pub namespace: Arc<NetworkName>,
    /// Each of them.
    pub rules: Vec<FoundRule>,
    /// For how long their handles hold, where that was read.
    pub readings: Vec<(FilterPlace, Reading)>,
    /// What ties the namespace to the checkpoint, where something does.
    pub tie: Option<Tie>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoundRule {
    /// Which of the filter tables.
    pub place: FilterPlace,
    /// nf_tables' handle of that table.
    pub table: Option<u64>,
    /// What it says.
    pub key: RuleKey,
    /// Which one it is.
    pub id: RuleId,
}

/// A lock table.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// The namespace that it is in.
    pub namespace: Arc<NetworkName>,
    /// Which of the possible names it has.
    pub name: TableName,
    /// What it holds.
    pub view: TableView,
    /// What ties the namespace to the checkpoint, where something does.
    pub tie: Option<Tie>,
}

/// A lock chain.
#[derive(Debug, Clone)]
pub struct FoundChain {
    /// The namespace that it is in.
    pub namespace: Arc<NetworkName>,
    /// Which of the filter tables.
    pub place: FilterPlace,
    /// What it holds.
    pub view: ChainView,
    /// What ties the namespace to the checkpoint, where something does.
    pub tie: Option<Tie>,
}

/// What ties a network namespace to a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// The user named it.
    Named,
    /// CRIU ran in it, as far as the tool can know: it is the tool's own.
    Own,
    /// It has the devices and addresses that the images record, and no other namespace has.
    Devices,
    /// The record of the dump names it.
    Recorded,
    /// The metadata of this host's own engine names it, and it is older than the images.
    Metadata,
    /// The dump was interrupted, and its tree is in it.
    Tree,
}
