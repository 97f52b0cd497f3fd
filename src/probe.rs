// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks the live system what is there of a checkpoint's residue. Read-only.
//!
//! Every object that the images name gets an answer: what was found, that it is gone, or why nobody can tell. Nothing
//! is decided here.

mod engine_place;
mod files;
mod metadata;
mod network;
mod record;
pub mod tree;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::firewall::{ChainView, FilterPlace, LookFailure, RuleId, RuleKey, TableView};
use crate::host::{DumpTrace, Hidden, Host, Looked, Unseen};
use crate::locate::{Context, Images};
use crate::mounts::{self, MountHints, Place, Unreachable, Vanished, Wanted};
use crate::reach::OpenError;
use crate::residue::{Derived, FileMount, Residue, TableName, Unknown};
use crate::system::dir::FileIdentity;
use crate::system::filesystem::FilesystemId;
use crate::system::netns::{NetworkId, NetworkName};

pub use files::location_of;
pub use tree::{LiveTask, TreeState, UnknownTree};

/// Where the user wants to have looked, beyond where the tool looks by itself.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Where the tree's mounts are now.
    pub mounts: MountHints,
    /// Network namespaces to look in (`--netns`): they are the checkpoint's by the user's word.
    pub namespaces: Vec<PathBuf>,
    /// `--external net[KEY]:PATH`: where the external network namespace of that key is.
    pub external_namespaces: Vec<(Vec<u8>, PathBuf)>,
    /// What a runtime's metadata says.
    pub metadata: Context,
    /// Which other network namespaces are looked into.
    pub search: Search,
}

/// Which network namespaces are looked into, beside the tool's own and those that were named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Search {
    /// Every one that can be found.
    #[default]
    Everywhere,
    /// No other.
    Named,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The processes.
    pub tree: TreeState,
    /// An answer for each object.
    pub findings: Vec<Finding>,
    /// What the images name but nobody here understands.
    pub unknown: Vec<Unknown>,
    /// What could not be looked at.
    pub failures: Vec<LookFailure>,
    /// What the reader should know to understand what was found.
    pub notes: Vec<String>,
    /// The network namespaces that were looked into, by names for people.
    pub namespaces: Vec<String>,
    /// Where the network namespace of the record is.
    pub recorded_namespace: RecordedNamespace,
}

impl Survey {
    /// Whether a look from the host's own namespaces may tell more.
    pub fn is_open(&self) -> bool {
        let is_hidden = matches!(self.tree.unknown, Some(UnknownTree::Hidden(_)));
        is_hidden || self.findings.iter().any(|finding| finding.presence.is_open())
    }
}

impl Presence {
    /// Whether it is not known, or needs a tie and has none.
    fn is_open(&self) -> bool {
        match self {
            Presence::Unreachable(cause) => cause.is_elsewhere(),
            Presence::Rules(found) => found.tie.is_none(),
            Presence::Chain(found) => found.tie.is_none(),
            Presence::Gone(_)
            | Presence::Vanished(_)
            | Presence::File(_)
            | Presence::InTable(_)
            | Presence::Table(_) => false,
        }
    }
}

impl Cause {
    /// Whether it may be where only the host's own namespaces lead.
    fn is_elsewhere(&self) -> bool {
        match self {
            Cause::Mount(_) | Cause::Firewall | Cause::Elsewhere(_) | Cause::Open(_) => true,
            Cause::Ambiguous(_) | Cause::Silent(_) => false,
        }
    }
}

/// Where the network namespace is that the record of a dump names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordedNamespace {
    /// There is no record of one, or nobody can tell.
    #[default]
    Unknown,
    /// It is none of those that were found.
    NotFound,
    /// It is the one with this device and inode number.
    Found(NetworkId),
}

/// An object and what was found of it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The object.
    pub residue: Residue,
    /// What was found.
    pub presence: Presence,
}

/// What was found of an object.
#[derive(Debug, Clone)]
pub enum Presence {
    /// It was looked for everywhere where it can be, and is not there.
    Gone(Looked),
    /// It ended with the tree.
    Vanished(Vanished),
    /// It could not be looked for.
    Unreachable(Cause),
    /// A file is there.
    File(FoundFile),
    /// Rules are there.
    Rules(FoundRules),
    /// So many flows of the connection are in the checkpoint's nftables table, and go with it.
    #[cfg_attr(not(feature = "internals"), expect(dead_code, reason = "that it is not 0 is what counts"))]
    InTable(NonZeroUsize),
    /// A table is there.
    Table(FoundTable),
    /// A chain is there.
    Chain(FoundChain),
}

/// Why an object could not be looked for.
#[derive(Debug, Clone)]
pub enum Cause {
    /// Its filesystem is not to be reached.
    Mount(Unreachable),
    /// The way to it could not be opened.
    Open(OpenError),
    /// The images can be read in two ways, and there is a file for each.
    Ambiguous(Vec<PathBuf>),
    /// The network namespaces where it could be could not all be looked at.
    Firewall,
    /// It is not where it should be, but that need not be the place that the images mean.
    Elsewhere(Elsewhere),
    /// The filesystem that it is on does not answer: which one.
    Silent(String),
}

/// Why a file may be elsewhere than where it was looked for.
#[derive(Debug, Clone)]
pub enum Elsewhere {
    /// Nothing but a number that can be given again says that this is the filesystem of the images, and its directories
    /// have not changed since the dump began.
    OtherFilesystem,
    /// The record of the dump names another filesystem than the one that the path leads to.
    NotRecorded,
    /// The store that the upper directory of the overlay was in is not here.
    NoStore(PathBuf),
    /// This is not the mount namespace of the host.
    OtherNamespace(Unseen),
    /// It is below the mount at this mount point.
    Covered(PathBuf),
    /// It may be below a mount, or on a mount below another, where nobody can look.
    PerhapsCovered(Hidden),
    /// It was not at its path, and a moment later it was.
    Returned,
    /// This directory has not changed since before the dump, so the dump made no link there: what was mounted there then
    /// may not be mounted now.
    Untouched(PathBuf),
}

/// A file that was found, and how to find it again.
#[derive(Debug, Clone)]
pub struct FoundFile {
    /// The way to it.
    pub place: Place,
    /// The filesystem that it is on.
    pub filesystem: FilesystemId,
    /// The directory that holds it.
    pub directory: FileIdentity,
    /// The file itself; a symbolic link is not followed.
    pub identity: FileIdentity,
}

/// The rules of one connection.
#[derive(Debug, Clone)]
pub struct FoundRules {
    /// The namespace that they are in.
    pub namespace: Arc<NetworkName>,
    /// Each of them.
    pub rules: Vec<FoundRule>,
    /// What ties the namespace to the checkpoint, where something does.
    pub tie: Option<Tie>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoundRule {
    /// Which of the filter tables.
    pub place: FilterPlace,
    /// nf_tables' handle of that table.
    pub table: Option<u64>,
    /// What it says.
    pub key: RuleKey,
    /// Which one it is.
    pub id: RuleId,
}

/// A lock table.
#[derive(Debug, Clone)]
pub struct FoundTable {
    /// The namespace that it is in.
    pub namespace: Arc<NetworkName>,
    /// Which of the possible names it has.
    pub name: TableName,
    /// What it holds.
    pub view: TableView,
    /// What ties the namespace to the checkpoint, where something does.
    pub tie: Option<Tie>,
}

/// A lock chain.
#[derive(Debug, Clone)]
pub struct FoundChain {
    /// The namespace that it is in.
    pub namespace: Arc<NetworkName>,
    /// Which of the filter tables.
    pub place: FilterPlace,
    /// What it holds.
    pub view: ChainView,
    /// What ties the namespace to the checkpoint, where something does.
    pub tie: Option<Tie>,
}

/// What ties a network namespace to a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// The user named it.
    Named,
    /// CRIU ran in it, as far as the tool can know: it is the tool's own.
    Own,
    /// It has the devices and addresses that the images record, and no other namespace has.
    Devices,
    /// The record of the dump names it.
    Recorded,
    /// The metadata of this host's own engine names it, and it is older than the images.
    Metadata,
}

/// An error that makes any answer worthless.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A namespace that the user named cannot be opened.
    #[error(transparent)]
    Namespace(#[from] crate::system::netns::Error),
    /// A namespace that the user named is on a filesystem that does not answer.
    #[error("cannot open a network namespace: {0}")]
    Silent(String),
}

/// Looks for everything that was derived, in a picture of the host that was taken for it.
pub fn look(
    host: &Host,
    images: &Images,
    checkpoint: &Checkpoint,
    derived: Derived,
    hints: &Hints,
) -> Result<Survey, ProbeError> {
    let mut tree = tree::look(host, images, checkpoint);
    let mut survey = objects(host, checkpoint, derived, hints)?;
    tree.criu.append(&mut survey.tree.criu);
    Ok(Survey { tree, ..survey })
}

/// The same, without asking for the tree: of `tree` only those criu are there whose sockets were seen.
pub fn objects(host: &Host, checkpoint: &Checkpoint, derived: Derived, hints: &Hints) -> Result<Survey, ProbeError> {
    let mut survey = Survey { unknown: derived.unknown, ..Survey::default() };
    let (links, locks): (Vec<Residue>, Vec<Residue>) =
        derived.residues.into_iter().partition(|residue| matches!(residue, Residue::LinkRemap(_)));
    network::look(host, checkpoint, locks, hints, &mut survey)?;
    files::look(host, checkpoint, links, hints, &mut survey);
    Ok(survey)
}

/// The mounts of the host that matter for these objects.
pub fn wanted(checkpoint: &Checkpoint, derived: &Derived) -> Wanted {
    let links = derived.residues.iter().filter_map(|residue| match residue {
        Residue::LinkRemap(link) => Some(link),
        Residue::Connection(_) | Residue::LockTable(_) | Residue::LockChain(_) => None,
    });
    let on_mounts = links.filter_map(|link| match link.mount {
        FileMount::Id(id) => Some((link.link.as_slice(), &checkpoint.mounts.get(&id)?.entry)),
        FileMount::Shared | FileMount::Unknown => None,
    });
    mounts::wanted(on_mounts)
}

/// What the images and the record tell of where and when CRIU ran.
pub fn trace_of(checkpoint: &Checkpoint) -> DumpTrace {
    let shared = checkpoint.shares_pid_namespace() == Some(true);
    let own = checkpoint.tasks.iter().filter(|_| shared).map(|task| task.pid);
    DumpTrace {
        written: checkpoint.written,
        pids: own.chain(checkpoint.log.root_pid).collect(),
        recorded: checkpoint.record.record().and_then(crate::record::Record::pid_namespace),
    }
}
