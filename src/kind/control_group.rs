// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Control groups. A restore creates those of the tree that are not there (`prepare_cgroup_dirs` in `criu/cgroup.c`), says so
//! in its log, and nobody removes them when it is killed or fails. Only the log tells them from the host's own.

use super::recreated::Recreated;
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::name::FileMount;
use crate::carrier::{FoundFile, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::json::Bytes;
use crate::mounts;
use crate::part::Part;
use crate::reason::KeepReason;

/// A control group that a restore created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroup {
    recreated: Recreated,
}

impl Kind for ControlGroup {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        for restore in checkpoint.restores.broken() {
            // The inner ones first: a group with another one below it stays.
            for group in restore.groups.iter().rev().filter(|group| mounts::is_plain_path(&group.path)) {
                let line = Evidence { record: group.line, offset: group.offset, ..restore.log.clone() };
                let evidence = std::iter::once(line);
                let recreated = Recreated::new(checkpoint, group.path.clone(), FileMount::ControlGroup, evidence);
                claims.add(ControlGroup { recreated });
            }
        }
    }

    fn evidence(&self) -> &[Evidence] {
        &self.recreated.evidence
    }

    fn query(&self) -> Query {
        self.recreated.query()
    }

    /// Its times say nothing: the kernel makes them up when somebody looks.
    fn recognises(&self, found: Option<&FoundFile>) -> bool {
        found.is_none_or(|file| file.is_empty_directory)
    }

    fn objections(&self, _: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        Recreated::objections(basis)
    }

    fn describe(&self, found: Option<&FoundFile>) -> Description {
        let described = self.recreated.describe("control-group", "Control group");
        let name = found.map_or(described.name, |file| Bytes::of_path(&file.place.path()).0);
        Description { name, ..described }
    }
}
