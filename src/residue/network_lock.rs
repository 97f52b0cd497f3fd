// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network locks: what a dump put into netfilter so that the dumped connections' packets are dropped
//! (`criu/netfilter.c`, `criu/net.c`).
//!
//! Which of them it was follows from the method in the inventory and from whether the tree had a network namespace of
//! its own. Where the images do not tell, every possibility is derived: what is not there will not be found.

use criu_images::NetworkLock;

use super::{Connection, Derived, Direction, Evidence, Flow, NetworkScope, Residue, TableForm, Unknown};
use crate::checkpoint::{Checkpoint, RunId};

/// Length of the cut run id: CRIU 4.1 and 4.2 build `inet CRIU-<run id>` in 32 bytes.
const CUT_RUN_ID: usize = 21;

/// A connection whose packets the dump dropped from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedConnection {
    /// Its two ends.
    pub connection: Connection,
    /// How it was locked.
    pub lock: ConnectionLock,
    /// The entry of the socket.
    pub evidence: Vec<Evidence>,
}

/// How a single connection was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionLock {
    /// By iptables rules of its own.
    Rules(RuleForms),
    /// By elements in the sets of the checkpoint's nftables table.
    Table,
}

/// The forms of rule that the version of CRIU which made the images may have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleForms {
    /// With `-m mark ! --mark 0xC114`: 2.10 and later.
    Marked,
    /// Also without it: the images are older than 3.4 and may be older than 2.10.
    MarkedOrNot,
}

/// The nftables table of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockTable {
    /// The names that it may have, by the version of CRIU.
    pub names: Vec<TableName>,
    /// What it holds.
    pub form: TableForm,
    /// The flows that its sets may hold, as far as the images know them.
    pub flows: Vec<Flow>,
    /// The entries that name it.
    pub evidence: Vec<Evidence>,
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

/// The chain `CRIU` of the filter table with the jumps to it: the network namespace is closed. It has no owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockChain {
    /// CRIU's own number of the namespace, which is the number in the names of its images; not known outside them.
    pub namespace: Option<u32>,
    /// The entries that say so.
    pub evidence: Vec<Evidence>,
}

pub(super) fn derive(checkpoint: &Checkpoint, derived: &mut Derived) {
    let scope = checkpoint.network_scope();
    match checkpoint.network_lock() {
        Some(NetworkLock::Skip) => {}
        Some(NetworkLock::Iptables) => add_iptables(checkpoint, scope, derived),
        Some(NetworkLock::Nftables) => add_nftables(checkpoint, scope, derived),
        // Also what a later criu-images has a name for.
        Some(lock) => derived.unknown.push(Unknown::LockMethod { method: lock.into() }),
        None => {
            add_iptables(checkpoint, scope, derived);
            if let Some(table) = table(checkpoint, scope) {
                derived.residues.push(Residue::LockTable(table));
            }
        }
    }
}

fn add_iptables(checkpoint: &Checkpoint, scope: NetworkScope, derived: &mut Derived) {
    if scope != NetworkScope::Own {
        let forms = if checkpoint.is_older_than_3_4() { RuleForms::MarkedOrNot } else { RuleForms::Marked };
        add_connections(checkpoint, ConnectionLock::Rules(forms), derived);
    }
    if scope != NetworkScope::Criu {
        let chain =
            LockChain { namespace: checkpoint.root_network_namespace(), evidence: checkpoint.network_evidence() };
        derived.residues.push(Residue::LockChain(chain));
    }
}

fn add_nftables(checkpoint: &Checkpoint, scope: NetworkScope, derived: &mut Derived) {
    if scope != NetworkScope::Own {
        add_connections(checkpoint, ConnectionLock::Table, derived);
    }
    match table(checkpoint, scope) {
        Some(table) => derived.residues.push(Residue::LockTable(table)),
        None => derived.unknown.push(Unknown::TableName),
    }
}

fn add_connections(checkpoint: &Checkpoint, lock: ConnectionLock, derived: &mut Derived) {
    derived.residues.extend(checkpoint.locked_sockets().map(|socket| {
        Residue::Connection(LockedConnection {
            connection: socket.connection,
            lock,
            evidence: vec![socket.evidence.clone()],
        })
    }));
}

fn table(checkpoint: &Checkpoint, scope: NetworkScope) -> Option<LockTable> {
    let names = match checkpoint.run_id() {
        Some(RunId { text, .. }) => {
            vec![TableName::RunId(format!("CRIU-{text}")), TableName::CutRunId(format!("CRIU-{}", &text[..CUT_RUN_ID]))]
        }
        None => vec![TableName::RootPid(format!("CRIU-{}", checkpoint.real_root_pid()?))],
    };
    let flows = checkpoint
        .locked_sockets()
        .flat_map(|socket| Direction::BOTH.map(|direction| socket.connection.flow(direction)))
        .collect();
    let form = match scope {
        NetworkScope::Criu => TableForm::Connections,
        NetworkScope::Own => TableForm::Closed,
        NetworkScope::Unknown => TableForm::Either,
    };
    Some(LockTable { names, form, flows, evidence: checkpoint.network_evidence() })
}

#[cfg(test)]
mod tests;
