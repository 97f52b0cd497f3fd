// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decides what is removed and what is kept, and why. Pure.
//!
//! A [`Plan`] is built here and nowhere else, and whoever carries it out consumes it. An object is removed only when
//! nothing speaks against it: every objection is a [`KeepReason`], and the user can set aside those that are a matter
//! of judgement, one kind at a time.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::checkpoint::{Checkpoint, RestoreEvidence};
use crate::mounts::Identity;
use crate::probe::{
    Finding, FoundChain, FoundFile, FoundRules, FoundTable, Presence, RecordedNamespace, Survey, Tie, TreeState,
};
use crate::residue::{ConnectionLock, Flow, LinkRemap, LockTable, Residue};
use crate::system::author::Author;
use crate::system::dir::InodeId;
use crate::time::Timestamp;

mod reason;
mod recorded;

pub use reason::{KeepReason, NotAReason};
pub use recorded::Answer;

/// What is to happen with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is removed.
    Remove,
    /// It is kept, for these reasons; never empty.
    Keep(Vec<KeepReason>),
    /// There is nothing to remove any more.
    Nothing,
    /// Whether it is there cannot be told.
    CannotTell,
}

impl Verdict {
    /// How much is left if it is carried out.
    fn gravity(&self) -> u8 {
        match self {
            Verdict::Nothing => 0,
            Verdict::Remove => 1,
            Verdict::Keep(_) => 2,
            Verdict::CannotTell => 3,
        }
    }
}

/// An object with what was found of it and what is to happen with it.
#[derive(Debug)]
pub struct Item {
    /// What was found.
    pub finding: Finding,
    /// What is to happen.
    pub verdict: Verdict,
    /// What the record of the dump says about it, where it says something.
    pub record: Option<Answer>,
}

/// What will be done about one checkpoint.
#[derive(Debug)]
pub struct Plan {
    items: Vec<Item>,
}

/// A plan that has passed the last guard: only such a one can be carried out.
#[derive(Debug)]
pub struct GuardedPlan {
    items: Vec<Item>,
}

/// What the user decided beforehand.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The reasons that do not count (`--allow`).
    pub allowed: BTreeSet<KeepReason>,
    /// Changes of inodes, by device and inode number, that an earlier run made when it kept their files (`--save`).
    pub own_changes: HashMap<InodeId, Timestamp>,
}

impl Plan {
    /// What is to happen with each object, in the order in which it is done.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether anything is to be removed.
    pub fn removes_anything(&self) -> bool {
        self.items.iter().any(|item| item.verdict == Verdict::Remove)
    }

    /// The last guard before anything is removed, which the plan itself has no part in: where a process of the tree or
    /// a criu is there by now, everything is kept.
    pub fn guarded(mut self, tree: &TreeState, policy: &Policy) -> GuardedPlan {
        let reasons = policy.objections(general_reasons(tree));
        if !reasons.is_empty() {
            for item in self.items.iter_mut().filter(|item| item.verdict == Verdict::Remove) {
                item.verdict = Verdict::Keep(reasons.clone());
            }
        }
        GuardedPlan { items: self.items }
    }
}

impl GuardedPlan {
    /// Gives up the plan for its items.
    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }
}

impl Policy {
    /// The reasons that still count, each once, the gravest first.
    fn objections(&self, reasons: impl IntoIterator<Item = KeepReason>) -> Vec<KeepReason> {
        let counts = |reason: &KeepReason| !(reason.can_be_allowed() && self.allowed.contains(reason));
        let reasons: BTreeSet<KeepReason> = reasons.into_iter().filter(counts).collect();
        reasons.into_iter().collect()
    }

    /// Whether the last change of a file is one that the tool made itself, after it had found the file to be the
    /// dump's. It is no evidence about anything else: what a newer dump would have changed is still a sign of one.
    fn is_own_change(&self, file: &FoundFile) -> bool {
        self.own_changes.get(&file.identity.id()) == Some(&file.identity.changed)
    }
}

/// Decides about everything that was found.
pub fn decide(checkpoint: &Checkpoint, survey: Survey, policy: &Policy) -> Plan {
    let mut context = Context::new(checkpoint, &survey, policy);
    context.tables = context.verdict_on_tables(&survey);
    let decided: Vec<(Verdict, Option<Answer>)> =
        survey.findings.iter().map(|finding| (context.verdict(finding), context.answer(finding))).collect();
    let items = survey.findings.into_iter().zip(decided);
    let items = items.map(|(finding, (verdict, record))| Item { finding, verdict, record }).collect();
    Plan { items }
}

struct Context<'a> {
    checkpoint: &'a Checkpoint,
    policy: &'a Policy,
    /// What speaks against any removal at all.
    general: Vec<KeepReason>,
    /// What speaks against removing something that does not say by itself whose it is.
    unsigned: Vec<KeepReason>,
    /// Whether the tree runs, restored from the images.
    is_restored: bool,
    /// Where the network namespace of the record is.
    namespace: RecordedNamespace,
    /// What is to happen with the lock tables, and so with the connections that are locked by them.
    tables: Verdict,
}

impl<'a> Context<'a> {
    fn new(checkpoint: &'a Checkpoint, survey: &Survey, policy: &'a Policy) -> Self {
        let unsigned = Vec::new();
        let mut context = Context {
            checkpoint,
            policy,
            general: general_reasons(&survey.tree),
            unsigned,
            is_restored: survey.tree.is_restored(),
            namespace: survey.recorded_namespace,
            tables: Verdict::Nothing,
        };
        if was_restored(checkpoint.restored.as_ref(), &survey.tree)
            || checkpoint.absence != Author::Trusted
                && !survey.findings.iter().any(|finding| context.shows_no_restore(finding))
        {
            context.unsigned.push(KeepReason::RestoredSince);
        }
        if survey.findings.iter().any(|finding| context.is_made_anew(finding)) {
            context.unsigned.push(KeepReason::NewerDump);
        }
        context
    }

    /// What the record says about an object.
    fn answer(&self, finding: &Finding) -> Option<Answer> {
        recorded::ask(self.checkpoint.record.record(), self.namespace, finding)
    }

    /// Whether an object may be a link that a newer dump made.
    fn is_made_anew(&self, finding: &Finding) -> bool {
        let (Presence::File(file), Residue::LinkRemap(link)) = (&finding.presence, &finding.residue) else {
            return false;
        };
        let answer = self.answer(finding);
        answer == Some(Answer::Other) || self.is_changed(link, file, answer)
    }

    /// Whether an object is a link that a restore would have taken away, in a directory where nobody else could have kept
    /// it from that.
    fn shows_no_restore(&self, finding: &Finding) -> bool {
        let (Presence::File(file), Residue::LinkRemap(link)) = (&finding.presence, &finding.residue) else {
            return false;
        };
        let directory = Author::of_owner(file.directory.owner, file.directory.mode);
        directory == Author::Trusted && self.about_file(link, file, self.answer(finding)).is_empty()
    }

    /// Whether a link may have been made anew since. A record is more exact than the times of the images.
    fn is_changed(&self, link: &LinkRemap, file: &FoundFile, answer: Option<Answer>) -> bool {
        match answer {
            Some(Answer::Same) => false,
            Some(Answer::Unclear) => true,
            Some(Answer::Other) | None => is_changed_since(self.checkpoint, link, file),
        }
    }

    /// The gravest verdict on a lock table.
    fn verdict_on_tables(&self, survey: &Survey) -> Verdict {
        let tables = survey.findings.iter().filter(|finding| matches!(finding.residue, Residue::LockTable(_)));
        let verdicts = tables.map(|finding| self.verdict(finding));
        verdicts.max_by_key(Verdict::gravity).unwrap_or(Verdict::Nothing)
    }

    fn verdict(&self, finding: &Finding) -> Verdict {
        let answer = self.answer(finding);
        let mut reasons = match (&finding.presence, &finding.residue) {
            (Presence::Gone(_) | Presence::Vanished(_), _) => return Verdict::Nothing,
            (Presence::Unreachable(_), _) => return Verdict::CannotTell,
            (Presence::File(file), Residue::LinkRemap(link)) => self.about_file(link, file, answer),
            (Presence::Rules(found), Residue::Connection(connection)) => match connection.lock {
                ConnectionLock::Rules(_) => self.about_rules(found, answer),
                ConnectionLock::Table => return self.tables.clone(),
            },
            (Presence::InTable(_), _) => return self.tables.clone(),
            (Presence::Table(found), Residue::LockTable(table)) => self.about_table(table, found, answer),
            (Presence::Chain(found), _) => self.about_chain(found, answer),
            _ => return Verdict::CannotTell,
        };
        if answer == Some(Answer::Other) {
            reasons.push(KeepReason::NotRecorded);
        }
        if answer != Some(Answer::Same) && !may_remove(self.checkpoint.author, &finding.presence) {
            reasons.push(KeepReason::ForeignImages);
        }
        let reasons = self.policy.objections(self.general.iter().copied().chain(reasons));
        if reasons.is_empty() { Verdict::Remove } else { Verdict::Keep(reasons) }
    }

    fn about_file(&self, link: &LinkRemap, file: &FoundFile, answer: Option<Answer>) -> Vec<KeepReason> {
        const TYPE: u32 = 0o170_000;
        const DIRECTORY: u32 = 0o040_000;
        let mut reasons = Vec::new();
        let mode = file.identity.mode;
        if mode & TYPE == DIRECTORY {
            return vec![KeepReason::Directory];
        }
        if link.mode.is_some_and(|expected| expected & TYPE != mode & TYPE) {
            reasons.push(KeepReason::OtherType);
        } else if link.mode.is_some_and(|expected| expected != mode) {
            reasons.push(KeepReason::OtherMode);
        }
        if link.size.is_some_and(|expected| expected != file.identity.size) {
            reasons.push(KeepReason::OtherSize);
        }
        if self.is_changed(link, file, answer) && !self.policy.is_own_change(file) {
            reasons.push(KeepReason::ChangedSince);
        }
        // A number that can be given again, and a mount's option, say only where to look.
        if file.place.base.identity() != Identity::Certain
            && answer != Some(Answer::Same)
            && !self.checkpoint.span().is_some_and(|span| span.made(&file.identity, &file.directory))
        {
            reasons.push(KeepReason::OlderThanDump);
        }
        // A restore takes the link away; and while the restored tree lives, no newer dump can have killed it.
        if self.checkpoint.restored.is_some() && !self.is_restored && answer != Some(Answer::Same) {
            reasons.push(KeepReason::RestoredSince);
        }
        reasons
    }

    fn about_rules(&self, found: &FoundRules, answer: Option<Answer>) -> Vec<KeepReason> {
        let mut reasons = self.about_unsigned(answer);
        if !is_tied(found.tie, answer) {
            reasons.push(KeepReason::UntiedNamespace);
        }
        reasons
    }

    /// What speaks against removing something that does not say by itself whose it is, unless the record does.
    fn about_unsigned(&self, answer: Option<Answer>) -> Vec<KeepReason> {
        if answer == Some(Answer::Same) { Vec::new() } else { self.unsigned.clone() }
    }

    fn about_table(&self, table: &LockTable, found: &FoundTable, answer: Option<Answer>) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        if !found.view.foreign.is_empty() || !table.form.admits(found.view.form) {
            reasons.push(KeepReason::ForeignContent);
        }
        if found.name.is_signed() {
            return reasons;
        }
        let known: HashSet<&Flow> = table.flows.iter().collect();
        if !found.view.flows.iter().all(|flow| known.contains(flow)) {
            reasons.push(KeepReason::ForeignContent);
        }
        if !is_tied(found.tie, answer) {
            reasons.push(KeepReason::UntiedNamespace);
        }
        reasons.extend(self.about_unsigned(answer));
        reasons
    }

    fn about_chain(&self, found: &FoundChain, answer: Option<Answer>) -> Vec<KeepReason> {
        let mut reasons = self.about_unsigned(answer);
        if !is_tied(found.tie, answer) {
            reasons.push(KeepReason::UntiedNamespace);
        }
        if !found.view.foreign.is_empty() {
            reasons.push(KeepReason::ForeignContent);
        }
        // Each dump adds one jump from each side, and nothing tells them apart but a record.
        if !found.view.is_closed_once() && answer != Some(Answer::Same) {
            reasons.push(KeepReason::SharedLock);
        }
        reasons
    }
}

fn general_reasons(tree: &TreeState) -> Vec<KeepReason> {
    let mut reasons = Vec::new();
    if !tree.criu.is_empty() {
        reasons.push(KeepReason::CriuAtWork);
    }
    if !tree.alive.is_empty() {
        reasons.push(KeepReason::TreeAlive);
    }
    if tree.unknown.is_some() {
        reasons.push(KeepReason::TreeUnknown);
    }
    reasons
}

/// Whether the author of the images could have removed the object without the tool: else their word would have it
/// remove what they cannot. Of files that is who owns the file or its directory; of packet filters root alone.
fn may_remove(author: Author, presence: &Presence) -> bool {
    match (author, presence) {
        (Author::Trusted, _) => true,
        (Author::User(user), Presence::File(file)) => [file.identity.owner, file.directory.owner].contains(&user),
        (Author::User(_) | Author::Anybody, _) => false,
    }
}

/// What a record ties is the object that it names, and no other in the same network namespace.
fn is_tied(tie: Option<Tie>, answer: Option<Answer>) -> bool {
    match tie {
        Some(Tie::Named | Tie::Own | Tie::Devices | Tie::Metadata) => true,
        Some(Tie::Recorded) | None => answer == Some(Answer::Same),
    }
}

fn was_restored(evidence: Option<&RestoreEvidence>, tree: &TreeState) -> bool {
    evidence.is_some() || tree.is_restored()
}

/// Whether the link may have been made after the images were written. Making a link changes both its inode and its
/// directory; so if one of them was not changed since, the link is the one that this dump made.
fn is_changed_since(checkpoint: &Checkpoint, link: &LinkRemap, file: &FoundFile) -> bool {
    let Some(written) = checkpoint.times.of(&link.evidence).or(checkpoint.written) else { return true };
    file.identity.changed > written.latest() && file.directory.changed > written.latest()
}

#[cfg(test)]
mod tests;
