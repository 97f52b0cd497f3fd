// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carriers: what residue consists of, names of files and network filters. A carrier finds a thing, examines it again,
//! and removes it. It knows no kinds of residue: a kind says in a [`Query`] what to look for.

pub mod entry;
pub mod filter;
pub mod name;
pub mod task;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::host::{Hidden, Looked, Unseen};
use crate::locate::Context;
use crate::mounts::{MountHints, Unreachable, Vanished};
use crate::reach::OpenError;
use crate::system::netns::NetworkName;

pub use entry::{EntryPlace, EntryQuery, FoundEntry};
pub use filter::{FilterQuery, FoundChain, FoundRules, FoundTable};
pub use name::{FoundFile, NameQuery};
pub use task::FoundTask;

/// What a kind wants to have found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A name of a file.
    Name(NameQuery),
    /// Rules, a table or a chain of a network namespace.
    Filter(FilterQuery),
    /// Entries that no image names.
    Entry(EntryQuery),
    /// Processes that a killed restore left.
    Tasks,
}

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

/// What was found of an object.
#[derive(Debug, Clone)]
pub enum Presence {
    /// It was looked for everywhere where it can be, and is not there.
    Gone(Looked),
    /// It ended with the tree.
    Vanished(Vanished),
    /// It was in a network namespace of the tree's own. That ended with the tree, unless it is one of those that were
    /// looked into and that nothing ties to the checkpoint.
    Untied(Looked),
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
    /// An entry is there.
    Entry(FoundEntry),
    /// A process is there.
    Task(FoundTask),
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
    /// Only network namespaces that nothing ties to the checkpoint have such a thing; the key is that of the namespace of
    /// the images.
    Untied {
        /// The key, where the images have one.
        key: Option<Vec<u8>>,
    },
    /// A restore into another network namespace than the dump's may have left one in any that nothing ties to the
    /// checkpoint; the key is that of the namespace of the images.
    RestoredElsewhere {
        /// The key, where the images have one.
        key: Option<Vec<u8>>,
    },
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

impl Presence {
    /// The network namespace that it is in.
    pub fn network(&self) -> Option<&NetworkName> {
        match self {
            Presence::Rules(found) => Some(&found.namespace),
            Presence::Table(found) => Some(&found.namespace),
            Presence::Chain(found) => Some(&found.namespace),
            Presence::Gone(_)
            | Presence::Vanished(_)
            | Presence::Untied(_)
            | Presence::Unreachable(_)
            | Presence::File(_)
            | Presence::InTable(_)
            | Presence::Entry(_)
            | Presence::Task(_) => None,
        }
    }

    /// Whether it is not known, or needs a tie and has none.
    pub fn is_open(&self) -> bool {
        match self {
            Presence::Unreachable(cause) => cause.is_elsewhere(),
            Presence::Rules(found) => found.tie.is_none(),
            Presence::Chain(found) => found.tie.is_none(),
            Presence::Gone(_)
            | Presence::Vanished(_)
            | Presence::Untied(_)
            | Presence::File(_)
            | Presence::InTable(_)
            | Presence::Table(_)
            | Presence::Entry(_)
            | Presence::Task(_) => false,
        }
    }
}

impl Cause {
    /// Whether it may be where only the host's own namespaces lead.
    fn is_elsewhere(&self) -> bool {
        match self {
            Cause::Mount(_)
            | Cause::Firewall
            | Cause::Elsewhere(_)
            | Cause::Open(_)
            | Cause::Untied { .. }
            | Cause::RestoredElsewhere { .. } => true,
            Cause::Ambiguous(_) | Cause::Silent(_) => false,
        }
    }
}

/// What happened with a thing that was to be removed.
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
