// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Directories that the tree had open although they were deleted. A restore creates each again under its old name, with those
//! above it that are missing, and removes it alone when all tasks have opened it (`criu/files-reg.c`). A restore that is
//! killed in between leaves all of them. Those above show when they are empty: after what is in them has gone.

use std::collections::BTreeMap;

use criu_images::Remap;

use super::basis::is_directory;
use super::original::{MountPoints, Original, absolute, directories_above};
use super::recreated::Recreated;
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::{FoundFile, Query};
use crate::checkpoint::{Checkpoint, RemapRecord};
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// A directory that a restore created again for the tasks that have it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GhostDirectory {
    recreated: Recreated,
    /// `st_mode` of the directory.
    mode: u32,
}

/// `st_mode` of the directories that CRIU creates above it (`mkdirpat` in `criu/util.c`).
const MODE_ABOVE: u32 = 0o040_755;

/// No more of them are claimed: the author of the images decides how long the names are.
const MOST_ABOVE: usize = 1_000;

impl Kind for GhostDirectory {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        if checkpoint.restores.broken().is_empty() {
            return;
        }
        let points = MountPoints::of(checkpoint);
        let directories = checkpoint.remaps.iter().filter_map(|remap| directory(checkpoint, &points, remap));
        let directories: Vec<GhostDirectory> = directories.collect();
        let above = directories.iter().flat_map(|directory| {
            let names = directories_above(&directory.recreated.name);
            names.filter_map(|name| directory.recreated.above(checkpoint, name))
        });
        let above: Vec<GhostDirectory> =
            above.take(MOST_ABOVE).map(|recreated| GhostDirectory { recreated, mode: MODE_ABOVE }).collect();
        let by_name: BTreeMap<Vec<u8>, GhostDirectory> = above
            .into_iter()
            .chain(directories)
            .map(|directory| (directory.recreated.name.clone(), directory))
            .collect();
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
            file.is_empty_directory && file.identity.mode == self.mode && self.recreated.is_of_restore(file)
        })
    }

    fn objections(&self, _: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        Recreated::objections(basis)
    }

    fn describe(&self, _: Option<&FoundFile>) -> Description {
        self.recreated.describe("ghost-directory", "Ghost directory")
    }
}

fn directory(checkpoint: &Checkpoint, points: &MountPoints, remap: &RemapRecord) -> Option<GhostDirectory> {
    let Remap::Ghost { ghost_id: id } = remap.entry.remap() else { return None };
    let ghost = checkpoint.ghosts.get(&id).filter(|ghost| is_directory(ghost.entry.mode))?;
    let file = checkpoint.files.get(&remap.entry.orig_id)?;
    let name = absolute(&file.entry.name);
    // What CRIU would not have written it does not restore either.
    let original = Original::of(checkpoint, points, file, "ghost directory", &name).ok()?;
    let evidence = [&remap.evidence, &ghost.evidence].into_iter().chain(&original.evidence).cloned();
    let recreated = Recreated::new(checkpoint, name, original.mount, evidence);
    Some(GhostDirectory { recreated, mode: ghost.entry.mode })
}

#[cfg(test)]
mod tests {
    use criu_images::{GhostFileEntry, RegFileEntry};

    use super::*;
    use crate::checkpoint::GhostRecord;
    use crate::checkpoint::example::{broken_restore, checkpoint, evidence};
    use crate::kind::named_by_images;

    fn example(mode: u32) -> Checkpoint {
        let mut checkpoint = checkpoint();
        checkpoint.add_file(RegFileEntry::default().with(|file| (file.id, file.name) = (5, "/srv/gone".into())));
        checkpoint.add_remap(5, 26, Some(1));
        let entry = GhostFileEntry::default().with(|ghost| ghost.mode = mode);
        checkpoint.ghosts.insert(26, GhostRecord { entry, evidence: evidence("ghost-file-1a.img", 0) });
        checkpoint.restores.broken = vec![broken_restore()];
        checkpoint
    }

    fn claimed(checkpoint: &Checkpoint) -> usize {
        named_by_images(checkpoint).residues.len()
    }

    #[test]
    fn a_restore_that_was_killed_may_leave_one_under_its_old_name() {
        let directory = example(0o040_755);
        let names = named_by_images(&directory).residues.into_iter().filter_map(|residue| match residue.query() {
            Query::Name(query) => Some(query.path),
            Query::Filter(_) | Query::Entry(_) | Query::Tasks => None,
        });
        assert_eq!(names.collect::<Vec<_>>(), [&b"/srv"[..], b"/srv/gone"]);
    }

    #[test]
    fn the_author_of_the_images_does_not_decide_how_many_are_above() {
        let mut directory = example(0o040_755);
        directory.add_file(RegFileEntry::default().with(|file| (file.id, file.name) = (5, "/a".repeat(2_000).into())));
        assert_eq!(claimed(&directory), MOST_ABOVE + 1);
    }

    #[test]
    fn without_a_broken_restore_and_after_one_that_succeeded_there_is_none() {
        let mut checkpoint = example(0o040_755);
        checkpoint.restores.succeeded =
            Some(crate::checkpoint::RestoreEvidence { file: "stats-restore".into(), written: broken_restore().ended });
        assert_eq!(claimed(&checkpoint), 0);
        let mut checkpoint = example(0o040_755);
        checkpoint.restores.broken.clear();
        assert_eq!(claimed(&checkpoint), 0);
    }
}
