// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/run/criu.kdat.tmp`: what CRIU knows of the kernel, written by a criu that was killed then. As long as it is there, no
//! later criu stores what it finds out, and each start takes longer.

use super::temporary::describe_entry;
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::entry::Content;
use crate::carrier::{EntryPlace, EntryQuery, FoundEntry, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// The unfinished cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfinishedCache;

const SHAPE: &str = "its name, its owner root, and that no criu runs";

impl Kind for UnfinishedCache {
    type Found = FoundEntry;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(_: &Checkpoint, claims: &mut Claims) {
        claims.add(UnfinishedCache);
    }

    fn evidence(&self) -> &[Evidence] {
        &[]
    }

    fn query(&self) -> Query {
        Query::Entry(EntryQuery {
            places: &[EntryPlace::Host("/run")],
            is_name: |name| name == b"criu.kdat.tmp",
            is_own: |entry| entry.identity.owner == 0 && entry.content == Content::File,
        })
    }

    fn objections(&self, _: &FoundEntry, basis: &Basis<'_>) -> Vec<KeepReason> {
        basis.about_other_criu()
    }

    fn describe(&self, found: Option<&FoundEntry>) -> Description {
        describe_entry("unfinished-cache", "Unfinished cache", SHAPE, found)
    }
}
