// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A pid file in the work directory (`criu --pidfile`) whose process is gone. CRIU does not overwrite one: the restore
//! fails at its end with "File exists", and is undone.

use super::temporary::describe_entry;
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::entry::{Content, PidOwner};
use crate::carrier::{EntryPlace, EntryQuery, FoundEntry, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// A pid file of a process that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StalePidFile;

const SHAPE: &str = "its name, its owner root, and that it holds nothing but a pid that no process has";

impl Kind for StalePidFile {
    type Found = FoundEntry;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(_: &Checkpoint, claims: &mut Claims) {
        claims.add(StalePidFile);
    }

    fn evidence(&self) -> &[Evidence] {
        &[]
    }

    fn query(&self) -> Query {
        Query::Entry(EntryQuery {
            places: &[EntryPlace::Work],
            is_name: |name| name.ends_with(b".pid") || name == b"pidfile",
            is_own: |entry| entry.identity.owner == 0 && entry.content == Content::Pid(PidOwner::Nobody),
        })
    }

    fn objections(&self, _: &FoundEntry, basis: &Basis<'_>) -> Vec<KeepReason> {
        basis.about_other_criu()
    }

    fn describe(&self, found: Option<&FoundEntry>) -> Description {
        describe_entry("stale-pid-file", "Stale pid file", SHAPE, found)
    }
}
