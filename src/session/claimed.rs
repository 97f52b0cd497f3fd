// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What checkpoints claim on this host, for the index: each is read, looked for and judged as `--show` does it. No lock is
//! taken, because nothing follows from the answer but words.

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::find::Described;
use super::locks::Locked;
use super::prepare::{ReadImages, survey};
use crate::carrier::Query;
use crate::error::Error;
use crate::goal::Goal;
use crate::host::{Host, Wanted};
use crate::kind::{self, Residue};
use crate::options::Options;
use crate::plan::{self, Item, Policy};
use crate::probe::{self, Search, Survey};
use crate::record::store::RecordStore;

/// Which of the objects of a checkpoint are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Names of files.
    Names,
    /// Rules, tables and chains.
    Network,
    /// Processes and temporary entries.
    Processes,
}

/// What one checkpoint claims.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// The objects, with the verdicts on them.
    pub(crate) items: Vec<Item>,
    /// The processes of its tree, and the criu processes that work on it.
    pub(crate) processes: BTreeSet<u32>,
}

/// Looks for the objects of one part, of all these checkpoints with one picture of the host.
pub(crate) fn claimed(found: Vec<Described>, part: Part, store: &RecordStore) -> Vec<Result<Claimed, Error>> {
    let options = Options::new().record_store(store.clone());
    let read = |described: Described| {
        let path = described.given.path().to_owned();
        let images = ReadImages::new(Locked { described, note: None }, &options);
        Candidate { path, state: images.map(|images| with_claims(images, part)) }
    };
    let read: Vec<Candidate<ReadImages>> = found.into_iter().map(read).collect();
    let mut wanted = Wanted::default();
    for images in read.iter().filter_map(Candidate::usable) {
        wanted.add(probe::wanted(&images.checkpoint, &images.claims));
    }
    let host = Host::look(wanted);
    read.into_iter().map(|candidate| candidate.and_then(|images| judge(images, &host)).state).collect()
}

/// What a gc and a restorable checkpoint would ask for, each once.
fn with_claims(mut images: ReadImages, part: Part) -> ReadImages {
    let gc = std::mem::replace(&mut images.claims, kind::claims(&images.checkpoint, Goal::Restorable));
    let new = gc.residues.into_iter().filter(|residue| !images.claims.residues.contains(residue));
    let new: Vec<Residue> = new.collect();
    images.claims.residues.extend(new);
    images.claims.residues.retain(|residue| is_of(residue, part));
    // In the other network namespaces would only be sockets of a criu at work, and that is no question of ownership.
    if part != Part::Network {
        images.hints.search = Search::Named;
    }
    images
}

fn is_of(residue: &Residue, part: Part) -> bool {
    match (residue.query(), part) {
        (Query::Name(_), Part::Names) | (Query::Filter(_), Part::Network) => true,
        (Query::Entry(_) | Query::Tasks, Part::Processes) => true,
        (Query::Name(_) | Query::Filter(_) | Query::Entry(_) | Query::Tasks, _) => false,
    }
}

fn judge(images: ReadImages, host: &Host) -> Result<Claimed, Error> {
    let ReadImages { given, checkpoint, claims, hints, .. } = images;
    let survey: Survey = survey(host, &given, &checkpoint, claims, &hints)?;
    let tree = &survey.tree;
    let tasks = tree.alive.iter().chain(&tree.restored).chain(&tree.criu);
    let processes = tasks.map(|task| task.pid).chain(tree.stranded.iter().map(|stranded| stranded.task.pid)).collect();
    let plan = plan::decide(&checkpoint, survey, &Policy::default());
    Ok(Claimed { items: plan.into_items(), processes })
}
