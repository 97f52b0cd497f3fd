// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report of a scan: the JSON schema of `criu-gc scan`. `docs/json.md` describes it.

use serde::{Deserialize, Serialize};

use super::object::{Class, Object};
use super::words;
use crate::json::Bytes;
use crate::report::SCHEMA_VERSION;
use crate::time::Timestamp;

/// Everything of CRIU's shape on this host.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ScanReport {
    /// [`SCHEMA_VERSION`].
    pub schema: u32,
    /// The program's name and version.
    pub tool: String,
    /// Whether the run only looked.
    pub mode: ScanMode,
    /// When it ended, in UTC.
    pub time: String,
    /// How long the look took, in milliseconds.
    pub milliseconds: u64,
    /// What was found, the most urgent first.
    pub objects: Vec<ScanObject>,
    /// The images that were found on this host.
    pub checkpoints: Vec<ScanCheckpoint>,
    /// What was looked at.
    pub looked_at: LookedAt,
    /// Notes that explain the list.
    pub notes: Vec<String>,
    /// What could not be looked at: nothing is known of it.
    pub cannot_be_known: Vec<String>,
    /// The counts.
    pub summary: ScanSummary,
}

/// The purpose of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanMode {
    /// List.
    Show,
    /// Remove what a crash left and no restore needs.
    Clean,
    /// Remove what was named.
    Remove,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LookedAt {
    /// Processes.
    pub processes: usize,
    /// Network namespaces.
    pub network_namespaces: usize,
    /// Mount namespaces.
    pub mount_namespaces: usize,
    /// Names in directories.
    pub names: u64,
}

/// Images that were found.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ScanCheckpoint {
    /// Their directory.
    pub directory: Bytes,
    /// What they are good for: `restorable`, `incomplete`, `restored` or `undecided`.
    pub state: &'static str,
}

/// An object.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ScanObject {
    /// What `criu-gc rm` takes.
    pub id: Bytes,
    /// The kind.
    pub kind: &'static str,
    /// What it is to people: `damage`, `restorable`, `incomplete`, `restored`, `undecided`, `litter`, `orphan`, `in-use`,
    /// `look-alike`.
    pub class: &'static str,
    /// What it is, for people.
    pub text: Bytes,
    /// What is damaged, line by line.
    pub details: Vec<Bytes>,
    /// The path of a file or a directory, as this process reaches it.
    pub path: Option<Bytes>,
    /// The number of the network namespace of a lock.
    pub network_namespace: Option<u64>,
    /// The processes that it is, or that are damaged.
    pub pids: Vec<u32>,
    /// Since when it is there, in UTC; absent if nothing tells.
    pub since: Option<String>,
    /// Processes that use it.
    pub holders: Vec<ScanHolder>,
    /// The directory of the images that it belongs to.
    pub checkpoint: Option<Bytes>,
    /// What has to be known about it.
    pub remarks: Vec<String>,
    /// The command that is right for it.
    pub command: Option<Bytes>,
    /// What will happen.
    pub verdict: ScanVerdict,
    /// Why it stays, if a removal was asked for.
    pub reason: Option<&'static str>,
    /// What happened; absent if the run only looked.
    pub outcome: Option<ScanOutcome>,
    /// Why it could not be removed.
    pub failure: Option<String>,
    /// Where its file was saved before.
    pub saved_as: Option<Bytes>,
}

/// A process that uses an object.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ScanHolder {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Bytes,
}

/// What will happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanVerdict {
    /// It is removed.
    Remove,
    /// It stays.
    Keep,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanOutcome {
    /// It was removed, and a second look confirmed that.
    Removed,
    /// It was gone before.
    AlreadyGone,
    /// It stayed.
    Kept,
    /// It could not be removed.
    Failed,
}

/// Counts of objects by class, and of what could not be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScanSummary {
    /// Something that runs is damaged.
    pub damage: usize,
    /// Belongs to images that a restore may need.
    pub restorable: usize,
    /// Belongs to images from which no restore is possible.
    pub incomplete: usize,
    /// Belongs to images that were restored since.
    pub restored: usize,
    /// Belongs to images of which it is not known what they are good for.
    pub undecided: usize,
    /// A crash left it, and no restore needs it.
    pub litter: usize,
    /// No images are known.
    pub orphan: usize,
    /// A criu at work may be using it.
    pub in_use: usize,
    /// Only looks like something of CRIU.
    pub look_alike: usize,
    /// Places that could not be looked at.
    pub unknown: usize,
    /// Removed.
    pub removed: usize,
    /// Could not be removed.
    pub failed: usize,
}

impl ScanReport {
    /// Whether something needs a hand: damage, litter, what no restore can need or no images are known for, or a place that
    /// could not be looked at. What belongs to a restorable checkpoint does not count, nor what is in use.
    pub fn leaves_something(&self) -> bool {
        self.summary.leaves_something()
    }
}

impl ScanSummary {
    /// The same, by the counts alone.
    pub fn leaves_something(&self) -> bool {
        let ScanSummary { damage, incomplete, restored, undecided, litter, orphan, unknown, failed, .. } = self;
        damage + incomplete + restored + undecided + litter + orphan + unknown + failed > 0
    }

    fn count(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Damage => &mut self.damage,
            Class::Restorable => &mut self.restorable,
            Class::Incomplete => &mut self.incomplete,
            Class::Restored => &mut self.restored,
            Class::Undecided => &mut self.undecided,
            Class::Litter => &mut self.litter,
            Class::Orphan => &mut self.orphan,
            Class::InUse => &mut self.in_use,
            Class::LookAlike => &mut self.look_alike,
        }
    }

    /// Counts what is left, and what happened.
    pub(super) fn of(objects: &[(Class, Option<ScanOutcome>)], unknown: usize) -> Self {
        let mut summary = ScanSummary { unknown, ..ScanSummary::default() };
        for (class, outcome) in objects {
            match outcome {
                Some(ScanOutcome::Removed | ScanOutcome::AlreadyGone) => summary.removed += 1,
                Some(ScanOutcome::Failed) => {
                    summary.failed += 1;
                    *summary.count(*class) += 1;
                }
                Some(ScanOutcome::Kept) | None => *summary.count(*class) += 1,
            }
        }
        summary
    }
}

/// An object of which nothing has been done.
pub(super) fn object(object: &Object) -> ScanObject {
    ScanObject {
        id: Bytes(object.id()),
        kind: words::kind(&object.thing),
        class: object.class.name(),
        text: Bytes(words::text(object)),
        details: words::details(object).into_iter().map(Bytes).collect(),
        path: object.path().map(|path| Bytes::of_path(&path)),
        network_namespace: object.network(),
        pids: object.pids(),
        since: object.since.map(utc),
        holders: object
            .holders
            .iter()
            .map(|holder| ScanHolder { pid: holder.pid, name: Bytes(holder.name.clone()) })
            .collect(),
        checkpoint: object.owner.as_deref().map(Bytes::of_path),
        remarks: object.remarks.clone(),
        command: words::command(object).map(Bytes),
        verdict: ScanVerdict::Keep,
        reason: None,
        outcome: None,
        failure: None,
        saved_as: None,
    }
}

/// The name and version of the tool, and the version of the schema.
pub(super) fn head() -> (u32, String) {
    (SCHEMA_VERSION, concat!("criu-gc ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// A time as people and programs read it: `2026-11-27T16:10:05Z`.
pub(super) fn utc(time: Timestamp) -> String {
    time.to_rfc3339().unwrap_or_default()
}
