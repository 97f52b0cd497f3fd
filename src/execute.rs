// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries out a plan.
//!
//! Each object is examined once more right before it is removed, and is touched only if it is still what the plan
//! describes. One failure does not stop the rest. Processes of a killed restore end first: as long as they are there,
//! what depends on them stays. Network locks go before files and link remaps last: a changed link remap
//! shows that rules may belong to a newer dump, and an interrupted run must not lose that sign.

mod confirm;

use crate::carrier::filter::FilterRemoval;
use crate::carrier::name::{NameAct, NameRemoval};
use crate::carrier::{EntryQuery, FoundEntry, FoundTask, Outcome, Presence, Query, entry, filter, name, task};
use crate::host::{Host, Wanted};
use crate::interrupt::Interrupt;
use crate::plan::{GuardedPlan, Item, Verdict};
use crate::reason::KeepReason;
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
    move_back(host, &mut done, interrupt);
    end_tasks(&mut done, interrupt);
    let (at, jobs): (Vec<usize>, Vec<FilterRemoval<'_>>) = planned(&done).filter_map(filter_job).unzip();
    let outcomes = filter::remove(host, &jobs, interrupt);
    for (at, outcome) in at.into_iter().zip(outcomes) {
        done[at].outcome = outcome;
    }
    let is_removed = |(_, job): &(usize, NameRemoval)| job.query.act != NameAct::RenameBack;
    let (at, jobs): (Vec<usize>, Vec<NameRemoval>) = planned(&done).filter_map(name_job).filter(is_removed).unzip();
    let (fates, saver) = name::remove(host, jobs, saver, interrupt);
    for (at, fate) in at.into_iter().zip(fates) {
        (done[at].outcome, done[at].saved) = (fate.outcome, fate.saved);
    }
    remove_entries(&mut done, interrupt);
    (done, saver)
}

/// What becomes of a plan that removes nothing: what it says.
pub fn leave(plan: GuardedPlan) -> Vec<Done> {
    plan.into_items().into_iter().map(Done::before).collect()
}

/// Files of the user's that a restore moved out of its way, before anything else: the next restore may lose them.
fn move_back(host: &Host, done: &mut [Done], interrupt: &Interrupt) {
    let is_moved = |(_, job): &(usize, NameRemoval)| job.query.act == NameAct::RenameBack;
    let (at, jobs): (Vec<usize>, Vec<NameRemoval>) = planned(done).filter_map(name_job).filter(is_moved).unzip();
    if jobs.is_empty() {
        return;
    }
    let (fates, _) = name::remove(host, jobs, None, interrupt);
    for (at, fate) in at.into_iter().zip(fates) {
        done[at].outcome = fate.outcome;
    }
}

/// Processes first: what depends on their end stays where one does not end.
fn end_tasks(done: &mut [Done], interrupt: &Interrupt) {
    let (at, tasks): (Vec<usize>, Vec<FoundTask>) = planned(done)
        .filter_map(|(at, done)| match &done.item.finding.presence {
            Presence::Task(found) => Some((at, found.clone())),
            Presence::Gone(_)
            | Presence::Vanished(_)
            | Presence::Untied(_)
            | Presence::Unreachable(_)
            | Presence::File(_)
            | Presence::Rules(_)
            | Presence::InTable(_)
            | Presence::Table(_)
            | Presence::Chain(_)
            | Presence::Entry(_) => None,
        })
        .unzip();
    if tasks.is_empty() {
        return;
    }
    let outcomes = match interrupt.may_go_on() {
        Ok(()) => task::end(&tasks),
        Err(error) => vec![Outcome::Failed(error.to_string()); tasks.len()],
    };
    let has_failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_)));
    for (at, outcome) in at.into_iter().zip(outcomes) {
        done[at].outcome = outcome;
    }
    let waits = |done: &&mut Done| {
        let is_done = matches!(done.outcome, Outcome::Removed | Outcome::AlreadyGone);
        done.item.verdict == Verdict::Remove && !is_done && !matches!(done.item.finding.presence, Presence::Task(_))
    };
    for done in done.iter_mut().filter(|done| has_failed && waits(done)) {
        done.item.verdict = Verdict::Keep(vec![KeepReason::HalfRestored]);
        done.outcome = Outcome::Kept;
    }
}

/// Entries that no image names, last: directories that the ended processes had mounted are free by now.
fn remove_entries(done: &mut [Done], interrupt: &Interrupt) {
    let (at, jobs): (Vec<usize>, Vec<(EntryQuery, FoundEntry)>) = planned(done).filter_map(entry_job).unzip();
    if jobs.is_empty() {
        return;
    }
    // The processes that had them mounted are in the earlier picture.
    let now = Host::look(Wanted::default());
    for (at, (query, found)) in at.into_iter().zip(jobs) {
        done[at].outcome = entry::remove(&now, &query, &found, interrupt);
    }
}

fn entry_job((at, done): (usize, &Done)) -> Option<(usize, (EntryQuery, FoundEntry))> {
    let finding = &done.item.finding;
    let Presence::Entry(found) = &finding.presence else { return None };
    let Query::Entry(query) = finding.residue.query() else { return None };
    Some((at, (query, found.clone())))
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
        | Presence::File(_)
        | Presence::Entry(_)
        | Presence::Task(_) => return None,
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
