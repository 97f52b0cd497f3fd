// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for a checkpoint's residue on the live system. Read-only.
//!
//! Every object that the images name gets an answer: what was found, that it is gone, or why this is not known. Nothing
//! is decided here.

use std::collections::BTreeSet;

use crate::carrier::filter::{self, ProbeError, RecordedNamespace};
use crate::carrier::{EntryQuery, FilterQuery, FoundTask, NameQuery, Presence, Query, entry, name};
use crate::causes::with_causes;
use crate::checkpoint::Checkpoint;
use crate::firewall::LookFailure;
use crate::host::Host;
use crate::kind::{self, Claims, LeftBy, Residue, Unknown};
use crate::locate::Given;
use crate::mounts::{self, Wanted};
use crate::time::Timestamp;
use crate::tree::{self, TreeState, UnknownTree};

pub use crate::carrier::{Hints, Search};
pub use crate::tree::trace_of;

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The processes.
    pub tree: TreeState,
    /// An answer for each object.
    pub findings: Vec<Finding>,
    /// What the images name but nobody here understands.
    pub unknown: Vec<Unknown>,
    /// What could not be looked at.
    pub failures: Vec<LookFailure>,
    /// What the reader should know to understand what was found.
    pub notes: Vec<String>,
    /// The network namespaces that were looked into, by names for people.
    pub namespaces: Vec<String>,
    /// Where the network namespace of the record is.
    pub recorded_namespace: RecordedNamespace,
}

impl Survey {
    /// Whether a look from the host's own namespaces may tell more.
    pub fn is_open(&self) -> bool {
        let is_hidden = matches!(self.tree.unknown, Some(UnknownTree::Hidden(_)));
        is_hidden || self.findings.iter().any(|finding| finding.presence.is_open())
    }
}

/// An object and what was found of it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The object.
    pub residue: Residue,
    /// What was found.
    pub presence: Presence,
}

impl Finding {
    /// Whether it is there, or may be.
    pub fn is_present(&self) -> bool {
        !matches!(self.presence, Presence::Gone(_) | Presence::Vanished(_))
    }
}

/// Looks for everything that is claimed, in a picture of the host that was taken for it.
pub fn look(
    host: &Host,
    given: &Given,
    checkpoint: &Checkpoint,
    claims: Claims,
    hints: &Hints,
) -> Result<Survey, ProbeError> {
    let mut tree = tree::look(host, given, checkpoint);
    let (mut unnamed, mut unread) = (Vec::new(), Vec::new());
    for residue in &claims.residues {
        match residue.query() {
            Query::Entry(query) => entries(host, given, residue, &query, &mut unnamed, &mut unread),
            Query::Tasks => unnamed.extend(tree.stranded.iter().map(|stranded| Finding {
                residue: residue.clone(),
                presence: Presence::Task(FoundTask::from(stranded)),
            })),
            Query::Name(_) | Query::Filter(_) => {}
        }
    }
    let is_later = |start: &Timestamp| checkpoint.written_until.is_some_and(|written| *start > written.latest());
    tree.started_again = hints.metadata.own_start().filter(is_later);
    let mut survey = objects(host, checkpoint, claims, hints, tree.inhabited())?;
    // What is stranded has the sockets that are seen.
    survey.tree.criu.retain(|_| tree.stranded.is_empty());
    tree.criu.append(&mut survey.tree.criu);
    survey.findings.extend(unnamed);
    survey.findings.sort_by_key(|finding| finding.residue.rank());
    survey.notes.append(&mut unread);
    Ok(Survey { tree, ..survey })
}

/// Looks for names and entries alone, once more: in no network namespace, and for no process.
pub fn names(
    host: &Host,
    given: &Given,
    checkpoint: &Checkpoint,
    residues: Vec<Residue>,
    hints: &Hints,
) -> Vec<Finding> {
    let mut files = Queries::<NameQuery>::default();
    let mut findings = Vec::new();
    for residue in residues {
        match residue.query() {
            Query::Name(query) => files.add(residue, query),
            Query::Entry(query) => entries(host, given, &residue, &query, &mut findings, &mut Vec::new()),
            Query::Filter(_) | Query::Tasks => {}
        }
    }
    let names = name::look(host, checkpoint, &files.queries, hints);
    findings.extend(files.residues.into_iter().zip(names).map(|(residue, presence)| Finding { residue, presence }));
    findings
}

/// What a restore cannot do without, and is gone.
pub fn missing_for_restore(host: &Host, checkpoint: &Checkpoint, hints: &Hints) -> Result<Vec<Unknown>, ProbeError> {
    let survey = objects(host, checkpoint, kind::needed_for_restore(checkpoint), hints, BTreeSet::new())?;
    let gone = survey.findings.into_iter().filter(|finding| matches!(finding.presence, Presence::Gone(_)));
    let sentence = |finding: Finding| {
        let name = finding.residue.describe(&finding.presence).name;
        let name = String::from_utf8_lossy(&name).into_owned();
        let sentence = format!("whether a restore can succeed: it needs {name}, which is gone");
        Unknown { part: finding.residue.part(), sentence }
    };
    Ok(gone.map(sentence).collect())
}

/// The entries of one kind, and notes about where could not be looked.
fn entries(
    host: &Host,
    given: &Given,
    residue: &Residue,
    query: &EntryQuery,
    found: &mut Vec<Finding>,
    unread: &mut Vec<String>,
) {
    let (entries, failures) = entry::look(host, given, query);
    let finding = |entry| Finding { residue: residue.clone(), presence: Presence::Entry(entry) };
    found.extend(entries.into_iter().map(finding));
    unread.extend(
        failures.iter().map(|error| with_causes(error)).filter(|text| !unread.contains(text)).collect::<Vec<_>>(),
    );
}

/// The same, without asking for the tree: of `tree` only those criu are there whose sockets were seen. The tree of an
/// interrupted dump is in the network namespaces with these inode numbers.
pub fn objects(
    host: &Host,
    checkpoint: &Checkpoint,
    claims: Claims,
    hints: &Hints,
    inhabited: BTreeSet<u64>,
) -> Result<Survey, ProbeError> {
    let (mut locks, mut files) = (Queries::<FilterQuery>::default(), Queries::<NameQuery>::default());
    for residue in claims.residues {
        match residue.query() {
            Query::Filter(query) => locks.add(residue, query),
            Query::Name(query) => files.add(residue, query),
            // Not named by the images, so not asked for by this caller, or answered already.
            Query::Entry(_) | Query::Tasks => {}
        }
    }
    let filters = filter::look(host, checkpoint, &locks.queries, hints, inhabited)?;
    let names = name::look(host, checkpoint, &files.queries, hints);
    let of_locks = locks.residues.into_iter().zip(filters.answers).flat_map(|(residue, presences)| {
        presences.into_iter().map(move |presence| Finding { residue: residue.clone(), presence })
    });
    let of_files = files.residues.into_iter().zip(names).map(|(residue, presence)| Finding { residue, presence });
    let is_told = |finding: &Finding| {
        finding.residue.recognises(&finding.presence)
            && match (finding.residue.left_by(), &finding.presence) {
                (LeftBy::Dump, _) => true,
                (LeftBy::KilledRestore, Presence::Gone(_) | Presence::Vanished(_) | Presence::Untied(_)) => false,
                // Without a restore it cannot be there.
                (LeftBy::KilledRestore, Presence::Unreachable(_)) => checkpoint.restores.has_log,
                (
                    LeftBy::KilledRestore,
                    Presence::File(_)
                    | Presence::Rules(_)
                    | Presence::InTable(_)
                    | Presence::Table(_)
                    | Presence::Chain(_)
                    | Presence::Entry(_)
                    | Presence::Task(_),
                ) => true,
            }
    };
    Ok(Survey {
        tree: TreeState { criu: filters.criu, ..TreeState::default() },
        findings: of_locks.chain(of_files).filter(is_told).collect(),
        unknown: claims.unknown,
        failures: filters.failures,
        notes: filters.notes,
        namespaces: filters.namespaces,
        recorded_namespace: filters.recorded,
    })
}

/// Residues that one carrier looks for, with their queries.
struct Queries<Q> {
    residues: Vec<Residue>,
    queries: Vec<Q>,
}

impl<Q> Default for Queries<Q> {
    fn default() -> Self {
        Queries { residues: Vec::new(), queries: Vec::new() }
    }
}

impl<Q> Queries<Q> {
    fn add(&mut self, residue: Residue, query: Q) {
        self.residues.push(residue);
        self.queries.push(query);
    }
}

/// The mounts of the host that matter for these objects.
pub fn wanted(checkpoint: &Checkpoint, claims: &Claims) -> Wanted {
    let names: Vec<NameQuery> = claims
        .residues
        .iter()
        .filter_map(|residue| match residue.query() {
            Query::Name(name) => Some(name),
            Query::Filter(_) | Query::Entry(_) | Query::Tasks => None,
        })
        .collect();
    let on_mounts = names.iter().filter_map(|name| match name.mount {
        name::FileMount::Id(id) => Some((name.path.as_slice(), &checkpoint.mounts.get(&id)?.entry)),
        name::FileMount::Shared | name::FileMount::ControlGroup | name::FileMount::Unknown => None,
    });
    mounts::wanted(on_mounts)
}
