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

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use super::{FilterQuery, RecordedNamespace, TableName, metadata, recorded_namespace};
use crate::carrier::{Cause, Hints, Presence, Search};
use crate::checkpoint::Checkpoint;
use crate::connection::Direction;
use crate::firewall::{Filters, LookFailure, Parts};
use crate::host::{self, Host, Looked};
use crate::system::netns::{self, NetNamespace};
use crate::tree::{LiveTask, trace_of};
use scene::{Scene, Terms};

/// The name of the tool's own namespace: it says which one is meant, and `--netns` takes it.
const OWN_NAMESPACE: &str = "/proc/self/ns/net";

/// What was found in network namespaces.
#[derive(Debug, Default)]
pub(crate) struct FilterSurvey {
    /// For each query one answer for each place where something was found; never none.
    pub(crate) answers: Vec<Vec<Presence>>,
    /// What could not be looked at.
    pub(crate) failures: Vec<LookFailure>,
    /// What the reader should know to understand what was found.
    pub(crate) notes: Vec<String>,
    /// The namespaces that were looked into, by names for people.
    pub(crate) namespaces: Vec<String>,
    /// criu processes that work on the images, by their sockets.
    pub(crate) criu: Vec<LiveTask>,
    /// Where the network namespace of the record is.
    pub(crate) recorded: RecordedNamespace,
}

/// An error that makes any answer worthless.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A namespace that the user named cannot be opened.
    #[error(transparent)]
    Namespace(#[from] crate::system::netns::Error),
    /// A namespace that the user named is on a filesystem that does not answer.
    #[error("cannot open a network namespace: {0}")]
    Silent(String),
}

/// Looks for everything that is asked for, and for a criu at work. The tree of an interrupted dump is in `inhabited`.
pub(crate) fn look(
    host: &Host,
    checkpoint: &Checkpoint,
    queries: &[FilterQuery],
    hints: &Hints,
    inhabited: BTreeSet<u64>,
) -> Result<FilterSurvey, ProbeError> {
    let mut survey = FilterSurvey::default();
    let named = named_namespaces(checkpoint, hints)?;
    if queries.is_empty() && checkpoint.run_id().is_none() {
        return Ok(survey);
    }
    let own = netns::current()?.named(OWN_NAMESPACE);
    // What the user says is not asked of the metadata.
    let metadata = match named.is_empty() && !queries.is_empty() {
        true => metadata::network_namespaces(host, checkpoint, &hints.metadata, &mut survey.notes),
        false => metadata::Named::default(),
    };
    let metadata::Named { by_engine, by_strangers, lost } = metadata;
    let mut terms = Terms {
        checkpoint,
        queries,
        parts: parts(queries),
        left: AtomicUsize::new(scene::LIMIT),
        own: own.id(),
        named: named.iter().map(NetNamespace::id).collect(),
        configured: by_engine.iter().map(NetNamespace::id).collect(),
        mentioned: by_engine.iter().chain(&by_strangers).map(NetNamespace::id).collect(),
        lost,
        recorded: RecordedNamespace::Unknown,
        inhabited,
    };
    let mut networks =
        host.named_networks(named.into_iter().chain([own]).chain(by_engine).chain(by_strangers).collect());
    if hints.search == Search::Everywhere {
        host.add_networks(&mut networks);
    }
    terms.recorded = recorded_namespace::find(checkpoint.record.record(), &networks.list);
    let mut scene = Scene::open(&terms, &networks);
    if hints.search == Search::Everywhere && !scene.has_all() {
        let known = networks.list.len();
        host.add_hidden_networks(&mut networks, &trace_of(checkpoint));
        let hidden = networks.split_off(known);
        if matches!(terms.recorded, RecordedNamespace::NotFound) {
            terms.recorded = recorded_namespace::find(checkpoint.record.record(), &hidden.list);
        }
        scene = scene.with(&terms, &hidden);
    }
    scene.tie_by_devices(&checkpoint.network);
    answer(&scene, queries, hints, &mut survey);
    survey.criu = scene.criu().collect();
    survey.recorded = terms.recorded;
    survey.namespaces = scene.names();
    Ok(survey)
}

/// An answer for each lock.
fn answer(scene: &Scene<'_>, queries: &[FilterQuery], hints: &Hints, survey: &mut FilterSurvey) {
    let has_chain = queries.contains(&FilterQuery::Chain);
    if has_chain && !scene.is_tied() {
        survey.notes.extend(metadata::words_of_strangers(&hints.metadata));
    }
    let tables: Vec<Presence> = queries.iter().flat_map(|query| scene.table_of(query)).collect();
    for query in queries {
        survey.answers.push(match query {
            FilterQuery::Rules { connection, forms } => scene.connection(connection, *forms),
            FilterQuery::InTable { connection } => vec![scene.in_table(connection, &tables)],
            FilterQuery::Table { .. } => scene.table_of(query),
            FilterQuery::Chain => {
                survey.notes.extend(scene.strange_chains());
                scene.chains()
            }
        });
    }
    let is_open = |presence: &Presence| matches!(presence, Presence::Unreachable(_));
    // What could not be looked at matters to what was not found; and next to what was found there may be more.
    if survey.answers.iter().flatten().any(is_open) {
        survey.failures.extend(scene.failures());
    } else {
        survey.failures.extend(scene.own_failures());
    }
}

/// It is nowhere, if every place where it could be was looked at.
fn absent(looked: Option<Looked>) -> Presence {
    looked.map_or(Presence::Unreachable(Cause::Firewall), Presence::Gone)
}

/// What to look for: the tables that the images name, and what of the filter tables is needed.
fn parts(queries: &[FilterQuery]) -> Parts {
    let (mut tables, mut flows, mut has_chain, mut has_rules) = (Vec::new(), HashSet::new(), false, false);
    for query in queries {
        match query {
            FilterQuery::Table { names, .. } => tables.extend(names.iter().map(TableName::as_str).map(str::to_owned)),
            FilterQuery::Chain => has_chain = true,
            FilterQuery::Rules { connection, .. } => {
                has_rules = true;
                flows.extend(Direction::BOTH.map(|direction| connection.flow(direction)));
            }
            FilterQuery::InTable { .. } => {}
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
