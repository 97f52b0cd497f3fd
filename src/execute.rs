// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries a plan out.
//!
//! Every object is looked at once more right before it is removed, and only what still is what the plan saw is
//! touched. One failure does not stop the rest. Network locks go first and link remaps last: a link remap that has
//! changed is what tells that rules may be a newer dump's, and a run that was cut short must not lose that sign.

mod confirm;
mod files;
mod network;

use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::plan::{GuardedPlan, Item, Verdict};
use crate::probe::Presence;
use crate::save::{Keeper, Saved};

pub use confirm::confirm;

/// An item of a plan and what happened with it.
#[derive(Debug)]
pub struct Done {
    /// The item.
    pub item: Item,
    /// What happened.
    pub outcome: Outcome,
    /// What of it was kept elsewhere first.
    pub saved: Option<Saved>,
}

/// What happened with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was removed.
    Removed,
    /// It was gone before it could be removed.
    AlreadyGone,
    /// It was kept on purpose.
    Kept,
    /// It could not be removed, or not be looked for.
    Failed(String),
}

/// Carries out the plan. With a keeper no link is removed before its file is kept. An interrupt keeps what was not
/// reached from being begun; all rules of one filter table are one step.
pub fn execute(host: &Host, plan: GuardedPlan, keeper: Option<Keeper<'_>>, interrupt: &Interrupt) -> Vec<Done> {
    let mut done: Vec<Done> = plan.into_items().into_iter().map(Done::before).collect();
    network::remove_rules(host, &mut done, interrupt);
    network::remove_tables(host, &mut done, interrupt);
    network::remove_chains(host, &mut done, interrupt);
    settle_connections(&mut done);
    files::remove_links(host, &mut done, keeper, interrupt);
    done
}

/// A connection that a lock table holds is unlocked with the table.
fn settle_connections(done: &mut [Done]) {
    let is_table = |done: &&Done| matches!(done.item.finding.presence, Presence::Table(_));
    let is_failure = |outcome: &&Outcome| matches!(outcome, Outcome::Failed(_));
    let failure = done.iter().filter(is_table).map(|done| &done.outcome).find(is_failure);
    let outcome = failure.cloned().unwrap_or(Outcome::Removed);
    let is_in_table = |done: &&mut Done| matches!(done.item.finding.presence, Presence::InTable(_));
    for done in done.iter_mut().filter(|done| done.is_to_be_removed()).filter(is_in_table) {
        done.outcome = outcome.clone();
    }
}

impl Done {
    /// What is known before anything is done: an object to be removed counts as failed until it is.
    fn before(item: Item) -> Self {
        let outcome = match &item.verdict {
            Verdict::Remove => Outcome::Failed("it was not reached".to_owned()),
            Verdict::Keep(_) => Outcome::Kept,
            Verdict::Nothing => Outcome::AlreadyGone,
            Verdict::CannotTell => Outcome::Failed("it could not be looked for".to_owned()),
        };
        Done { item, outcome, saved: None }
    }

    fn is_to_be_removed(&self) -> bool {
        self.item.verdict == Verdict::Remove
    }
}
