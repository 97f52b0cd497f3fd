// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for network locks in the network namespaces where they can be.
//!
//! Rules of single connections are where CRIU ran: in the tool's own namespace, or in those that the user named. They
//! are looked for everywhere all the same: found elsewhere, nothing ties them to this checkpoint, but they are not gone.
//! A table with the run id in its name is looked for everywhere. A lock chain has no owner, so what ties its namespace
//! to the checkpoint is found out as well; that no other namespace has such a chain is no tie.
//!
//! What was found where it was expected ends the search. Only what was not is looked for in namespaces that no process
//! is in, and is said to be gone only if all of them were looked into.

mod devices;
mod scene;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use super::{Cause, Finding, Hints, Presence, ProbeError, Search, Survey, metadata, record};
use crate::checkpoint::Checkpoint;
use crate::connection::Direction;
use crate::firewall::{Filters, Parts};
use crate::host::{self, Host, Looked};
use crate::residue::{ConnectionLock, LockedConnection, Residue, TableName};
use crate::system::netns::{self, NetNamespace};
use scene::{Scene, Terms};

/// The name of the tool's own namespace: it says which one is meant, and `--netns` takes it.
const OWN_NAMESPACE: &str = "/proc/self/ns/net";

pub(super) fn look(
    host: &Host,
    checkpoint: &Checkpoint,
    locks: Vec<Residue>,
    hints: &Hints,
    survey: &mut Survey,
) -> Result<(), ProbeError> {
    let named = named_namespaces(checkpoint, hints)?;
    if locks.is_empty() && checkpoint.run_id().is_none() {
        return Ok(());
    }
    let own = netns::current()?.named(OWN_NAMESPACE);
    // What the user says is not asked of the metadata.
    let of_metadata = match named.is_empty() && !locks.is_empty() {
        true => metadata::network_namespaces(host, checkpoint, &hints.metadata, &mut survey.notes),
        false => Vec::new(),
    };
    let mut terms = Terms {
        checkpoint,
        locks: &locks,
        parts: parts(&locks),
        left: AtomicUsize::new(scene::LIMIT),
        own: own.id(),
        named: named.iter().map(NetNamespace::id).collect(),
        configured: of_metadata.iter().map(NetNamespace::id).collect(),
        recorded: super::RecordedNamespace::Unknown,
    };
    let mut networks = host.named_networks(named.into_iter().chain([own]).chain(of_metadata).collect());
    if hints.search == Search::Everywhere {
        host.add_networks(&mut networks);
    }
    terms.recorded = record::find(checkpoint.record.record(), &networks.list);
    let mut scene = Scene::open(&terms, &networks);
    if hints.search == Search::Everywhere && !scene.has_all() {
        let known = networks.list.len();
        host.add_hidden_networks(&mut networks, &super::trace_of(checkpoint));
        let hidden = networks.split_off(known);
        if matches!(terms.recorded, super::RecordedNamespace::NotFound) {
            terms.recorded = record::find(checkpoint.record.record(), &hidden.list);
        }
        scene = scene.with(&terms, &hidden);
    }
    scene.tie_by_devices(&checkpoint.network);
    answer(&scene, &locks, hints, survey);
    survey.tree.criu.extend(scene.criu());
    survey.recorded_namespace = terms.recorded;
    survey.namespaces = scene.names();
    Ok(())
}

/// An answer for each lock.
fn answer(scene: &Scene<'_>, locks: &[Residue], hints: &Hints, survey: &mut Survey) {
    let has_chain = locks.iter().any(|lock| matches!(lock, Residue::LockChain(_)));
    if has_chain && !scene.is_tied() {
        survey.notes.extend(metadata::words_of_strangers(&hints.metadata));
    }
    let tables: Vec<Presence> = locks.iter().flat_map(|lock| scene.table_of(lock)).collect();
    let first = survey.findings.len();
    for residue in locks {
        match residue {
            Residue::Connection(locked) => {
                let presences = match locked.lock {
                    ConnectionLock::Rules(forms) => scene.connection(&locked.connection, forms),
                    ConnectionLock::Table => vec![scene.in_table(&locked.connection, &tables)],
                };
                survey.findings.extend(spread(residue, presences));
            }
            Residue::LockTable(_) => {
                let presences = scene.table_of(residue);
                survey.findings.extend(spread(residue, presences));
            }
            Residue::LockChain(_) => {
                survey.findings.extend(spread(residue, scene.chains()));
                survey.notes.extend(scene.chains_elsewhere());
            }
            Residue::LinkRemap(_) => {}
        }
    }
    let is_open = |finding: &Finding| matches!(finding.presence, Presence::Unreachable(_));
    // What could not be looked at matters to what was not found; and next to what was found there may be more.
    if survey.findings[first..].iter().any(is_open) {
        survey.failures.extend(scene.failures());
    } else {
        survey.failures.extend(scene.own_failures());
    }
}

/// One finding for each place where an object was found.
fn spread(residue: &Residue, found: Vec<Presence>) -> Vec<Finding> {
    found.into_iter().map(|presence| Finding { residue: residue.clone(), presence }).collect()
}

/// It is nowhere, if every place where it could be was looked at.
fn absent(looked: Option<Looked>) -> Presence {
    looked.map_or(Presence::Unreachable(Cause::Firewall), Presence::Gone)
}

/// What to look for: the tables that the images name, and what of the filter tables is needed.
fn parts(locks: &[Residue]) -> Parts {
    let (mut tables, mut flows, mut has_chain, mut has_rules) = (Vec::new(), HashSet::new(), false, false);
    for lock in locks {
        match lock {
            Residue::LockTable(table) => tables.extend(table.names.iter().map(TableName::as_str).map(str::to_owned)),
            Residue::LockChain(_) => has_chain = true,
            Residue::Connection(LockedConnection { connection, lock: ConnectionLock::Rules(_), .. }) => {
                has_rules = true;
                flows.extend(Direction::BOTH.map(|direction| connection.flow(direction)));
            }
            Residue::Connection(_) | Residue::LinkRemap(_) => {}
        }
    }
    let filters = match (has_rules, has_chain) {
        (true, _) => Filters::All(flows),
        (false, true) => Filters::LockChain,
        (false, false) => Filters::Nothing,
    };
    Parts { tables, filters }
}

/// The namespaces that the user named, those for the key of the images among them.
fn named_namespaces(checkpoint: &Checkpoint, hints: &Hints) -> Result<Vec<NetNamespace>, ProbeError> {
    let for_key = hints
        .external_namespaces
        .iter()
        .filter(|(key, _)| checkpoint.network.external_key.as_ref() == Some(key))
        .map(|(_, path)| path);
    hints.namespaces.iter().chain(for_key).map(|path| open_named(path)).collect()
}

fn open_named(path: &Path) -> Result<NetNamespace, ProbeError> {
    let theirs = path.to_owned();
    match host::answer(&[path], move || netns::open(&theirs)) {
        Some(opened) => Ok(opened?),
        None => Err(ProbeError::Silent(host::does_not_answer(path))),
    }
}
