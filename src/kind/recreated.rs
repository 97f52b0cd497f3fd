// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shared by the kinds that a restore creates under a name of the tree's own. They are empty, and nothing in them shows who
//! created them, so they are removed only on request.

use super::{Basis, Description, Target};
use crate::carrier::name::{FileMount, NameAct, NameShape};
use crate::carrier::{FoundFile, NameQuery, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::mounts;
use crate::reason::KeepReason;
use crate::time::{SLACK, Timestamp};

/// Something that a restore created again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recreated {
    /// Its name, absolute, as the tree saw it.
    pub(super) name: Vec<u8>,
    mount: FileMount,
    /// When the images were written.
    dumped: Option<Timestamp>,
    /// When the last of the restores ended. Each overwrites the log of the one before.
    restored: Option<Timestamp>,
    pub(super) evidence: Vec<Evidence>,
}

impl Recreated {
    /// The thing of this name, which one of the broken restores may have created.
    pub(super) fn new(
        checkpoint: &Checkpoint,
        name: Vec<u8>,
        mount: FileMount,
        evidence: impl Iterator<Item = Evidence>,
    ) -> Self {
        let broken = checkpoint.restores.broken();
        let logs = broken.iter().map(|restore| restore.log.clone());
        Recreated {
            name,
            mount,
            dumped: checkpoint.written,
            restored: broken.iter().map(|restore| restore.ended).max(),
            evidence: evidence.chain(logs).collect(),
        }
    }

    /// The same for a directory above it, which the restore creates too if it is missing; `None` if it is not on the same mount.
    pub(super) fn above(&self, checkpoint: &Checkpoint, name: &[u8]) -> Option<Self> {
        let is_below_mount = match self.mount {
            FileMount::Id(id) => mounts::relative_to(name, &checkpoint.mounts.get(&id)?.entry).is_some(),
            FileMount::Shared => name != b"/",
            FileMount::ControlGroup | FileMount::Unknown => false,
        };
        is_below_mount.then(|| Recreated { name: name.to_owned(), ..self.clone() })
    }

    pub(super) fn query(&self) -> Query {
        Query::Name(NameQuery {
            path: self.name.clone(),
            original: None,
            mount: self.mount,
            size: None,
            // The last guard is that it is empty.
            shape: NameShape { stem: "recreated", id: 0, is_own: |_, _| true },
            act: NameAct::RemoveEmpty,
            beside: None,
        })
    }

    /// Whether it was created after the dump and before the last restore ended: by the time of birth, or, on a filesystem
    /// without one, by that of the last change.
    pub(super) fn is_of_restore(&self, file: &FoundFile) -> bool {
        let born = file.identity.born.unwrap_or(file.identity.changed);
        self.dumped.is_none_or(|dumped| dumped <= born) && self.restored.is_some_and(|ended| born.minus(SLACK) <= ended)
    }

    pub(super) fn objections(basis: &Basis<'_>) -> Vec<KeepReason> {
        basis.about_other_criu().into_iter().chain([KeepReason::Unmarked]).collect()
    }

    pub(super) fn describe(&self, kind: &'static str, label: &'static str) -> Description {
        Description {
            kind,
            fields: vec![("name", self.name.clone().into())],
            label,
            name: self.name.clone(),
            target: Target::None,
            remark: None,
            recognised: None,
        }
    }
}
