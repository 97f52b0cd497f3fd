// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Locked connections: single TCP connections whose packets are dropped since the dump, in the network namespace in
//! which CRIU ran (`criu/netfilter.c`, since v0.3; with nftables since v3.16).

use std::collections::HashSet;
use std::sync::Arc;

use super::network_lock::Method;
use super::{Basis, Claims, Description, Kind, LeftBy, Target};
use crate::carrier::filter::{FoundRule, RuleForms};
use crate::carrier::{FilterQuery, FoundRules, Query};
use crate::checkpoint::{Checkpoint, LoggedLock, NetworkScope};
use crate::connection::{Connection, Direction, Flow};
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

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

impl Kind for LockedConnection {
    type Found = FoundRules;
    const LEFT_BY: LeftBy = LeftBy::Dump;
    const PART: Part = Part::Network;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        let forms = if checkpoint.is_older_than_3_4() { RuleForms::MarkedOrNot } else { RuleForms::Marked };
        let lock = match Method::of(checkpoint) {
            Method::Iptables | Method::Either => ConnectionLock::Rules(forms),
            Method::Nftables => ConnectionLock::Table,
            Method::Nothing => return,
            Method::Unknown(method) => {
                let text = format!("the network was locked with method {method}, which this criu-gc does not support");
                claims.add_unknown(Self::PART, text);
                return;
            }
        };
        // What a dump took back that cannot be restored is not there; rules of the same connection are another dump's.
        let was_taken_back = checkpoint.rolled_back.is_some() && checkpoint.inventory.is_none();
        if checkpoint.network_scope() != NetworkScope::Own && !was_taken_back {
            for socket in checkpoint.locked_sockets() {
                let (connection, evidence) = (socket.connection, vec![socket.evidence.clone()]);
                claims.add(LockedConnection { connection, lock, evidence });
            }
            // By the log of an interrupted dump, the rules are where CRIU ran, whatever the tree's namespace is.
            if let Some(log) = checkpoint.log_file.as_ref().filter(|_| checkpoint.is_interrupted()) {
                logged(checkpoint, &log.name, forms).for_each(|lock| claims.add(lock));
            }
        }
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        let connection = self.connection;
        Query::Filter(match self.lock {
            ConnectionLock::Rules(forms) => FilterQuery::Rules { connection, forms },
            ConnectionLock::Table => FilterQuery::InTable { connection },
        })
    }

    fn objections(&self, found: &FoundRules, basis: &Basis<'_>) -> Vec<KeepReason> {
        let mut reasons = basis.about_unsigned();
        if self.is_locked_twice(found) && basis.checkpoint.is_interrupted() && !basis.tree.runs_on() {
            reasons.push(KeepReason::SharedLock);
        }
        if !basis.is_tied(found.tie) {
            reasons.push(KeepReason::UntiedNamespace);
        }
        reasons
    }

    fn describe(&self, _: Option<&FoundRules>) -> Description {
        let Connection { local, peer } = self.connection;
        let (local, peer) = (end(local), end(peer));
        Description {
            kind: "locked-connection",
            fields: vec![("local", local.clone().into()), ("peer", peer.clone().into())],
            label: "Locked tcp connection",
            name: local.into_bytes(),
            target: Target::Is(peer.into_bytes()),
            remark: None,
            recognised: None,
        }
    }
}

impl LockedConnection {
    /// Whether a dump of the same tree, after one that was interrupted, put the same rules there once more. That dump needs its
    /// own ones, unless the tree runs on.
    fn is_locked_twice(&self, found: &FoundRules) -> bool {
        let copies = |rule: &FoundRule| {
            let is_same = |other: &&FoundRule| (other.place, other.key) == (rule.place, rule.key);
            found.rules.iter().filter(is_same).count()
        };
        found.rules.iter().any(|rule| copies(rule) > 1)
    }
}

/// Connections that only the log names. A rule of it can be there without the other of its pair.
fn logged(checkpoint: &Checkpoint, log: &str, forms: RuleForms) -> impl Iterator<Item = LockedConnection> {
    let flows = |connection: &Connection| Direction::BOTH.map(|direction| connection.flow(direction));
    let image: Arc<str> = log.into();
    let mut known: HashSet<[Flow; 2]> = checkpoint.locked_sockets().map(|socket| flows(&socket.connection)).collect();
    checkpoint.log.locked.iter().filter(move |logged| known.insert(flows(&logged.connection))).map(
        move |LoggedLock { connection, line, offset }| LockedConnection {
            connection: *connection,
            lock: ConnectionLock::Rules(forms),
            evidence: vec![Evidence { image: Arc::clone(&image), record: *line, offset: *offset }],
        },
    )
}

/// Address and port as 2016 wrote them: IPv6 without brackets.
fn end(address: std::net::SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}
