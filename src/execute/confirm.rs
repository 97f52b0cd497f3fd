// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compares the outcomes with a second look: an object that still exists was not removed, whatever the call returned; and
//! one that was kept, or could not be removed, may be gone: an earlier checkpoint of the same run had it too, somebody else
//! removed it, or its network namespace has ended.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use super::Done;
use crate::carrier::filter::FoundRule;
use crate::carrier::{FilterQuery, Outcome, Presence, Query};
use crate::connection::Connection;
use crate::evidence::Evidence;
use crate::firewall::FilterPlace;
use crate::plan::{Item, Verdict};
use crate::probe::Finding;
use crate::system::dir::InodeId;
use crate::system::netns::NetworkId;

/// Takes back the word "removed" for each object that the look afterwards has found, and the words "kept" and "not removed" for
/// each that it knows to be gone. Of those that were not removed only what was in one of the lost network namespaces counts:
/// everything else could be tried, and why it failed has to be told.
pub fn confirm(done: &mut [Done], after: &[Finding], lost: &BTreeSet<NetworkId>) {
    let left = Remaining::of(after);
    for done in done.iter_mut().filter(|done| done.outcome == Outcome::Removed) {
        if left.has(&done.item.finding) {
            done.outcome = Outcome::Failed("it still exists after its removal, or exists again".to_owned());
        }
    }
    // Ten thousand may be kept, and gone.
    let mut gone: BTreeMap<&[Evidence], Vec<&Finding>> = BTreeMap::new();
    for finding in after.iter().filter(|finding| matches!(finding.presence, Presence::Gone(_))) {
        gone.entry(finding.residue.evidence()).or_default().push(finding);
    }
    let has_stayed = |done: &&mut Done| match (&done.item.verdict, &done.outcome) {
        (Verdict::Keep(_), _) => true,
        (Verdict::Remove, Outcome::Failed(_)) => {
            done.item.finding.presence.network().is_some_and(|network| lost.contains(&network.id))
        }
        (Verdict::Remove, Outcome::Removed | Outcome::AlreadyGone | Outcome::Kept)
        | (Verdict::LeftOut | Verdict::Nothing | Verdict::CannotTell, _) => false,
    };
    for done in done.iter_mut().filter(has_stayed) {
        let Item { finding, verdict, .. } = &mut done.item;
        let mut of_entries = gone.get(finding.residue.evidence()).into_iter().flatten();
        if let Some(now) = of_entries.find(|now| now.residue == finding.residue) {
            finding.presence = now.presence.clone();
            (*verdict, done.outcome) = (Verdict::Nothing, Outcome::AlreadyGone);
        }
    }
}

/// What is there, by what tells one object from another. Ten thousand objects are looked up in it.
#[derive(Default)]
struct Remaining<'a> {
    files: HashSet<(InodeId, PathBuf)>,
    rules: HashSet<(NetworkId, &'a FoundRule)>,
    tables: HashSet<(NetworkId, u64)>,
    chains: HashSet<(NetworkId, FilterPlace)>,
    in_tables: HashSet<Connection>,
    entries: HashSet<(InodeId, PathBuf)>,
    tasks: HashSet<(u32, Duration)>,
}

impl<'a> Remaining<'a> {
    fn of(findings: &'a [Finding]) -> Self {
        let mut left = Remaining::default();
        for finding in findings {
            left.add(finding);
        }
        left
    }

    fn add(&mut self, finding: &'a Finding) {
        match &finding.presence {
            Presence::File(file) => drop(self.files.insert((file.identity.id(), file.place.path()))),
            Presence::Rules(found) => {
                let namespace = found.namespace.id;
                self.rules.extend(found.rules.iter().map(|rule| (namespace, rule)));
            }
            Presence::Table(found) => drop(self.tables.insert((found.namespace.id, found.view.handle))),
            Presence::Chain(found) => drop(self.chains.insert((found.namespace.id, found.place))),
            Presence::InTable(_) => self.in_tables.extend(connection(finding)),
            Presence::Entry(entry) => drop(self.entries.insert((entry.identity.id(), entry.path()))),
            Presence::Task(found) => drop(self.tasks.insert((found.task.pid, found.after_boot))),
            Presence::Gone(_) | Presence::Vanished(_) | Presence::Untied(_) | Presence::Unreachable(_) => {}
        }
    }

    fn has(&self, removed: &Finding) -> bool {
        match &removed.presence {
            Presence::File(file) => {
                !self.files.is_empty() && self.files.contains(&(file.identity.id(), file.place.path()))
            }
            Presence::Rules(found) => {
                let namespace = found.namespace.id;
                found.rules.iter().any(|rule| self.rules.contains(&(namespace, rule)))
            }
            Presence::Table(found) => self.tables.contains(&(found.namespace.id, found.view.handle)),
            Presence::Chain(found) => self.chains.contains(&(found.namespace.id, found.place)),
            Presence::Entry(entry) => self.entries.contains(&(entry.identity.id(), entry.path())),
            Presence::Task(found) => self.tasks.contains(&(found.task.pid, found.after_boot)),
            Presence::InTable(_) => connection(removed).is_some_and(|removed| self.in_tables.contains(&removed)),
            Presence::Gone(_) | Presence::Vanished(_) | Presence::Untied(_) | Presence::Unreachable(_) => false,
        }
    }
}

fn connection(finding: &Finding) -> Option<Connection> {
    let Query::Filter(FilterQuery::InTable { connection }) = finding.residue.query() else { return None };
    Some(connection)
}

#[cfg(test)]
mod tests;
