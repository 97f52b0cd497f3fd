// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes rules, tables and chains.
//!
//! nf_tables change in transactions that carry the generation of the read: if anybody changed anything in between, the
//! kernel refuses the whole transaction, and criu-gc reads everything again. In the tool's own namespace, which cannot end,
//! the generation of the survey does as well as that of another read. Legacy rules are removed by their text
//! through `iptables-legacy-restore`, which also applies all or nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{FoundChain, FoundRule, FoundRules, FoundTable};
use crate::carrier::Outcome;
use crate::causes::with_causes;
use crate::connection::Direction;
use crate::firewall::rule_shape::LOCK_CHAIN;
use crate::firewall::{
    self, Backend, ChainView, FILTER_TABLE, FilterPlace, FilterView, Flows, Reading, RuleId, TableView,
};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::system::netns::{self, NetworkId, NetworkName};
use crate::system::nft::{self, CommitError, Nft, Transaction};
use crate::system::xtables;

/// How often everything is read again because somebody else changes rules all the time.
const ATTEMPTS: usize = 16;

/// How many legacy rules one run of `iptables-legacy-restore` removes: each run writes the whole table again.
const LEGACY_BATCH_RULES: usize = 10_000;

/// Why one removal did not succeed.
enum Failure {
    /// Somebody else changed the rules since they were read.
    Changed,
    /// Anything else.
    Final(String),
}

type Attempt<T> = Result<T, Failure>;

/// A thing of a network namespace that is to be removed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FilterRemoval<'a> {
    /// The rules of a connection.
    Rules(&'a FoundRules),
    /// A connection that a table holds, and that is unlocked with the table.
    InTable,
    /// A table.
    Table(&'a FoundTable),
    /// A chain with the jumps to it.
    Chain(&'a FoundChain),
}

/// Removes everything. What became of each is given in the same order. All rules of one filter table are one step.
pub(crate) fn remove(host: &Host, jobs: &[FilterRemoval<'_>], interrupt: &Interrupt) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Failed("not attempted".to_owned()); jobs.len()];
    remove_rules(host, jobs, interrupt, &mut outcomes);
    let in_namespace = |namespace: &NetworkName, attempt: &(dyn Fn() -> Attempt<Outcome> + Sync)| {
        in_namespace(host, namespace, interrupt, || repeat(attempt)).unwrap_or_else(Outcome::Failed)
    };
    for (job, outcome) in jobs.iter().zip(&mut outcomes) {
        if let FilterRemoval::Table(found) = job {
            *outcome = in_namespace(&found.namespace, &|| remove_table_once(found));
        }
    }
    for (job, outcome) in jobs.iter().zip(&mut outcomes) {
        if let FilterRemoval::Chain(found) = job {
            *outcome = in_namespace(&found.namespace, &|| remove_chain_once(found));
        }
    }
    settle_connections(jobs, &mut outcomes);
    outcomes
}

/// A connection that a table holds is unlocked with the table.
fn settle_connections(jobs: &[FilterRemoval<'_>], outcomes: &mut [Outcome]) {
    let of_tables = jobs.iter().zip(&*outcomes).filter(|(job, _)| matches!(job, FilterRemoval::Table(_)));
    let failure = of_tables.map(|(_, outcome)| outcome).find(|outcome| matches!(outcome, Outcome::Failed(_)));
    let settled = failure.cloned().unwrap_or(Outcome::Removed);
    for (job, outcome) in jobs.iter().zip(outcomes) {
        if matches!(job, FilterRemoval::InTable) {
            outcome.clone_from(&settled);
        }
    }
}

/// Removes the rules of single connections: all of one filter table together.
fn remove_rules(host: &Host, jobs: &[FilterRemoval<'_>], interrupt: &Interrupt, outcomes: &mut [Outcome]) {
    let mut of_jobs: BTreeMap<usize, Outcome> = BTreeMap::new();
    let own = netns::current().ok().map(|own| own.id());
    for ((id, place), (namespace, wanted)) in rules_by_place(jobs) {
        let rules: Vec<&FoundRule> = wanted.iter().map(|(_, rule)| *rule).collect();
        // A namespace that has ended may have left its number to another one, with a generation of the same number.
        let reading = match own == Some(id) {
            true => common_reading(place, wanted.iter().map(|(at, _)| jobs[*at])),
            false => None,
        };
        let attempt = || remove_rules_once(place, &rules, reading);
        let result = in_namespace(host, &namespace, interrupt, || repeat(attempt));
        let outcome = result.unwrap_or_else(Outcome::Failed);
        for (at, _) in wanted {
            let all = of_jobs.entry(at).or_insert_with(|| outcome.clone());
            *all = together(all, &outcome);
        }
    }
    for (at, outcome) in of_jobs {
        outcomes[at] = outcome;
    }
}

/// The generation in which all of them were read of this place, if it is one.
fn common_reading<'a>(place: FilterPlace, jobs: impl Iterator<Item = FilterRemoval<'a>>) -> Option<Reading> {
    let mut readings = jobs.map(|job| match job {
        FilterRemoval::Rules(found) => found.readings.iter().find(|(of, _)| *of == place).map(|(_, reading)| *reading),
        FilterRemoval::InTable | FilterRemoval::Table(_) | FilterRemoval::Chain(_) => None,
    });
    let first = readings.next()??;
    readings.all(|reading| reading == Some(first)).then_some(first)
}

type Wanted<'a> = (Arc<NetworkName>, Vec<(usize, &'a FoundRule)>);

fn rules_by_place<'a>(jobs: &[FilterRemoval<'a>]) -> BTreeMap<(NetworkId, FilterPlace), Wanted<'a>> {
    let mut places: BTreeMap<_, Wanted<'a>> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate() {
        let FilterRemoval::Rules(found) = job else { continue };
        for rule in &found.rules {
            let key = (found.namespace.id, rule.place);
            let (_, rules) = places.entry(key).or_insert_with(|| (Arc::clone(&found.namespace), Vec::new()));
            rules.push((at, rule));
        }
    }
    places
}

/// What happened with an object some of whose rules were in one table and some in another.
fn together(one: &Outcome, other: &Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Failed(_), _) => one.clone(),
        (_, Outcome::Failed(_)) => other.clone(),
        (Outcome::Removed, Outcome::Removed | Outcome::AlreadyGone | Outcome::Kept) => Outcome::Removed,
        (Outcome::AlreadyGone | Outcome::Kept, Outcome::Removed | Outcome::AlreadyGone | Outcome::Kept) => {
            other.clone()
        }
    }
}

fn in_namespace(
    host: &Host,
    namespace: &NetworkName,
    interrupt: &Interrupt,
    work: impl FnOnce() -> Result<Outcome, String> + Send,
) -> Result<Outcome, String> {
    interrupt.may_go_on().map_err(|error| error.to_string())?;
    let Some(namespace) = host.open_network(namespace) else {
        return Err(format!("the network namespace {namespace} can no longer be reached; not removed"));
    };
    netns::within(&namespace, work).map_err(|error| with_causes(&error))?
}

fn repeat(attempt: impl Fn() -> Attempt<Outcome>) -> Result<Outcome, String> {
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Changed) => {}
            Err(Failure::Final(why)) => return Err(why),
        }
    }
    Err(format!("another program changed the rules during each of {ATTEMPTS} attempts; try again"))
}

/// `reading` is of this namespace itself. While nobody has changed anything since, all that was read then is still so, and
/// the kernel compares once more when it commits.
fn remove_rules_once(place: FilterPlace, wanted: &[&FoundRule], reading: Option<Reading>) -> Attempt<Outcome> {
    let flows = || wanted.iter().map(|rule| rule.key.flow).collect();
    match place.backend {
        Backend::Nft => {
            let nft = Nft::open()?;
            let generation = nft.generation()?;
            if let Some(reading) = reading.filter(|reading| reading.generation == generation) {
                return remove_handles(&nft, &reading, place, wanted);
            }
            let view = firewall::look_at_nft_filter(&nft, place.family, Flows::Of(&flows()))?;
            let Some((view, reading)) = view.and_then(|view| view.reading.map(|reading| (view, reading))) else {
                return Ok(Outcome::AlreadyGone);
            };
            remove_handles(&nft, &reading, place, &still_there(view, wanted))
        }
        Backend::Legacy => {
            let Some(view) = firewall::look_at_filter(place, Flows::Of(&flows()))? else {
                return Ok(Outcome::AlreadyGone);
            };
            remove_words(place, &still_there(view, wanted))
        }
    }
}

/// The rules of the plan that the table still has, in its order. Nothing distinguishes equal legacy rules, so there the plan's
/// number of them counts.
fn still_there<'a>(mut view: FilterView, wanted: &[&'a FoundRule]) -> Vec<&'a FoundRule> {
    let mut there = Vec::new();
    for rule in wanted {
        let Some(left) = view.drops.get_mut(&rule.key) else { continue };
        if let Some(at) = left.iter().position(|left| left.id == rule.id) {
            there.push((left.remove(at).position, *rule));
        }
    }
    there.sort_by_key(|(position, _)| *position);
    there.into_iter().map(|(_, rule)| rule).collect()
}

/// Removes rules: a chain of which all rules go is emptied at once; of others they go in batches, because the kernel looks
/// each one up from the head of its chain, so that one large batch costs the square of its size. After each transaction the
/// generation is one more, if nobody else changed anything.
fn remove_handles(nft: &Nft, reading: &Reading, place: FilterPlace, rules: &[&FoundRule]) -> Attempt<Outcome> {
    if rules.is_empty() {
        return Ok(Outcome::AlreadyGone);
    }
    let family = firewall::nft_family(place.family);
    let emptied = emptied(rules, reading);
    let mut transaction = Transaction::new();
    for direction in &emptied {
        transaction.flush_chain(family, FILTER_TABLE, direction.chain());
    }
    let mut expected = nft.commit(transaction, reading.generation)?;
    let others = rules.iter().filter(|rule| !emptied.contains(&rule.key.direction));
    let mut ordered: Vec<(u64, &FoundRule)> = others.filter_map(|rule| Some((handle(&rule.id)?, *rule))).collect();
    // CRIU inserts at the head, so the rules with the highest handles come first in the chains.
    ordered.sort_by_key(|(handle, _)| std::cmp::Reverse(*handle));
    for batch in ordered.chunks(nft::BATCH_RULES) {
        let mut transaction = Transaction::new();
        for (handle, rule) in batch {
            transaction.delete_rule(family, FILTER_TABLE, rule.key.direction.chain(), *handle);
        }
        expected = nft.commit(transaction, expected)?;
    }
    Ok(Outcome::Removed)
}

/// The chains that are empty once these rules are gone, which all were there in this reading.
fn emptied(rules: &[&FoundRule], reading: &Reading) -> Vec<Direction> {
    let is_emptied = |direction: &Direction| {
        let of_chain = rules.iter().filter(|rule| rule.key.direction == *direction);
        let handles: HashSet<u64> = of_chain.filter_map(|rule| handle(&rule.id)).collect();
        !handles.is_empty() && handles.len() == reading.rules_of(*direction)
    };
    Direction::BOTH.into_iter().filter(is_emptied).collect()
}

/// Removes rules in the order of the table: `iptables-legacy-restore` searches each one from the head of its chain, so that
/// any other order costs the square of their number. In batches, so that no run of it takes longer than it may, whatever
/// rules of others stand before: what a batch has removed stays removed.
fn remove_words(place: FilterPlace, rules: &[&FoundRule]) -> Attempt<Outcome> {
    if rules.is_empty() {
        return Ok(Outcome::AlreadyGone);
    }
    for batch in rules.chunks(LEGACY_BATCH_RULES) {
        let delete = |rule: &&FoundRule| delete_words(rule.key.direction.chain(), &rule.id);
        apply(place, &batch.iter().filter_map(delete).collect::<Vec<_>>())?;
    }
    Ok(Outcome::Removed)
}

fn remove_table_once(found: &FoundTable) -> Attempt<Outcome> {
    let nft = Nft::open()?;
    let generation = nft.generation()?;
    let Some(now) = firewall::look_at_table(&nft, found.name.as_str())? else { return Ok(Outcome::AlreadyGone) };
    check_table(&found.view, &now)?;
    let mut transaction = Transaction::new();
    transaction.delete_table(nft::Family::Inet, &now.name, now.handle);
    nft.commit(transaction, generation)?;
    Ok(Outcome::Removed)
}

fn check_table(planned: &TableView, now: &TableView) -> Attempt<()> {
    if planned != now {
        return Err(Failure::Final("the table changed since it was examined; not removed".to_owned()));
    }
    Ok(())
}

fn remove_chain_once(found: &FoundChain) -> Attempt<Outcome> {
    match found.place.backend {
        Backend::Nft => {
            let nft = Nft::open()?;
            let generation = nft.generation()?;
            let view = firewall::look_at_nft_filter(&nft, found.place.family, Flows::None)?;
            let Some(chain) = view.and_then(|view| view.lock_chain) else { return Ok(Outcome::AlreadyGone) };
            check_chain(&found.view, &chain)?;
            nft.commit(chain_transaction(found.place, &chain), generation)?;
        }
        Backend::Legacy => {
            let view = firewall::look_at_filter(found.place, Flows::None)?;
            let Some(chain) = view.and_then(|view| view.lock_chain) else { return Ok(Outcome::AlreadyGone) };
            check_chain(&found.view, &chain)?;
            apply(found.place, &chain_changes(&chain))?;
        }
    }
    Ok(Outcome::Removed)
}

/// Whether the chain is still what the plan saw. A jump less is the same lock; one more is that of another dump, which
/// has closed the namespace by the same chain since.
fn check_chain(planned: &ChainView, now: &ChainView) -> Attempt<()> {
    let has_more = now.jumps.len() > planned.jumps.len() || !now.jumps.iter().all(|jump| planned.jumps.contains(jump));
    if has_more || (&planned.foreign, planned.table, planned.handle) != (&now.foreign, now.table, now.handle) {
        return Err(Failure::Final("the chain changed since it was examined; not removed".to_owned()));
    }
    Ok(())
}

/// The jumps first: a chain that something refers to cannot be deleted.
fn chain_transaction(place: FilterPlace, chain: &ChainView) -> Transaction {
    let family = firewall::nft_family(place.family);
    let mut transaction = Transaction::new();
    for (direction, jump) in &chain.jumps {
        if let Some(handle) = handle(jump) {
            transaction.delete_rule(family, FILTER_TABLE, direction.chain(), handle);
        }
    }
    transaction.flush_chain(family, FILTER_TABLE, LOCK_CHAIN);
    if let Some(handle) = chain.handle {
        transaction.delete_chain(family, FILTER_TABLE, LOCK_CHAIN, handle);
    }
    transaction
}

fn chain_changes(chain: &ChainView) -> Vec<xtables::Change> {
    let jumps = chain.jumps.iter().filter_map(|(direction, jump)| delete_words(direction.chain(), jump));
    jumps
        .chain([xtables::Change::FlushChain { chain: LOCK_CHAIN }, xtables::Change::DeleteChain { chain: LOCK_CHAIN }])
        .collect()
}

/// `iptables-legacy-restore` removes nothing if one rule is missing: then somebody else was faster.
fn apply(place: FilterPlace, changes: &[xtables::Change]) -> Attempt<()> {
    match xtables::apply(place.family, changes) {
        Ok(()) => Ok(()),
        Err(xtables::ApplyError::Refused { .. }) => Err(Failure::Changed),
        Err(error) => Err(Failure::Final(with_causes(&error))),
    }
}

fn handle(id: &RuleId) -> Option<u64> {
    match id {
        RuleId::Handle(handle) => Some(*handle),
        RuleId::Words(_) => None,
    }
}

fn delete_words(chain: &'static str, id: &RuleId) -> Option<xtables::Change> {
    match id {
        RuleId::Words(words) => Some(xtables::Change::DeleteRule { chain, words: Arc::clone(words) }),
        RuleId::Handle(_) => None,
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        if matches!(error, CommitError::Changed) { Failure::Changed } else { Failure::Final(with_causes(&error)) }
    }
}

impl From<nft::Error> for Failure {
    fn from(error: nft::Error) -> Self {
        Failure::Final(with_causes(&error))
    }
}

impl From<firewall::LookError> for Failure {
    fn from(error: firewall::LookError) -> Self {
        Failure::Final(with_causes(&error))
    }
}

#[cfg(test)]
mod tests;
