// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds the report of a checkpoint from the findings, verdicts and outcomes.

use std::path::Path;

use super::only::OnlyReport;
use super::words::{cannot_be_known, cause_text, count, notes};
use super::{
    Act, CheckpointReport, Drops, GhostReport, Location, MetadataReport, Object, Origin, Outcome, ProcessReport,
    Reason, RecordAnswer, RuleReport, State, Summary, TreeReport, Verdict,
};
use crate::archive::Compression;
use crate::carrier::filter::Tie;
use crate::carrier::name::NameAct;
use crate::carrier::{self, FoundChain, FoundFile, FoundRules, FoundTable, Presence, Query};
use crate::checkpoint::{Checkpoint, Completeness, DumpedGhost};
use crate::connection::TableForm;
use crate::execute::Done;
use crate::firewall::RuleId;
use crate::json::{Bytes, EvidenceReport};
use crate::kind::Residue;
use crate::mounts::Vanished;
use crate::part::Part;
use crate::plan::{self, Item, KeepReason};
use crate::probe::{Finding, Survey};
use crate::save::{Method, Saved};
use crate::tree::{LiveTask, TreeState};

/// What a survey told beside the objects.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    tree: TreeState,
    namespaces: Vec<String>,
    notes: Vec<String>,
    only: Option<Part>,
    /// What cannot be known, in sentences.
    pub(crate) cannot_be_known: Vec<String>,
}

impl Context {
    /// Takes from the survey what the report needs once the plan has taken the rest.
    pub(crate) fn new(checkpoint: &Checkpoint, survey: &Survey, only: Option<Part>) -> Self {
        Context {
            tree: survey.tree.clone(),
            namespaces: survey.namespaces.clone(),
            only,
            notes: notes(checkpoint, &survey.tree).into_iter().chain(survey.notes.iter().cloned()).collect(),
            cannot_be_known: cannot_be_known(checkpoint, survey, only),
        }
    }
}

/// The report of a checkpoint with its objects.
pub(crate) fn checkpoint(
    directory: &Path,
    checkpoint: &Checkpoint,
    origin: Origin,
    context: Context,
    objects: Vec<Object>,
) -> CheckpointReport {
    CheckpointReport {
        images_directory: Bytes::of_path(directory),
        layout: Some(origin.layout.name()),
        archive: origin.archive.map(Compression::name),
        metadata: MetadataReport::of(&origin),
        error: None,
        is_complete: checkpoint.completeness == Completeness::Complete,
        run_id: checkpoint.run_id().map(|id| id.text),
        network_lock: checkpoint.network_lock().map(lock_name),
        network_namespaces: context.namespaces,
        only: context.only.map(|part| OnlyReport::new(part, checkpoint, &objects)),
        tree: tree_report(&context.tree),
        summary: summary(&objects),
        objects,
        ghost_files: checkpoint.ghost_files().map(ghost_report).collect(),
        notes: origin.metadata.notes.into_iter().chain(context.notes).collect(),
        cannot_be_known: context.cannot_be_known,
    }
}

/// The report of a checkpoint that could not be used.
pub(crate) fn failed_checkpoint(directory: &Path, error: &str) -> CheckpointReport {
    CheckpointReport {
        images_directory: Bytes::of_path(directory),
        layout: None,
        archive: None,
        metadata: None,
        error: Some(error.to_owned()),
        is_complete: false,
        run_id: None,
        network_lock: None,
        network_namespaces: Vec::new(),
        only: None,
        tree: TreeReport { state: "unknown", ..TreeReport::default() },
        objects: Vec::new(),
        ghost_files: Vec::new(),
        notes: Vec::new(),
        cannot_be_known: Vec::new(),
        summary: Summary::default(),
    }
}

/// The objects of a plan that was not carried out.
pub(crate) fn planned(items: &[Item]) -> Vec<Object> {
    items.iter().map(|item| object(item, None, None)).collect()
}

/// The objects of a plan that was carried out. Each item is freed once its object is built.
pub(crate) fn done(done: Vec<Done>) -> Vec<Object> {
    done.into_iter().map(|done| object(&done.item, Some(&done.outcome), done.saved.as_ref())).collect()
}

fn object(item: &Item, outcome: Option<&carrier::Outcome>, saved: Option<&Saved>) -> Object {
    let Item { finding, verdict, record } = item;
    let (state, detail) = state(finding);
    let (outcome, failure) = match outcome {
        None => (None, None),
        Some(carrier::Outcome::Removed) => (Some(Outcome::Removed), None),
        Some(carrier::Outcome::AlreadyGone) => (Some(Outcome::AlreadyGone), None),
        Some(carrier::Outcome::Kept) if *verdict == plan::Verdict::LeftOut => (Some(Outcome::LeftOut), None),
        Some(carrier::Outcome::Kept) => (Some(Outcome::Kept), None),
        Some(carrier::Outcome::Failed(why)) => (Some(Outcome::Failed), Some(why.clone())),
    };
    Object {
        subject: finding.residue.describe(&finding.presence),
        location: location(&finding.presence),
        state,
        detail,
        act: act(finding),
        verdict: match verdict {
            plan::Verdict::Remove => Verdict::Remove,
            plan::Verdict::Keep(_) => Verdict::Keep,
            plan::Verdict::Nothing => Verdict::Nothing,
            plan::Verdict::CannotTell => Verdict::CannotTell,
            plan::Verdict::LeftOut => Verdict::LeftOut,
        },
        reasons: reasons(finding, verdict),
        outcome,
        failure,
        saved_as: saved.map(|saved| Bytes::of_path(&saved.path)),
        frees_bytes: frees(finding, saved),
        evidence: finding.residue.evidence().iter().map(EvidenceReport::new).collect(),
        record: record.map(|answer| match answer {
            plan::Answer::Same => RecordAnswer::Same,
            plan::Answer::Other => RecordAnswer::Other,
            plan::Answer::Unclear => RecordAnswer::Unclear,
        }),
    }
}

fn reasons(finding: &Finding, verdict: &plan::Verdict) -> Vec<Reason> {
    let plan::Verdict::Keep(reasons) = verdict else { return Vec::new() };
    reasons
        .iter()
        .map(|reason| Reason {
            name: reason.name(),
            explanation: reason.explanation(),
            remedy: remedy(*reason, finding),
        })
        .collect()
}

/// What would lead to the removal; for a namespace that nothing ties, with the very path.
fn remedy(reason: KeepReason, finding: &Finding) -> String {
    let namespace = finding.presence.network();
    match namespace.and_then(|namespace| namespace.paths.first()) {
        Some(path) if reason == KeepReason::UntiedNamespace => format!("--netns {}", path.display()),
        Some(_) | None => reason.remedy().to_owned(),
    }
}

fn act(finding: &Finding) -> Act {
    if matches!(finding.residue.query(), Query::Name(name) if name.act == NameAct::RenameBack) {
        return Act::RenameBack;
    }
    match &finding.presence {
        Presence::Entry(entry) if !entry.mounts.is_empty() => Act::Unmount,
        Presence::Task(_) => Act::Kill,
        Presence::Entry(_)
        | Presence::File(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::Table(_)
        | Presence::Chain(_)
        | Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_) => Act::Remove,
    }
}

fn location(presence: &Presence) -> Option<Location> {
    match presence {
        Presence::File(file) if file.is_empty_directory => {
            Some(Location::Entry { path: Bytes::of_path(&file.place.path()), mounts: 0 })
        }
        Presence::File(file) => Some(file_location(file)),
        Presence::Rules(rules) => Some(rules_location(rules)),
        Presence::Table(table) => Some(table_location(table)),
        Presence::Chain(chain) => Some(chain_location(chain)),
        Presence::Entry(entry) => {
            Some(Location::Entry { path: Bytes::of_path(&entry.path()), mounts: entry.mounts.len() })
        }
        Presence::Task(found) => Some(Location::Process { pid: found.task.pid, state: char::from(found.task.state) }),
        Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_)
        | Presence::InTable(_) => None,
    }
}

fn file_location(file: &FoundFile) -> Location {
    let identity = &file.identity;
    Location::File {
        path: Bytes::of_path(&file.place.path()),
        device: format!("{}:{}", identity.device.0, identity.device.1),
        inode: identity.inode,
        links: identity.links,
        size: identity.size,
    }
}

fn rules_location(found: &FoundRules) -> Location {
    let rules = found
        .rules
        .iter()
        .map(|rule| RuleReport {
            command: rule.place.to_string(),
            chain: rule.key.direction.chain(),
            handle: match rule.id {
                RuleId::Handle(handle) => Some(handle),
                RuleId::Words(_) => None,
            },
        })
        .collect();
    Location::Rules { namespace: found.namespace.to_string(), rules }
}

fn table_location(found: &FoundTable) -> Location {
    Location::Table {
        namespace: found.namespace.to_string(),
        name: found.name.as_str().to_owned(),
        handle: found.view.handle,
        drops: match found.view.form {
            TableForm::Closed => Drops::Everything,
            TableForm::Connections | TableForm::Either => Drops::Flows(found.view.flows.len()),
        },
    }
}

fn chain_location(found: &FoundChain) -> Location {
    Location::Chain {
        namespace: found.namespace.to_string(),
        command: found.place.to_string(),
        jumps: found.view.jumps.len(),
        tie: found.tie.map(tie_name),
    }
}

fn tie_name(tie: Tie) -> &'static str {
    match tie {
        Tie::Named => "named by the user",
        Tie::Own => "the namespace of criu-gc itself",
        Tie::Metadata => "named by the container's configuration",
        Tie::Tree => "the tree of the interrupted dump is in it",
        Tie::Devices => "has the devices and addresses of the images",
        Tie::Recorded => "named by the record of the dump",
    }
}

fn state(finding: &Finding) -> (State, Option<String>) {
    match &finding.presence {
        Presence::Gone(_) => (State::Gone, None),
        Presence::Vanished(Vanished::Tmpfs(_)) => (State::Vanished, Some(vanished_with_tmpfs(&finding.residue))),
        Presence::Vanished(Vanished::KernelFilesystem(_)) => {
            (State::Vanished, Some("with the tree: it was on a kernel filesystem".to_owned()))
        }
        Presence::Untied(_) => {
            (State::Vanished, Some("with the tree's network namespace, unless that outlived the tree".to_owned()))
        }
        Presence::Unreachable(cause) => (State::Unreachable, Some(cause_text(cause))),
        Presence::InTable(_) => (State::Present, Some("by the network lock table".to_owned())),
        Presence::Table(found) => (State::Present, foreign(&found.view.foreign)),
        Presence::Chain(found) => (State::Present, foreign(&found.view.foreign)),
        Presence::File(_) | Presence::Rules(_) | Presence::Entry(_) | Presence::Task(_) => (State::Present, None),
    }
}

/// The images hold what was on a tmpfs of the tree's own, and so the file.
fn vanished_with_tmpfs(residue: &Residue) -> String {
    let size = match residue.query() {
        Query::Name(name) => name.size,
        Query::Filter(_) | Query::Entry(_) | Query::Tasks => None,
    };
    match size {
        Some(size) => format!(
            "with its tmpfs, which is no longer mounted; its contents ({}) exist only in the images",
            count(size, "byte")
        ),
        None => "with its tmpfs, which is no longer mounted".to_owned(),
    }
}

fn foreign(foreign: &[String]) -> Option<String> {
    (!foreign.is_empty()).then(|| format!("not written by CRIU: {}", foreign.join(", ")))
}

/// Removal frees a file's space only where the link is its last name, and it has not just got another.
fn frees(finding: &Finding, saved: Option<&Saved>) -> u64 {
    let Presence::File(file) = &finding.presence else { return 0 };
    if act(finding) == Act::RenameBack {
        return 0;
    }
    let is_linked = saved.is_some_and(|saved| saved.method == Method::HardLink);
    if file.identity.links == 1 && !is_linked { file.identity.allocated } else { 0 }
}

fn ghost_report(ghost: DumpedGhost) -> GhostReport {
    GhostReport { name: ghost.name.map(Bytes), image: ghost.image }
}

fn lock_name(lock: criu_images::NetworkLock) -> &'static str {
    match lock {
        criu_images::NetworkLock::Iptables => "iptables",
        criu_images::NetworkLock::Nftables => "nftables",
        criu_images::NetworkLock::Skip => "skip",
        criu_images::NetworkLock::Unknown(_) | _ => "unknown",
    }
}

fn tree_report(tree: &TreeState) -> TreeReport {
    let processes = |tasks: &[LiveTask]| -> Vec<ProcessReport> {
        tasks
            .iter()
            .map(|task| ProcessReport { pid: task.pid, name: Bytes(task.name.clone()), state: char::from(task.state) })
            .collect()
    };
    let (state, tasks) = match tree {
        TreeState { alive, .. } if tree.runs_on() => ("runs-on", alive),
        TreeState { alive, .. } if !alive.is_empty() => ("alive", alive),
        TreeState { unknown: Some(_), restored, .. } => ("unknown", restored),
        TreeState { restored, .. } if !restored.is_empty() => ("restored", restored),
        TreeState { resembling, .. } if !resembling.is_empty() => ("perhaps-restored", resembling),
        TreeState { restored, .. } => ("dead", restored),
    };
    TreeReport { state, processes: processes(tasks), criu: processes(&tree.criu) }
}

fn summary(objects: &[Object]) -> Summary {
    let mut summary = Summary { objects: objects.len(), ..Summary::default() };
    for object in objects {
        match (object.outcome, object.verdict) {
            (Some(Outcome::Removed), _) | (None, Verdict::Remove) => {
                summary.removed += 1;
                summary.freed_bytes += object.frees_bytes;
            }
            (_, Verdict::LeftOut) => summary.left_out += 1,
            (_, Verdict::CannotTell) => summary.unknown += 1,
            (Some(Outcome::Failed), _) => summary.failed += 1,
            (Some(Outcome::Kept | Outcome::LeftOut), _) | (None, Verdict::Keep) => summary.kept += 1,
            (Some(Outcome::AlreadyGone), _) | (None, Verdict::Nothing) => summary.gone += 1,
        }
    }
    summary
}
