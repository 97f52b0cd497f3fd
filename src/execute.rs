// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries out a plan.
//!
//! Each object is examined once more right before it is removed, and is touched only if it is still what the plan
//! describes. One failure does not stop the rest. Network locks go first and link remaps last: a changed link remap
//! shows that rules may belong to a newer dump, and an interrupted run must not lose that sign.

mod confirm;

use crate::carrier::filter::FilterRemoval;
use crate::carrier::name::NameRemoval;
use crate::carrier::{Outcome, Presence, Query, filter, name};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::plan::{GuardedPlan, Item, Verdict};
use crate::save::{Saved, Saver};

pub use confirm::confirm;

/// An item of a plan and what happened with it.
#[derive(Debug)]
pub struct Done {
    /// The item.
    pub item: Item,
    /// What happened.
    pub outcome: Outcome,
    /// Where its file was saved before.
    pub saved: Option<Saved>,
}

/// Carries out the plan. With a saver, no link is removed before its file is saved. After an interrupt no further step
/// begins; all rules of one filter table are one step. Returns the saver, unless its filesystem does not answer.
pub fn execute(
    host: &Host,
    plan: GuardedPlan,
    saver: Option<Saver>,
    interrupt: &Interrupt,
) -> (Vec<Done>, Option<Saver>) {
    let mut done: Vec<Done> = plan.into_items().into_iter().map(Done::before).collect();
    let (at, jobs): (Vec<usize>, Vec<FilterRemoval<'_>>) = planned(&done).filter_map(filter_job).unzip();
    let outcomes = filter::remove(host, &jobs, interrupt);
    for (at, outcome) in at.into_iter().zip(outcomes) {
        done[at].outcome = outcome;
    }
    let (at, jobs): (Vec<usize>, Vec<NameRemoval>) = planned(&done).filter_map(name_job).unzip();
    let (fates, saver) = name::remove(host, jobs, saver, interrupt);
    for (at, fate) in at.into_iter().zip(fates) {
        (done[at].outcome, done[at].saved) = (fate.outcome, fate.saved);
    }
    (done, saver)
}

/// What is to be removed, by its place in the plan.
fn planned(done: &[Done]) -> impl Iterator<Item = (usize, &Done)> {
    done.iter().enumerate().filter(|(_, done)| done.item.verdict == Verdict::Remove)
}

fn filter_job((at, done): (usize, &Done)) -> Option<(usize, FilterRemoval<'_>)> {
    let job = match &done.item.finding.presence {
        Presence::Rules(found) => FilterRemoval::Rules(found),
        Presence::InTable(_) => FilterRemoval::InTable,
        Presence::Table(found) => FilterRemoval::Table(found),
        Presence::Chain(found) => FilterRemoval::Chain(found),
        Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_)
        | Presence::File(_) => return None,
    };
    Some((at, job))
}

fn name_job((at, done): (usize, &Done)) -> Option<(usize, NameRemoval)> {
    let finding = &done.item.finding;
    let Presence::File(found) = &finding.presence else { return None };
    let Query::Name(query) = finding.residue.query() else { return None };
    Some((at, NameRemoval { query, found: found.clone(), evidence: finding.residue.evidence().to_vec() }))
}

impl Done {
    /// What is known before anything is done: an object to be removed counts as failed until it is.
    fn before(item: Item) -> Self {
        let outcome = match &item.verdict {
            Verdict::Remove => Outcome::Failed("not attempted".to_owned()),
            Verdict::Keep(_) | Verdict::LeftOut => Outcome::Kept,
            Verdict::Nothing => Outcome::AlreadyGone,
            Verdict::CannotTell => Outcome::Failed("criu-gc could not check it".to_owned()),
        };
        Done { item, outcome, saved: None }
    }
}
