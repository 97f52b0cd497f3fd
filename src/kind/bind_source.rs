// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sources of bind mounts that were deleted while they were mounted. A restore creates each again, mounts it and removes it
//! (`criu/mount-v2.c`). A restore that is killed in between leaves it, and the next fails with "Can't re-create deleted
//! directory". Only the newer mount engine (v3.17, the default) gives it permissions that are hardly anybody else's. The
//! older one (`--mntns-compat-mode`, `criu/mount.c`) creates a directory like any other: it is shown if the log names it, and
//! never removed.

use std::collections::{BTreeMap, HashMap};

use super::original::directories_above;
use super::recreated::Recreated;
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::name::FileMount;
use crate::carrier::{FoundFile, Query};
use crate::checkpoint::{Checkpoint, MountRecord};
use crate::evidence::Evidence;
use crate::mounts;
use crate::part::Part;
use crate::reason::KeepReason;

/// The source of a bind mount that a restore created again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindSource {
    recreated: Recreated,
    /// Whether the log of a restore with the older mount engine names it.
    is_logged: bool,
}

/// `st_mode` of the directory and of the file that CRIU creates.
const MODES: [u32; 2] = [0o040_600, 0o100_600];
/// `st_mode` of the directory that the older mount engine creates.
const MODE_OF_OLDER: u32 = 0o040_755;

impl Kind for BindSource {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        if checkpoint.restores.broken().is_empty() || !checkpoint.has_own_mount_namespace() {
            return;
        }
        let shown = Shown::of(checkpoint);
        let deleted = checkpoint.mounts.values().filter(|mount| mount.entry.deleted);
        let sources = deleted.filter_map(|mount| source(checkpoint, &shown, mount));
        let by_name: BTreeMap<Vec<u8>, BindSource> =
            sources.map(|source| (source.recreated.name.clone(), source)).collect();
        claims.residues.extend(by_name.into_values().map(Into::into));
    }

    fn evidence(&self) -> &[Evidence] {
        &self.recreated.evidence
    }

    fn query(&self) -> Query {
        self.recreated.query()
    }

    fn recognises(&self, found: Option<&FoundFile>) -> bool {
        found.is_none_or(|file| {
            let FoundFile { identity, is_empty_directory, .. } = file;
            let is_empty = *is_empty_directory || identity.size == 0;
            let is_of_older = self.is_logged && is_of_older_engine(file);
            let has_mode = MODES.contains(&identity.mode) || is_of_older;
            is_empty && identity.owner == 0 && has_mode && self.recreated.is_of_restore(file)
        })
    }

    fn objections(&self, found: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        let objections = Recreated::objections(basis).into_iter();
        objections.chain(is_of_older_engine(found).then_some(KeepReason::LikeAnyOther)).collect()
    }

    fn describe(&self, _: Option<&FoundFile>) -> Description {
        self.recreated.describe("bind-source", "Source of a bind mount")
    }
}

fn is_of_older_engine(file: &FoundFile) -> bool {
    file.is_empty_directory && file.identity.mode == MODE_OF_OLDER
}

/// The mounts that can show a source, by what they show: their namespace, filesystem and directory. There may be as many
/// deleted ones as others.
struct Shown<'a>(HashMap<Key<'a>, &'a MountRecord>);

type Key<'a> = (u32, (u32, u32), &'a [u8]);

impl<'a> Shown<'a> {
    fn of(checkpoint: &'a Checkpoint) -> Self {
        let others =
            checkpoint.mounts.values().filter(|mount| !mount.entry.deleted && mounts::has_plain_root(&mount.entry));
        Shown(
            others.map(|mount| ((mount.namespace, mount.entry.device(), mount.entry.root.as_slice()), mount)).collect(),
        )
    }

    /// The one that shows the nearest directory above the source.
    fn above(&self, deleted: &MountRecord) -> Option<&'a MountRecord> {
        let of = |directory| (deleted.namespace, deleted.entry.device(), directory);
        directories_above(&deleted.entry.root).find_map(|directory| self.0.get(&of(directory))).copied()
    }
}

/// Where the source was: below another mount of the same filesystem, which shows a directory above it.
fn source(checkpoint: &Checkpoint, shown: &Shown<'_>, deleted: &MountRecord) -> Option<BindSource> {
    let root = &deleted.entry.root;
    let other = shown.above(deleted).filter(|_| mounts::is_plain_path(root))?;
    let name = mounts::shown_as(root, &other.entry)?;
    let evidence = [&deleted.evidence, &other.evidence].into_iter().cloned();
    let mount = FileMount::Id(other.entry.mnt_id);
    let is_logged = checkpoint.restores.broken().iter().any(|restore| restore.bound.contains(&name));
    Some(BindSource { recreated: Recreated::new(checkpoint, name, mount, evidence), is_logged })
}
