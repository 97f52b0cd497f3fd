// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decides what to remove and what to keep, and why. Pure.
//!
//! Only this module builds a [`Plan`], and carrying it out consumes it. An object is removed only if nothing speaks
//! against it. Every objection is a [`KeepReason`]; the user can ignore those that are a matter of judgement, one at a
//! time.

use std::collections::{BTreeSet, HashMap};

use crate::carrier::name::NameAct;
use crate::carrier::{FoundFile, Presence, Query};
use crate::checkpoint::{Checkpoint, RestoreEvidence};
use crate::connection::TableForm;
use crate::kind::{Basis, Residue, Signs};
use crate::part::Part;
use crate::probe::{Finding, Survey};
use crate::system::author::Author;
use crate::system::dir::InodeId;
use crate::system::netns::NetworkId;
use crate::time::Timestamp;
use crate::tree::{Guard, LiveTask, Role, TreeState, UnknownTree};

mod recorded;

pub use crate::kind::Answer;
pub use crate::reason::KeepReason;

/// What is to happen with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is removed.
    Remove,
    /// It is kept, for these reasons; never empty.
    Keep(Vec<KeepReason>),
    /// There is nothing to remove any more.
    Nothing,
    /// It is not known whether it exists.
    CannotTell,
    /// It is of a part that the user did not choose.
    LeftOut,
}

impl Verdict {
    /// How much is left if it is carried out.
    fn gravity(&self) -> u8 {
        match self {
            Verdict::Nothing | Verdict::LeftOut => 0,
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
    /// The reasons that do not count (`--allow`, `--from-log`).
    pub allowed: BTreeSet<KeepReason>,
    /// The only part that the user wants removed (`--only`).
    pub only: Option<Part>,
    /// What becomes of processes that a killed restore left.
    pub stranded: StrandedTasks,
    /// Changes of inodes, by device and inode number, that an earlier run made when it kept their files (`--save`).
    pub own_changes: HashMap<InodeId, Timestamp>,
}

/// What becomes of processes that a killed restore left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StrandedTasks {
    /// They stay, and so does what depends on their end.
    #[default]
    Keep,
    /// They are killed (`--kill`).
    End,
}

impl Plan {
    /// Gives up the plan for its items.
    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }

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
        for item in self.items.iter_mut().filter(|item| item.verdict == Verdict::Remove) {
            let reasons = policy.objections(general_reasons(tree, policy, &item.finding));
            if !reasons.is_empty() {
                item.verdict = Verdict::Keep(reasons);
            } else if is_past(tree, &item.finding.presence) {
                item.verdict = Verdict::Nothing;
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
        let counts = |reason: &KeepReason| !(reason.can_be_lifted() && self.allowed.contains(reason));
        let reasons: BTreeSet<KeepReason> = reasons.into_iter().filter(counts).collect();
        reasons.into_iter().collect()
    }

    /// The verdict on an object of this part. An object that is gone is not left out.
    fn within(&self, part: Part, verdict: Verdict) -> Verdict {
        match (self.only, &verdict) {
            (None, _) | (_, Verdict::Nothing) => verdict,
            (Some(only), _) if only == part => verdict,
            (Some(_), _) => Verdict::LeftOut,
        }
    }

    /// Whether the last change of a file is one that the tool made itself, after it had found the file to be the
    /// dump's. It is no evidence about anything else: what a newer dump would have changed is still a sign of one.
    fn is_own_change(&self, presence: &Presence) -> bool {
        let Presence::File(FoundFile { identity, .. }) = presence else { return false };
        self.own_changes.get(&identity.id()) == Some(&identity.changed)
    }
}

/// Decides about everything that was found.
pub fn decide(checkpoint: &Checkpoint, survey: Survey, policy: &Policy) -> Plan {
    let Survey { tree, findings, recorded_namespace, .. } = survey;
    let ask = |finding: &Finding| recorded::ask(checkpoint.record.record(), recorded_namespace, finding);
    let answered: Vec<Answered> =
        findings.into_iter().map(|finding| Answered { record: ask(&finding), finding }).collect();
    let mut decider = Decider::new(checkpoint, &tree, &answered, policy);
    decider.tables = decider.verdict_on_tables(&answered);
    let item = |answered: Answered| Item {
        verdict: policy.within(answered.finding.residue.part(), decider.verdict(&answered)),
        finding: answered.finding,
        record: answered.record,
    };
    Plan { items: answered.into_iter().map(item).collect() }
}

/// A finding with what the record of the dump says about it.
struct Answered {
    finding: Finding,
    record: Option<Answer>,
}

struct Decider<'a> {
    checkpoint: &'a Checkpoint,
    policy: &'a Policy,
    tree: &'a TreeState,
    /// What speaks against removing something that does not say by itself whose it is.
    unsigned: Vec<KeepReason>,
    /// The last changes of all link remaps that are there.
    changes: Vec<Timestamp>,
    /// What is to happen with the lock tables, and so with the connections that are locked by them.
    tables: Verdict,
}

impl<'a> Decider<'a> {
    fn new(checkpoint: &'a Checkpoint, tree: &'a TreeState, answered: &[Answered], policy: &'a Policy) -> Self {
        let (unsigned, tables) = (Vec::new(), Verdict::Nothing);
        let links = answered.iter().map(|answered| &answered.finding);
        let links = links.filter(|finding| matches!(finding.residue, Residue::LinkRemap(_)));
        let change = |finding: &Finding| {
            let Presence::File(found) = &finding.presence else { return None };
            Some(found.identity.changed)
        };
        let changes = links.filter_map(change).collect();
        let mut decider = Decider { checkpoint, policy, tree, unsigned, changes, tables };
        let signs: Vec<Signs> = answered.iter().filter_map(|answered| decider.signs(answered)).collect();
        let is_open = checkpoint.absence != Author::Trusted && !signs.iter().any(|signs| signs.of_no_restore);
        if was_restored(checkpoint.restores.succeeded.as_ref(), tree) || is_open {
            decider.unsigned.push(KeepReason::RestoredSince);
        }
        if signs.iter().any(|signs| signs.of_newer_dump) || decider.was_cleaned(answered) {
            decider.unsigned.push(KeepReason::NewerDump);
        }
        decider
    }

    /// Whether all links of an interrupted dump were removed, and the tree is dead: perhaps a newer dump ended it, which has
    /// the same rules.
    fn was_cleaned(&self, answered: &[Answered]) -> bool {
        let is_link = |answered: &&Answered| matches!(answered.finding.residue, Residue::LinkRemap(_));
        let is_gone = |answered: &Answered| matches!(answered.finding.presence, Presence::Gone(_));
        let mut links = answered.iter().filter(is_link).peekable();
        self.checkpoint.is_interrupted() && !self.tree.runs_on() && links.peek().is_some() && links.all(is_gone)
    }

    fn basis(&self, answered: &Answered) -> Basis<'_> {
        Basis {
            checkpoint: self.checkpoint,
            record: answered.record,
            tree: self.tree,
            unsigned: &self.unsigned,
            changes: &self.changes,
            is_own_change: self.policy.is_own_change(&answered.finding.presence),
        }
    }

    fn signs(&self, answered: &Answered) -> Option<Signs> {
        answered.finding.residue.signs(&answered.finding.presence, &self.basis(answered))
    }

    /// The gravest verdict on a lock table.
    fn verdict_on_tables(&self, answered: &[Answered]) -> Verdict {
        let tables = answered.iter().filter(|answered| matches!(answered.finding.residue, Residue::LockTable(_)));
        let verdicts = tables.map(|answered| self.verdict(answered));
        verdicts.max_by_key(Verdict::gravity).unwrap_or(Verdict::Nothing)
    }

    fn verdict(&self, answered: &Answered) -> Verdict {
        let Finding { residue, presence } = &answered.finding;
        match presence {
            Presence::Gone(_) | Presence::Vanished(_) | Presence::Untied(_) => return Verdict::Nothing,
            Presence::Unreachable(_) => return Verdict::CannotTell,
            Presence::InTable(_) => return self.tables.clone(),
            Presence::File(_)
            | Presence::Rules(_)
            | Presence::Table(_)
            | Presence::Chain(_)
            | Presence::Entry(_)
            | Presence::Task(_) => {}
        }
        let Some(mut reasons) = residue.objections(presence, &self.basis(answered)) else { return Verdict::CannotTell };
        if !self.checkpoint.is_of_known_version() {
            reasons.push(KeepReason::UnknownVersion);
        }
        if answered.record == Some(Answer::Other) {
            reasons.push(KeepReason::NotRecorded);
        }
        if answered.record != Some(Answer::Same) && !may_remove(self.checkpoint.author, presence) {
            reasons.push(KeepReason::ForeignImages);
        }
        let reasons = self
            .policy
            .objections(general_reasons(self.tree, self.policy, &answered.finding).into_iter().chain(reasons));
        if reasons.is_empty() { Verdict::Remove } else { Verdict::Keep(reasons) }
    }
}

/// What speaks against any removal of what was found.
fn general_reasons(tree: &TreeState, policy: &Policy, finding: &Finding) -> Vec<KeepReason> {
    let (mut reasons, presence) = (Vec::new(), &finding.presence);
    if !tree.criu.is_empty() {
        reasons.push(KeepReason::CriuAtWork);
    }
    // What a restore moved out of its way is nobody's but the user's.
    if is_moved_back(finding) {
        return reasons;
    }
    if policy.stranded == StrandedTasks::Keep && is_used_by_stranded(tree, presence) {
        reasons.push(KeepReason::HalfRestored);
    }
    if is_of_restore_alone(presence) {
        return reasons;
    }
    match &tree.guard {
        Guard::Dead => reasons.extend(reasons_of_life(tree, presence)),
        Guard::Idle { traced } => reasons.extend(reasons_of_work(tree, traced)),
    }
    reasons
}

/// The tree may need it, or a restore that the tree has to be dead for.
fn reasons_of_life(tree: &TreeState, presence: &Presence) -> impl Iterator<Item = KeepReason> {
    let is_alive = closed_network(presence).map_or(!tree.alive.is_empty(), |network| tree.may_live_in(network));
    let alive = is_alive.then_some(KeepReason::TreeAlive);
    alive.into_iter().chain(tree.unknown.is_some().then_some(KeepReason::TreeUnknown))
}

/// Somebody works on the tree, or may. CRIU leaves it stopped only if the dump came to its end (`--leave-stopped`).
fn reasons_of_work(tree: &TreeState, traced: &[LiveTask]) -> impl Iterator<Item = KeepReason> {
    let is_hidden = match tree.unknown {
        Some(UnknownTree::Hidden(_)) => true,
        Some(UnknownTree::NoTasks | UnknownTree::Undecided(_) | UnknownTree::Nameless) | None => false,
    };
    let is_stopped = tree.alive.iter().any(|task| task.state == b'T');
    let traced = (!traced.is_empty()).then_some(KeepReason::TreeTraced);
    let stopped = is_stopped.then_some(KeepReason::TreeAlive);
    traced.into_iter().chain(stopped).chain(is_hidden.then_some(KeepReason::TreeUnknown))
}

fn is_moved_back(finding: &Finding) -> bool {
    matches!(finding.residue.query(), Query::Name(name) if name.act == NameAct::RenameBack)
}

/// Whether a process that a killed criu left may use it. The tasks of a restore have everything of the checkpoint open;
/// CRIU's own processes have only temporary entries.
fn is_used_by_stranded(tree: &TreeState, presence: &Presence) -> bool {
    tree.stranded.iter().any(|stranded| match stranded.role {
        Role::Task => true,
        Role::Helper => is_of_restore_alone(presence),
    })
}

/// Whether a dump never leaves such a thing, so that the dumped tree has no part in it.
fn is_of_restore_alone(presence: &Presence) -> bool {
    match presence {
        Presence::Entry(_) | Presence::Task(_) => true,
        Presence::File(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::Table(_)
        | Presence::Chain(_)
        | Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_) => false,
    }
}

/// Whether it is a process that is not stranded any more.
fn is_past(tree: &TreeState, presence: &Presence) -> bool {
    matches!(presence, Presence::Task(found) if !tree.stranded.iter().any(|stranded| found.is(stranded)))
}

/// The network namespace that a lock closes as a whole. A restore closes the one that it restores into, and leaves it
/// closed when it fails, while the dumped tree may live in another one.
fn closed_network(presence: &Presence) -> Option<NetworkId> {
    match presence {
        Presence::Chain(chain) => Some(chain.namespace.id),
        Presence::Table(table) if table.view.form == TableForm::Closed => Some(table.namespace.id),
        Presence::Table(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::File(_)
        | Presence::Entry(_)
        | Presence::Task(_)
        | Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_) => None,
    }
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

fn was_restored(evidence: Option<&RestoreEvidence>, tree: &TreeState) -> bool {
    evidence.is_some() || tree.may_be_restored()
}

#[cfg(test)]
pub(crate) mod tests;
