// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kinds of residue: what a checkpoint may have left outside its images. Pure.
//!
//! A kind is one file. It says what a checkpoint claims, what to look for, what speaks against removing a found object,
//! and how to word all this. [`Residue`] is the only list of kinds, and a kind that lacks an answer does not compile.
//! Carriers look and remove; they know no kinds.
//!
//! Nothing is residue because of its name: image entries name an object, which carries them as its evidence, or CRIU alone
//! makes things of this whole shape, and the object says what it was recognised by.

mod basis;
mod describe;
mod network_lock;
mod original;
mod recreated;
mod temporary;

use std::sync::Arc;

use crate::carrier::{
    EntryQuery, FoundChain, FoundEntry, FoundFile, FoundRules, FoundTable, FoundTask, Presence, Query,
};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::goal::Goal;
use crate::part::Part;
use crate::reason::KeepReason;

pub use basis::{Answer, Basis};
pub use describe::{Description, Field, Target};

// Not in the macro, where rustfmt would not see them.
pub mod bind_source;
pub mod control_group;
pub mod control_group_yard;
pub mod dead_socket;
pub mod ghost_directory;
pub mod ghost_file;
pub mod half_restored;
pub mod link_remap;
pub mod lock_chain;
pub mod lock_table;
pub mod locked_connection;
pub mod parked_file;
pub mod reopened_name;
pub mod stale_pid_file;
pub mod temporary_directory;
pub mod unfinished_cache;

/// Declares the kinds: types that implement [`Kind`], each in a module of its own, with the goals for which they go. They
/// are claimed and shown in this order.
macro_rules! kinds {
    ($($module:ident::$kind:ident: $($goal:ident)+;)*) => {
        $(pub use $module::$kind;)*

        /// One thing that a checkpoint left, as far as the images tell.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Residue {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind(Arc<$kind>),)*
        }

        $(impl From<$kind> for Residue {
            fn from(residue: $kind) -> Self {
                Residue::$kind(Arc::new(residue))
            }
        })*

        impl Residue {
            /// The entries of the images that name it.
            pub fn evidence(&self) -> &[Evidence] {
                match self { $(Residue::$kind(residue) => residue.evidence(),)* }
            }

            /// Its place in the list of kinds.
            pub(crate) fn rank(&self) -> usize {
                let modules = [$(stringify!($module)),*];
                let own = match self { $(Residue::$kind(_) => stringify!($module),)* };
                modules.iter().position(|module| *module == own).unwrap_or_default()
            }

            /// Who leaves it.
            pub fn left_by(&self) -> LeftBy {
                match self { $(Residue::$kind(_) => <$kind as Kind>::LEFT_BY,)* }
            }

            /// The part of what a checkpoint leaves that it belongs to.
            pub fn part(&self) -> Part {
                match self { $(Residue::$kind(_) => <$kind as Kind>::PART,)* }
            }

            /// What is to be looked for.
            pub fn query(&self) -> Query {
                match self { $(Residue::$kind(residue) => residue.query(),)* }
            }

            /// Whether what was found is of its kind at all.
            pub(crate) fn recognises(&self, presence: &Presence) -> bool {
                match self {
                    $(Residue::$kind(residue) => residue.recognises(<$kind as Kind>::Found::of(presence)),)*
                }
            }

            /// What speaks against removing what was found; nothing where another kind of thing was found than was asked for.
            pub(crate) fn objections(&self, presence: &Presence, basis: &Basis<'_>) -> Option<Vec<KeepReason>> {
                match self {
                    $(Residue::$kind(residue) => Some(residue.objections(<$kind as Kind>::Found::of(presence)?, basis)),)*
                }
            }

            /// What it says about the other objects.
            pub(crate) fn signs(&self, presence: &Presence, basis: &Basis<'_>) -> Option<Signs> {
                match self {
                    $(Residue::$kind(residue) => Some(residue.signs(<$kind as Kind>::Found::of(presence)?, basis)),)*
                }
            }

            /// What it is, in words.
            pub(crate) fn describe(&self, presence: &Presence) -> Description {
                match self {
                    $(Residue::$kind(residue) => residue.describe(<$kind as Kind>::Found::of(presence)),)*
                }
            }
        }

        /// Has each kind that goes for a goal add what it claims.
        fn add_claims(checkpoint: &Checkpoint, goal: Goal, claims: &mut Claims) {
            $(if [$(Goal::$goal),+].contains(&goal) {
                <$kind as Kind>::claim(checkpoint, claims);
            })*
        }
    };
}

kinds! {
    parked_file::ParkedFile: Restorable;
    half_restored::HalfRestored: Gc Restorable;
    control_group_yard::ControlGroupYard: Gc Restorable;
    temporary_directory::TemporaryDirectory: Restorable;
    dead_socket::DeadSocket: Gc Restorable;
    stale_pid_file::StalePidFile: Gc Restorable;
    unfinished_cache::UnfinishedCache: Restorable;
    locked_connection::LockedConnection: Gc;
    lock_chain::LockChain: Gc;
    lock_table::LockTable: Gc;
    link_remap::LinkRemap: Gc;
    reopened_name::ReopenedName: Restorable;
    ghost_file::GhostFile: Gc Restorable;
    ghost_directory::GhostDirectory: Gc Restorable;
    bind_source::BindSource: Gc Restorable;
    control_group::ControlGroup: Gc Restorable;
}

/// What a kind of residue answers.
trait Kind: Into<Residue> {
    /// What its carrier finds.
    type Found: Found;

    /// Who leaves it.
    const LEFT_BY: LeftBy;

    /// The part of what a checkpoint leaves that it belongs to.
    const PART: Part;

    /// Adds what the checkpoint may have left of this kind, and what of it cannot be known.
    fn claim(checkpoint: &Checkpoint, claims: &mut Claims);

    /// The entries of the images that name it.
    fn evidence(&self) -> &[Evidence];

    /// What is to be looked for.
    fn query(&self) -> Query;

    /// Whether what was found is of the kind at all; a look-alike is not worth a word. `None` for what was not found.
    fn recognises(&self, _found: Option<&Self::Found>) -> bool {
        true
    }

    /// What speaks against removing what was found, beside what speaks against removing anything: a living tree, the record
    /// of the dump, images of others.
    fn objections(&self, found: &Self::Found, basis: &Basis<'_>) -> Vec<KeepReason>;

    /// What it says about the other objects of the checkpoint. Most say nothing.
    fn signs(&self, _found: &Self::Found, _basis: &Basis<'_>) -> Signs {
        Signs::default()
    }

    /// What it is, in words; `found` where it is there.
    fn describe(&self, found: Option<&Self::Found>) -> Description;
}

/// Who leaves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftBy {
    /// A dump, for a restore: people ask what became of it.
    Dump,
    /// A restore that was killed. There mostly was none, and what is not there is not worth a word.
    KilledRestore,
}

/// What one object says about the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// A newer dump of the same tree may have made it.
    pub(crate) of_newer_dump: bool,
    /// A restore would have taken it away, and nobody can have kept it from that.
    pub(crate) of_no_restore: bool,
}

/// What a carrier finds, picked out of all that can be found.
trait Found: Sized {
    fn of(presence: &Presence) -> Option<&Self>;
}

macro_rules! found {
    ($($found:ident = $variant:ident)*) => {
        $(impl Found for $found {
            fn of(presence: &Presence) -> Option<&Self> {
                if let Presence::$variant(found) = presence { Some(found) } else { None }
            }
        })*
    };
}

found! {
    FoundFile = File
    FoundRules = Rules
    FoundTable = Table
    FoundChain = Chain
    FoundEntry = Entry
    FoundTask = Task
}

/// All that a checkpoint may have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// What the images name.
    pub residues: Vec<Residue>,
    /// What they do not say.
    pub unknown: Vec<Unknown>,
}

impl Claims {
    fn add(&mut self, residue: impl Into<Residue>) {
        self.residues.push(residue.into());
    }

    fn add_unknown(&mut self, part: Part, sentence: impl Into<String>) {
        self.unknown.push(Unknown { part, sentence: sentence.into() });
    }
}

/// Something that the images say, but this version does not understand or cannot read: it may have left something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What it may have left.
    pub part: Part,
    /// A sentence for people.
    pub sentence: String,
}

/// An entry that says what CRIU never writes. What it names is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{evidence} {text}")]
struct Contradiction {
    /// The entry in question.
    evidence: Evidence,
    /// What is wrong with it, as the end of a sentence that begins with the entry.
    text: String,
}

/// What the checkpoint may have left that is in the way of a goal, network locks before files.
pub fn claims(checkpoint: &Checkpoint, goal: Goal) -> Claims {
    let mut claims = Claims::default();
    if !checkpoint.is_pre_dump() {
        add_claims(checkpoint, goal, &mut claims);
    }
    claims
}

/// A kind of entry that no image names.
#[derive(Debug, Clone, Copy)]
pub struct EntryKind {
    /// Its name for programs.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// How it is recognised.
    pub query: EntryQuery,
}

/// The kinds of entries that a look without images can recognise.
pub fn entry_kinds() -> Vec<EntryKind> {
    fn kind<K: Kind<Found = FoundEntry>>(kind: &K) -> Option<EntryKind> {
        let Query::Entry(query) = kind.query() else { return None };
        let Description { kind: name, label, .. } = kind.describe(None);
        Some(EntryKind { name, label, query })
    }
    let kinds = [kind(&TemporaryDirectory), kind(&ControlGroupYard), kind(&UnfinishedCache)];
    kinds.into_iter().flatten().collect()
}

/// What the images of a checkpoint name.
pub fn named_by_images(checkpoint: &Checkpoint) -> Claims {
    let mut claims = claims(checkpoint, Goal::Gc);
    claims.residues.retain(|residue| match residue.query() {
        Query::Name(_) | Query::Filter(_) => true,
        Query::Entry(_) | Query::Tasks => false,
    });
    claims
}

/// What the dump left and a restore cannot do without.
pub fn needed_for_restore(checkpoint: &Checkpoint) -> Claims {
    let mut claims = named_by_images(checkpoint);
    claims.residues.retain(|residue| match residue.query() {
        Query::Name(_) => residue.left_by() == LeftBy::Dump,
        Query::Filter(_) | Query::Entry(_) | Query::Tasks => false,
    });
    claims
}
