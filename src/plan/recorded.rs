// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the record of a dump says about a found object. Pure.
//!
//! A file's inode, and nf_tables' handles within a network namespace, identify an object. The *name* of a link has no
//! such number: it was certainly not re-created only if the inode or the directory has not changed since. Rules of
//! legacy iptables have no number either.

use crate::carrier::filter::{FoundChain, FoundRules, FoundTable, RecordedNamespace};
use crate::carrier::{FilterQuery, FoundFile, NameQuery, Presence, Query};
use crate::connection::Connection;
use crate::kind::Answer;
use crate::probe::Finding;
use crate::record::document::{Chain, Link, Network, Rule};
use crate::record::fields::Time;
use crate::record::{Boot, Company, Record, Trust};
use crate::system::filesystem::FilesystemId;
use crate::system::netns::NetworkId;

/// Asks the record, if there is one that can tell. One that may be anybody's tells only what is another object.
pub(super) fn ask(record: Option<&Record>, namespace: RecordedNamespace, finding: &Finding) -> Option<Answer> {
    let record = record?;
    let answer = match &finding.presence {
        Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_)
        | Presence::Entry(_)
        | Presence::Task(_)
        | Presence::InTable(_) => None,
        Presence::File(file) => about_file(record, &name(finding)?, file),
        Presence::Rules(found) => {
            let rules = record.rules(&connection(finding)?);
            about_network(record, namespace, found.namespace.id, |network| about_rules(rules, network, found))
        }
        // A name with the run id is proof enough.
        Presence::Table(found) if found.name.is_signed() => None,
        Presence::Table(found) => {
            about_network(record, namespace, found.namespace.id, |network| about_table(network, found))
        }
        Presence::Chain(found) => {
            about_network(record, namespace, found.namespace.id, |network| about_chain(network, found))
        }
    };
    answer.filter(|answer| record.trust == Trust::Full || *answer == Answer::Other)
}

fn name(finding: &Finding) -> Option<NameQuery> {
    match finding.residue.query() {
        Query::Name(name) => Some(name),
        Query::Filter(_) | Query::Entry(_) | Query::Tasks => None,
    }
}

fn connection(finding: &Finding) -> Option<Connection> {
    match finding.residue.query() {
        Query::Filter(FilterQuery::Rules { connection, .. }) => Some(connection),
        Query::Filter(FilterQuery::InTable { .. } | FilterQuery::Table { .. } | FilterQuery::Chain)
        | Query::Name(_)
        | Query::Entry(_)
        | Query::Tasks => None,
    }
}

fn about_file(record: &Record, name: &NameQuery, file: &FoundFile) -> Option<Answer> {
    let recorded = record.link(name.shape.id, &name.path)?;
    match (is_same_file(recorded, file, record.boot), record.company) {
        (Some(true), _) => {}
        (Some(false), _) => return Some(Answer::Other),
        // Nothing but the record says that there was a link.
        (None, Company::Alone) => return Some(Answer::Unclear),
        (None, Company::Images) => return None,
    }
    let directory = &recorded.directory;
    // To make a link changes the inode and the directory, and each time that is another time: the record was not made
    // before the clock of files had gone on.
    let is_unchanged = recorded.changed == Time(file.identity.changed)
        || (directory.inode, directory.changed) == (file.directory.inode, Time(file.directory.changed));
    Some(if is_unchanged { Answer::Same } else { Answer::Unclear })
}

/// `None` if it is not known: an overlay's files have other numbers than those of its upper directory, and what
/// has no device of its own gets another number with each mount.
fn is_same_file(recorded: &Link, file: &FoundFile, boot: Boot) -> Option<bool> {
    let found = &file.identity;
    let is_same_birth = recorded.born.zip(found.born).map(|(Time(recorded), found)| recorded == found);
    let is_same_inode = recorded.inode == found.inode;
    let is_same_filesystem = is_same_filesystem(recorded, &file.filesystem, boot);
    let has_lasting_number = boot == Boot::This || found.device.0 != 0;
    if recorded.device.0 == found.device {
        if is_same_filesystem == Some(false) {
            return Some(false);
        }
        if has_lasting_number || is_same_filesystem == Some(true) {
            return Some(is_same_inode && is_same_birth != Some(false));
        }
    }
    let is_confirmed = is_same_birth == Some(true) || is_same_birth.is_none() && is_same_filesystem == Some(true);
    (is_same_inode && is_confirmed).then_some(true)
}

/// What UUID and disk say; `None` where neither is known of both. A filesystem keeps its UUID for good, and shares it
/// with its snapshots; a disk keeps its sequence number until it is detached.
fn is_same_filesystem(recorded: &Link, found: &FilesystemId, boot: Boot) -> Option<bool> {
    if recorded.is_on_other_disk(found, boot) { Some(false) } else { recorded.has_uuid_of(found) }
}

/// What is in another network namespace than the recorded one is not this dump's, unless nobody can tell which is which.
fn about_network(
    record: &Record,
    recorded: RecordedNamespace,
    found: NetworkId,
    compare: impl FnOnce(&Network) -> Option<Answer>,
) -> Option<Answer> {
    let network = record.network()?;
    match recorded {
        RecordedNamespace::Unknown => None,
        RecordedNamespace::Found(id) if id == found => compare(network),
        RecordedNamespace::Found(_) | RecordedNamespace::NotFound => Some(Answer::Other),
    }
}

fn about_rules(recorded: Option<&[Rule]>, network: &Network, found: &FoundRules) -> Option<Answer> {
    let recorded = match recorded {
        None if !network.complete => return None,
        recorded => recorded.unwrap_or_default(),
    };
    let answers = found.rules.iter().map(|rule| {
        let rule = Rule::of(rule.place, rule.key.direction, rule.table, &rule.id);
        about_rule(&rule, recorded)
    });
    gravest(answers)
}

/// A rule without a handle is equal to any other of its text.
fn about_rule(found: &Rule, recorded: &[Rule]) -> Answer {
    match (recorded.contains(found), found.handle) {
        (true, Some(_)) => Answer::Same,
        (true, None) => Answer::Unclear,
        (false, _) => Answer::Other,
    }
}

fn gravest(answers: impl Iterator<Item = Answer>) -> Option<Answer> {
    answers.max_by_key(|answer| match answer {
        Answer::Same => 0,
        Answer::Unclear => 1,
        Answer::Other => 2,
    })
}

fn about_table(network: &Network, found: &FoundTable) -> Option<Answer> {
    match network.tables.iter().find(|table| table.name == found.name.as_str()) {
        Some(recorded) if recorded.handle == found.view.handle => Some(Answer::Same),
        None if !network.complete => None,
        _ => Some(Answer::Other),
    }
}

fn about_chain(network: &Network, found: &FoundChain) -> Option<Answer> {
    let command = found.place.to_string();
    match network.chains.iter().find(|chain| chain.command == command) {
        Some(recorded) if network.is_closed_once() => Some(compare_chain(recorded, found)),
        // Another dump had closed the namespace before, with the same chain.
        Some(recorded) => Some(match compare_chain(recorded, found) {
            Answer::Other => Answer::Other,
            Answer::Same | Answer::Unclear => Answer::Unclear,
        }),
        None if !network.complete => None,
        None => Some(Answer::Other),
    }
}

/// A jump more is another lock of the namespace, by the same chain.
fn compare_chain(recorded: &Chain, found: &FoundChain) -> Answer {
    let view = &found.view;
    if view.jumps.len() > recorded.jumps.len() || (recorded.table, recorded.handle) != (view.table, view.handle) {
        return Answer::Other;
    }
    let jumps = view.jumps.iter().map(|(direction, id)| {
        let jump = Rule::of(found.place, *direction, view.table, id);
        about_rule(&jump, &recorded.jumps)
    });
    let of_chain = if recorded.handle.is_some() { Answer::Same } else { Answer::Unclear };
    gravest(jumps.chain([of_chain])).unwrap_or(of_chain)
}

#[cfg(test)]
mod tests;
