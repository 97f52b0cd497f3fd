// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lock chains: the chain `CRIU` of iptables' filter table, with which a dump locked the tree's own network namespace
//! (`criu/net.c`, since v0.3).

use super::network_lock::Method;
use super::{Basis, Claims, Description, Kind, LeftBy, Target};
use crate::carrier::{FilterQuery, FoundChain, Query};
use crate::checkpoint::{Checkpoint, NetworkScope};
use crate::evidence::Evidence;
use crate::firewall::rule_shape::LOCK_CHAIN;
use crate::part::Part;
use crate::reason::KeepReason;

/// The chain `CRIU` of the filter table with the jumps to it: the network namespace is closed. It has no owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockChain {
    /// The entries that say so.
    pub evidence: Vec<Evidence>,
}

impl Kind for LockChain {
    type Found = FoundChain;
    const LEFT_BY: LeftBy = LeftBy::Dump;
    const PART: Part = Part::Network;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        let is_possible = match Method::of(checkpoint) {
            Method::Iptables | Method::Either => checkpoint.network_scope() != NetworkScope::Criu,
            Method::Nothing | Method::Nftables | Method::Unknown(_) => false,
        };
        // A dump that took back what it did left none, and images without an inventory cannot be restored: one that is there
        // is another dump's.
        let was_taken_back = checkpoint.rolled_back.is_some() && checkpoint.inventory.is_none();
        if is_possible && !was_taken_back {
            claims.add(LockChain { evidence: checkpoint.network_evidence() });
        }
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        Query::Filter(FilterQuery::Chain)
    }

    fn objections(&self, found: &FoundChain, basis: &Basis<'_>) -> Vec<KeepReason> {
        let mut reasons = basis.about_unsigned();
        if !basis.is_tied(found.tie) {
            reasons.push(KeepReason::UntiedNamespace);
        }
        if !found.view.foreign.is_empty() {
            reasons.push(KeepReason::ForeignContent);
        }
        // Each dump adds one jump from each side, and so may each failed restore. Nothing tells them apart but a record; but
        // what locks a tree that runs on is of interrupted dumps.
        let own = 1 + basis.checkpoint.restores.locks(basis.changes);
        if found.view.times_closed() > own && !basis.is_recorded() && !basis.tree.runs_on() {
            reasons.push(KeepReason::SharedLock);
        }
        reasons
    }

    fn describe(&self, _: Option<&FoundChain>) -> Description {
        Description {
            kind: "network-lock-chain",
            fields: vec![("chain", LOCK_CHAIN.into())],
            label: "Network lock chain",
            name: LOCK_CHAIN.into(),
            target: Target::Namespace,
            remark: None,
            recognised: None,
        }
    }
}
