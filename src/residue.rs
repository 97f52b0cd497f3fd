// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Residue: what a checkpoint left outside its images, derived from the images alone. Pure.
//!
//! Nothing here is a residue because of how it looks on the host: each one is named by entries of the images, which
//! it carries as its evidence. Whether it is still there, and is what the images say, is for others to find out.

pub mod link_remap;
pub mod network_lock;

use std::sync::Arc;

use crate::checkpoint::{Checkpoint, RemapRecord};

pub use crate::checkpoint::NetworkScope;
pub use crate::connection::{Connection, Direction, Flow, TableForm};
pub use crate::evidence::Evidence;

pub use link_remap::{FileMount, LinkRemap};
pub use network_lock::{ConnectionLock, LockChain, LockTable, LockedConnection, RuleForms, TableName};

/// Images that say what CRIU never writes. Such images are not used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{evidence} {text}")]
pub struct Contradiction {
    /// The entry in question.
    pub evidence: Evidence,
    /// What is wrong with it, as the end of a sentence that begins with the entry.
    pub text: String,
}

/// One thing that the dump left, as far as the images tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Residue {
    /// A hard link.
    LinkRemap(Arc<LinkRemap>),
    /// A connection whose packets are dropped.
    Connection(LockedConnection),
    /// An nftables table.
    LockTable(LockTable),
    /// The iptables chain `CRIU`, which closes a network namespace.
    LockChain(LockChain),
}

/// Something that the images say, but this version does not understand or cannot read: it may have left something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// A remap of a type that this version does not know.
    RemapType {
        /// The type's number.
        remap_type: i32,
        /// The entry.
        evidence: Evidence,
    },
    /// A link remap whose name was in a part of the images that is missing.
    NamelessLinkRemap {
        /// The entry.
        evidence: Evidence,
    },
    /// A way of locking the network that this version does not know.
    LockMethod {
        /// The method's number.
        method: u32,
    },
    /// The dump locked with nftables, but nothing tells the name of its table.
    TableName,
}

/// All that a checkpoint may have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// What the images name.
    pub residues: Vec<Residue>,
    /// What cannot be told from them.
    pub unknown: Vec<Unknown>,
}

/// Derives what the checkpoint left, network locks first.
pub fn derive(checkpoint: &Checkpoint) -> Result<Derived, Contradiction> {
    let mut derived = Derived::default();
    if checkpoint.is_pre_dump() {
        return Ok(derived);
    }
    network_lock::derive(checkpoint, &mut derived);
    let (links, nameless) = link_remap::derive(checkpoint)?;
    derived.residues.extend(links.into_iter().map(|link| Residue::LinkRemap(Arc::new(link))));
    derived.unknown.extend(nameless.into_iter().map(|evidence| Unknown::NamelessLinkRemap { evidence }));
    derived.unknown.extend(checkpoint.remaps.iter().filter_map(unknown_remap));
    Ok(derived)
}

fn unknown_remap(record: &RemapRecord) -> Option<Unknown> {
    let criu_images::Remap::Unknown { remap_type, .. } = record.entry.remap() else { return None };
    Some(Unknown::RemapType { remap_type, evidence: record.evidence.clone() })
}
