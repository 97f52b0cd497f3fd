// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report of a run: one set of values, rendered as text and as JSON.
//!
//! Only these types define the JSON schema. They change only with [`SCHEMA_VERSION`]; the tool's other types may change
//! at any time. `docs/json.md` describes them.

mod build;
mod only;
mod origin;
mod words;

use serde::Serialize;

use crate::goal::Goal;

pub(crate) use build::{Context, checkpoint, done, failed_checkpoint, planned};
pub use only::OnlyReport;
pub(crate) use origin::Origin;
pub use origin::{BindReport, MetadataReport, NamedReport, PathReport};

pub use crate::json::{Bytes, EvidenceReport};
pub use crate::kind::{Description, Field, Target};

/// The version of the JSON schema; it increases when a field changes its meaning or disappears.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that was found, will happen, and has happened.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema: u32,
    /// The program's name and version.
    pub tool: String,
    /// Whether the run only looked or also removed.
    pub mode: Mode,
    /// What the run was for: `gc` or `restorable`.
    pub goal: &'static str,
    /// The checkpoints, in the order of the given paths.
    pub checkpoints: Vec<CheckpointReport>,
}

/// The purpose of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// List what is left.
    Show,
    /// Remove it.
    Gc,
}

/// One checkpoint.
#[derive(Debug, Default, Serialize)]
// Tests of the program make some.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct CheckpointReport {
    /// The images directory, as given or found; for an archive followed by the path in it.
    pub images_directory: Bytes,
    /// The layout of the images; absent if the checkpoint could not be used.
    pub layout: Option<&'static str>,
    /// The compression of their archive: `tar` (none), `gzip` or `zstd`; absent for a directory.
    pub archive: Option<&'static str>,
    /// A runtime's metadata, if there is any.
    pub metadata: Option<MetadataReport>,
    /// Why the checkpoint could not be used; all fields below are empty then.
    pub error: Option<String>,
    /// Whether the images are complete.
    pub is_complete: bool,
    /// The dump's run id, if known.
    pub run_id: Option<String>,
    /// How the dump locked the network: `iptables`, `nftables`, `skip`, `unknown`.
    pub network_lock: Option<&'static str>,
    /// The network namespaces in which criu-gc looked.
    pub network_namespaces: Vec<String>,
    /// The chosen part, if the other one is left out.
    pub only: Option<OnlyReport>,
    /// The state of the dumped processes.
    pub tree: TreeReport,
    /// Every object.
    pub objects: Vec<Object>,
    /// The files whose content is in the images, so the dump left no file.
    pub ghost_files: Vec<GhostReport>,
    /// Notes that explain the list.
    pub notes: Vec<String>,
    /// What is not known, and why.
    pub cannot_be_known: Vec<String>,
    /// The counts.
    pub summary: Summary,
}

/// The state of the dumped processes.
#[derive(Debug, Default, Serialize)]
pub struct TreeReport {
    /// `dead`, `alive`, `runs-on` (after an interrupted dump), `restored`, `perhaps-restored`, `unknown`.
    pub state: &'static str,
    /// The processes that are alive, or were restored.
    pub processes: Vec<ProcessReport>,
    /// The criu processes that work on the images.
    pub criu: Vec<ProcessReport>,
}

/// A process.
#[derive(Debug, Serialize)]
pub struct ProcessReport {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Bytes,
    /// Its state letter, as `ps` shows it.
    pub state: char,
}

/// An object that the checkpoint left, or may have left.
#[derive(Debug, Serialize)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct Object {
    /// What it is.
    #[serde(flatten)]
    pub subject: Description,
    /// Where it is now.
    pub location: Option<Location>,
    /// Whether it exists.
    pub state: State,
    /// More about the state, for people.
    pub detail: Option<String>,
    /// What a removal of this object is.
    pub act: Act,
    /// What will happen to it.
    pub verdict: Verdict,
    /// Why it is kept.
    pub reasons: Vec<Reason>,
    /// What happened to it; absent if this run only looked.
    pub outcome: Option<Outcome>,
    /// Why it could not be removed.
    pub failure: Option<String>,
    /// Where its file was saved before the removal (`--save`).
    pub saved_as: Option<Bytes>,
    /// Bytes that its removal frees on its filesystem.
    pub frees_bytes: u64,
    /// The entries of the images that name it.
    pub evidence: Vec<EvidenceReport>,
    /// What the record of the dump says about it; absent if it says nothing.
    pub record: Option<RecordAnswer>,
}

/// What a removal of an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A name, rule, table, chain or directory is removed.
    Remove,
    /// What is mounted there is unmounted, and the directory removed.
    Unmount,
    /// A process is killed.
    Kill,
    /// A file gets its own name back.
    RenameBack,
}

/// What the record of a dump says about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordAnswer {
    /// The dump left it.
    Same,
    /// The dump did not leave it.
    Other,
    /// It may have been re-created since.
    Unclear,
}

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Location {
    /// A file of this host.
    File {
        /// Its path.
        path: Bytes,
        /// Its device number, `major:minor`.
        device: String,
        /// Its inode number.
        inode: u64,
        /// How many names it has.
        links: u32,
        /// Its size in bytes.
        size: u64,
    },
    /// Rules.
    Rules {
        /// The network namespace.
        namespace: String,
        /// Each rule: the command that shows it, its chain, and its handle or words.
        rules: Vec<RuleReport>,
    },
    /// A table.
    Table {
        /// The network namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its handle.
        handle: u64,
        /// Whether it drops every packet, or how many flows.
        drops: Drops,
    },
    /// A chain.
    Chain {
        /// The network namespace.
        namespace: String,
        /// The command that shows it.
        command: String,
        /// How many rules jump to it.
        jumps: usize,
        /// What ties the namespace to the checkpoint.
        tie: Option<&'static str>,
    },
    /// A temporary entry of CRIU's own.
    Entry {
        /// Its path.
        path: Bytes,
        /// How many mounts are on it and below.
        mounts: usize,
    },
    /// A process.
    Process {
        /// Its pid.
        pid: u32,
        /// Its state letter, as `ps` shows it.
        state: char,
    },
}

/// What a table drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drops {
    /// Every packet.
    Everything,
    /// This many flows.
    Flows(usize),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The command that shows it: `iptables-nft`, `ip6tables-legacy`, …
    pub command: String,
    /// Its chain.
    pub chain: &'static str,
    /// nf_tables' handle.
    pub handle: Option<u64>,
}

/// Whether an object exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Present,
    /// It does not.
    Gone,
    /// It ended with the tree.
    Vanished,
    /// criu-gc could not check it.
    Unreachable,
}

/// What will happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is removed.
    Remove,
    /// It is kept.
    Keep,
    /// There is nothing to remove.
    Nothing,
    /// It is not known whether it exists.
    CannotTell,
    /// It is of the part that was not chosen.
    LeftOut,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was removed, and a second look confirmed that.
    Removed,
    /// It was gone before the removal.
    AlreadyGone,
    /// It was kept.
    Kept,
    /// It could not be removed, or not be checked.
    Failed,
    /// It is of the part that was not chosen, and was not touched.
    LeftOut,
}

/// Why an object is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The reason's name, as `--allow` takes it.
    pub name: &'static str,
    /// What it means.
    pub explanation: &'static str,
    /// What leads to the removal.
    pub remedy: String,
}

/// A file whose content is in the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GhostReport {
    /// Its last name, as the tree saw it; absent if the images are truncated.
    pub name: Option<Bytes>,
    /// The image with its content.
    pub image: String,
}

/// Counts of one checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All objects.
    pub objects: usize,
    /// To be removed, or in a gc run removed.
    pub removed: usize,
    /// Kept.
    pub kept: usize,
    /// Gone.
    pub gone: usize,
    /// Could not be removed.
    pub failed: usize,
    /// Not known.
    pub unknown: usize,
    /// Of the part that was not chosen.
    pub left_out: usize,
    /// Bytes freed, or to be freed.
    pub freed_bytes: u64,
}

impl Report {
    pub(crate) fn new(mode: Mode, goal: Goal, checkpoints: Vec<CheckpointReport>) -> Self {
        let tool = concat!("criu-gc ", env!("CARGO_PKG_VERSION")).to_owned();
        Report { schema: SCHEMA_VERSION, tool, mode, goal: goal.name(), checkpoints }
    }

    /// Whether something is left of a checkpoint, or may be. What was left out does not count.
    pub fn leaves_something(&self) -> bool {
        self.checkpoints.iter().any(CheckpointReport::leaves_something)
    }

    /// Whether a checkpoint could not be used.
    pub fn has_errors(&self) -> bool {
        self.checkpoints.iter().any(|checkpoint| checkpoint.error.is_some())
    }
}

impl CheckpointReport {
    /// Whether something is left, or may be. What was left out does not count.
    pub fn leaves_something(&self) -> bool {
        !self.cannot_be_known.is_empty()
            || self.objects.iter().any(|object| match object.outcome {
                Some(outcome) => matches!(outcome, Outcome::Kept | Outcome::Failed),
                None => !matches!(object.verdict, Verdict::Nothing | Verdict::LeftOut),
            })
    }
}
