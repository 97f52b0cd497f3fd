// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lock tables: the nftables table of family `inet` with which a dump locked connections or a network namespace
//! (`criu/netfilter.c`, since v3.16).

use std::collections::HashSet;

use super::network_lock::Method;
use super::{Basis, Claims, Description, Kind, LeftBy, Target};
use crate::carrier::filter::TableName;
use crate::carrier::{FilterQuery, FoundTable, Query};
use crate::checkpoint::{Checkpoint, NetworkScope, RunId};
use crate::connection::{Direction, Flow, TableForm};
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// Length of the cut run id: CRIU 4.1 and 4.2 build `inet CRIU-<run id>` in 32 bytes.
const CUT_RUN_ID: usize = 21;

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

impl Kind for LockTable {
    type Found = FoundTable;
    const LEFT_BY: LeftBy = LeftBy::Dump;
    const PART: Part = Part::Network;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        match Method::of(checkpoint) {
            Method::Nothing | Method::Iptables | Method::Unknown(_) => {}
            Method::Either => claims.residues.extend(table(checkpoint).map(Into::into)),
            Method::Nftables if checkpoint.has_odd_run_id() => claims.add_unknown(
                Self::PART,
                "inventory.img has a run id that CRIU would not have written so; the table that it names, if any, is kept",
            ),
            Method::Nftables => match table(checkpoint) {
                Some(table) => claims.add(table),
                None => claims.add_unknown(
                    Self::PART,
                    "the network was locked with nftables, but the images do not give the table's name",
                ),
            },
        }
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        Query::Filter(FilterQuery::Table { names: self.names.clone(), form: self.form })
    }

    fn objections(&self, found: &FoundTable, basis: &Basis<'_>) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        if !found.view.foreign.is_empty() || !self.form.admits(found.view.form) {
            reasons.push(KeepReason::ForeignContent);
        }
        if found.name.is_signed() {
            return reasons;
        }
        let known: HashSet<&Flow> = self.flows.iter().collect();
        if !found.view.flows.iter().all(|flow| known.contains(flow)) {
            reasons.push(KeepReason::ForeignContent);
        }
        if !basis.is_tied(found.tie) {
            reasons.push(KeepReason::UntiedNamespace);
        }
        reasons.extend(basis.about_unsigned());
        reasons
    }

    fn describe(&self, found: Option<&FoundTable>) -> Description {
        let names = match found {
            Some(found) => std::slice::from_ref(&found.name),
            None => &self.names,
        };
        let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
        // The others are the first one, cut.
        let name = names.first().map_or("", String::as_str);
        Description {
            kind: "network-lock-table",
            label: "Network lock table",
            name: format!("inet {name}").into_bytes(),
            fields: vec![("names", names.into())],
            target: Target::Namespace,
            remark: None,
            recognised: None,
        }
    }
}

fn table(checkpoint: &Checkpoint) -> Option<LockTable> {
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
    let form = match checkpoint.network_scope() {
        NetworkScope::Criu => TableForm::Connections,
        NetworkScope::Own => TableForm::Closed,
        NetworkScope::Unknown => TableForm::Either,
    };
    Some(LockTable { names, form, flows, evidence: checkpoint.network_evidence() })
}
