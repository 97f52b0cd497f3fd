// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `.criu.cgyard.XXXXXX` in the work directory: a tmpfs in which a restore mounts all control group hierarchies. Nearly
//! every killed restore with control groups leaves it. What is mounted below it are the live hierarchies, so it is
//! detached, and nothing in it is ever removed: `rm -rf` of the images directory walks into them.

use super::temporary::{describe_entry, is_from_template};
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::{EntryPlace, EntryQuery, FoundEntry, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// The directory with the hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlGroupYard;

const SHAPE: &str = "its name, and the mounted tmpfs with control groups only, or an empty directory of root's";

impl Kind for ControlGroupYard {
    type Found = FoundEntry;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(_: &Checkpoint, claims: &mut Claims) {
        claims.add(ControlGroupYard);
    }

    fn evidence(&self) -> &[Evidence] {
        &[]
    }

    fn query(&self) -> Query {
        Query::Entry(EntryQuery {
            places: &[EntryPlace::Work],
            is_name: |name| is_from_template(name, b".criu.cgyard."),
            is_own,
        })
    }

    fn objections(&self, _: &FoundEntry, basis: &Basis<'_>) -> Vec<KeepReason> {
        basis.about_other_criu()
    }

    fn describe(&self, found: Option<&FoundEntry>) -> Description {
        describe_entry("control-group-yard", "Control group mounts", SHAPE, found)
    }
}

fn is_own(entry: &FoundEntry) -> bool {
    let is_control_group =
        |mount: &crate::system::mountinfo::HostMount| matches!(&mount.fstype[..], b"cgroup" | b"cgroup2");
    entry.is_tmpfs_of_root(b"none", is_control_group) || entry.is_empty_directory_of_root()
}
