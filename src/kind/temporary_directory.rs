// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Directories that CRIU makes for a moment, and leaves when it is killed then: the root of a mount namespace that is being
//! restored, what it tries a feature of the kernel with, and what it makes in a root directory without /tmp.

use super::temporary::{describe_entry, is_from_template};
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::{EntryPlace, EntryQuery, FoundEntry, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;
use crate::system::mountinfo::HostMount;

/// One of these directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemporaryDirectory;

/// What their names begin with.
const PREFIXES: [&[u8]; 5] =
    [b".criu.mntns.", b".criu.mnt.", b".criu.move_mount_set_group.", b"cr-tmpfs.", b"crtools-put-root."];
/// The source of the tmpfs that CRIU tries a feature of the kernel with.
const SET_GROUP: &[u8] = b"criu.move_mount_set_group";

const SHAPE: &str = "its name, its owner root, and that it is empty, or has the tmpfs of CRIU's that belongs there";

impl Kind for TemporaryDirectory {
    type Found = FoundEntry;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(_: &Checkpoint, claims: &mut Claims) {
        claims.add(TemporaryDirectory);
    }

    fn evidence(&self) -> &[Evidence] {
        &[]
    }

    fn query(&self) -> Query {
        Query::Entry(EntryQuery {
            places: &[EntryPlace::Host("/tmp"), EntryPlace::Host("/")],
            is_name: |name| PREFIXES.iter().any(|prefix| is_from_template(name, prefix)) || name == b"proc.crtools",
            is_own,
        })
    }

    fn objections(&self, found: &FoundEntry, basis: &Basis<'_>) -> Vec<KeepReason> {
        let is_stranded = |user: &u32| basis.tree.stranded.iter().any(|stranded| stranded.task.pid == *user);
        let is_used = found.mounts.is_empty() && !found.users.iter().all(is_stranded);
        basis.about_other_criu().into_iter().chain(is_used.then_some(KeepReason::InUse)).collect()
    }

    fn describe(&self, found: Option<&FoundEntry>) -> Description {
        describe_entry("temporary-directory", "Temporary directory", SHAPE, found)
    }
}

fn is_own(entry: &FoundEntry) -> bool {
    let is_tried = is_from_template(&entry.name, b".criu.move_mount_set_group.");
    entry.is_empty_directory_of_root()
        || (is_tried && entry.is_tmpfs_of_root(SET_GROUP, |mount: &HostMount| mount.source == SET_GROUP))
}
