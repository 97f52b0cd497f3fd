// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ghost files: `NAME.cr.HEX.ghost`. A restore creates one for an open file that has no name left, and removes it when
//! all tasks have opened it (`criu/files-reg.c`; the name since v1.2). A killed restore leaves it, and the next restore
//! fails with "File exists". Its content is in the images.
//!
//! CRIU creates it in the directory of the original. If that directory is gone, CRIU uses the nearest one above.

use std::collections::BTreeMap;

use criu_images::{Remap, Timeval};

use super::basis::{differences, is_directory};
use super::original::{MountPoints, Original, absolute, split};
use super::{Basis, Claims, Contradiction, Description, Kind, LeftBy, Target};
use crate::carrier::name::{NameAct, NameShape};
use crate::carrier::{FoundFile, NameQuery, Query};
use crate::checkpoint::{Checkpoint, GhostRecord, RemapRecord};
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;
use crate::time::Timestamp;

/// A ghost file that a restore from the images makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GhostFile {
    /// The number in its name, there hexadecimal.
    pub id: u32,
    /// Its name, absolute, as the tree saw it.
    pub name: Vec<u8>,
    /// The file that it stands for, and the mount of both.
    original: Original,
    /// `st_mode` of the file.
    pub mode: u32,
    /// Size of the file in bytes (recorded since v3.3).
    pub size: Option<u64>,
    /// When its content was last changed, in microseconds, which a restore sets again (since v2.0).
    pub modified: Option<Timestamp>,
    /// Whether it is where CRIU makes it as long as there is a directory.
    pub place: GhostPlace,
    /// The entries that name it.
    pub evidence: Vec<Evidence>,
}

/// Where a ghost file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GhostPlace {
    /// In the directory of the original.
    Directory,
    /// In one above it, which is the nearest that is there.
    Above,
}

impl Kind for GhostFile {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        if checkpoint.ghosts.is_empty() {
            return;
        }
        let points = MountPoints::of(checkpoint);
        // One that was opened more than once has as many remaps.
        let mut by_name: BTreeMap<Vec<u8>, GhostFile> = BTreeMap::new();
        for ghost in checkpoint.remaps.iter().filter_map(|remap| ghost(checkpoint, &points, remap)) {
            match ghost {
                Ok(ghost) => {
                    let above = above(checkpoint, &points, &ghost);
                    by_name.extend(above.into_iter().map(|ghost| (ghost.name.clone(), ghost)));
                    by_name.insert(ghost.name.clone(), ghost);
                }
                // Without a restore there is none.
                Err(odd) if checkpoint.restores.has_log => {
                    claims.add_unknown(Self::PART, format!("{odd}; its ghost file is kept"));
                }
                Err(_) => {}
            }
        }
        claims.residues.extend(by_name.into_values().map(Into::into));
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        Query::Name(NameQuery {
            path: self.name.clone(),
            original: Some(self.original.name.clone()),
            mount: self.original.mount,
            size: self.size,
            shape: NameShape { stem: "ghost", id: self.id, is_own: is_ghost_name },
            act: NameAct::Unlink,
            beside: None,
        })
    }

    /// Most directories above never have one.
    fn recognises(&self, found: Option<&FoundFile>) -> bool {
        match self.place {
            GhostPlace::Directory => true,
            GhostPlace::Above => found.is_some(),
        }
    }

    fn objections(&self, file: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        let Some(mut reasons) = differences(Some(self.mode), self.size, file) else {
            return vec![KeepReason::Directory];
        };
        match self.modified {
            Some(modified) if modified != microseconds(file.identity.modified) => {
                reasons.push(KeepReason::ChangedSince)
            }
            // Equal to the microsecond: it is this file, whatever led to it.
            Some(_) => {}
            None if basis.is_older_than_dump(file) => reasons.push(KeepReason::OlderThanDump),
            None => {}
        }
        if basis.tree.has_other_criu {
            reasons.push(KeepReason::CriuElsewhere);
        }
        reasons
    }

    fn describe(&self, _: Option<&FoundFile>) -> Description {
        let original = self.original.name.clone();
        Description {
            kind: "ghost-file",
            fields: vec![
                ("id", self.id.into()),
                ("name", self.name.clone().into()),
                ("original", original.clone().into()),
            ],
            label: "Ghost file",
            name: self.name.clone(),
            target: Target::Is(original),
            remark: Some("left by a restore that was killed"),
            recognised: None,
        }
    }
}

/// Deleted directories come back under their own names. What CRIU would not have written it does not restore either.
fn ghost(
    checkpoint: &Checkpoint,
    points: &MountPoints,
    remap: &RemapRecord,
) -> Option<Result<GhostFile, Contradiction>> {
    let Remap::Ghost { ghost_id: id } = remap.entry.remap() else { return None };
    let GhostRecord { entry, evidence } = checkpoint.ghosts.get(&id)?;
    let file = checkpoint.files.get(&remap.entry.orig_id)?;
    let mut name = absolute(&file.entry.name);
    name.extend(suffix(id).as_bytes());
    let original = match Original::of(checkpoint, points, file, "ghost file", &name) {
        Ok(original) => original,
        Err(odd) => return Some(Err(odd)),
    };
    let evidence = [&remap.evidence, evidence].into_iter().chain(&original.evidence).cloned().collect();
    let (mode, size, modified) = (entry.mode, entry.size, entry.mtim.map(timestamp));
    let place = GhostPlace::Directory;
    (!is_directory(mode)).then_some(Ok(GhostFile { id, name, original, mode, size, modified, place, evidence }))
}

/// The same in every directory above: CRIU makes it in the nearest that is there. Without a restore there is none.
fn above(checkpoint: &Checkpoint, points: &MountPoints, ghost: &GhostFile) -> Vec<GhostFile> {
    let Some(file) =
        checkpoint.files.values().find(|file| checkpoint.restores.has_log && ghost.evidence.contains(&file.evidence))
    else {
        return Vec::new();
    };
    let (directory, last) = split(&ghost.name);
    let slashes = directory.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let in_directory = |at: usize| {
        let name = [&directory[..at], b"/", last].concat();
        let original = Original::of(checkpoint, points, file, "ghost file", &name).ok()?;
        Some(GhostFile { name, original, place: GhostPlace::Above, ..ghost.clone() })
    };
    slashes.filter_map(in_directory).collect()
}

pub(super) fn suffix(id: u32) -> String {
    format!(".cr.{id:x}.ghost")
}

/// Whether a name is that of a ghost file with this id.
fn is_ghost_name(name: &[u8], id: u32) -> bool {
    name.strip_suffix(suffix(id).as_bytes()).is_some_and(|original| !original.is_empty())
}

fn timestamp(time: Timeval) -> Timestamp {
    let nanoseconds = time.tv_usec.saturating_mul(1000);
    Timestamp::new(i64::try_from(time.tv_sec).unwrap_or(i64::MAX), u32::try_from(nanoseconds).unwrap_or(u32::MAX))
}

/// The time without what CRIU does not record of it.
fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp::new(time.seconds(), time.nanoseconds() / 1000 * 1000)
}

#[cfg(test)]
mod tests {
    use criu_images::{GhostFileEntry, RegFileEntry};

    use super::*;
    use crate::checkpoint::example::{checkpoint, evidence};
    use crate::kind::{Residue, named_by_images};

    const GHOST: Option<i32> = Some(1);

    fn file(id: u32, name: &str) -> RegFileEntry {
        RegFileEntry::default().with(|file| (file.id, file.name) = (id, name.into()))
    }

    /// A checkpoint with ghost file 26, a file of this mode.
    fn example(mode: u32) -> Checkpoint {
        let mut checkpoint = checkpoint();
        checkpoint.add_file(file(5, "/srv/data"));
        checkpoint.add_remap(5, 26, GHOST);
        let modified = Timeval::default().with(|time| (time.tv_sec, time.tv_usec) = (900, 7));
        let entry = GhostFileEntry::default()
            .with(|ghost| (ghost.mode, ghost.size, ghost.mtim) = (mode, Some(41), Some(modified)));
        checkpoint.ghosts.insert(26, GhostRecord { entry, evidence: evidence("ghost-file-1a.img", 0) });
        checkpoint
    }

    #[track_caller]
    fn check(checkpoint: &Checkpoint, expected: &[&str]) {
        let text = |residue: &Residue| match residue {
            Residue::GhostFile(ghost) => format!("{} of {}", ghost.name.escape_ascii(), ghost.evidence[1].image),
            other => panic!("{other:?}"),
        };
        assert_eq!(named_by_images(checkpoint).residues.iter().map(text).collect::<Vec<_>>(), expected);
    }

    const CLAIM: &str = "/srv/data.cr.1a.ghost of ghost-file-1a.img";

    #[test]
    fn a_restore_makes_it_beside_the_original_with_its_number_in_hexadecimal() {
        check(&example(0o100_640), &[CLAIM]);
        check(&example(0o010_600), &[CLAIM]);
    }

    #[test]
    fn a_file_that_was_opened_twice_has_one() {
        let mut checkpoint = example(0o100_640);
        checkpoint.add_file(file(7, "/srv/data"));
        checkpoint.add_remap(7, 26, GHOST);
        check(&checkpoint, &[CLAIM]);
    }

    #[test]
    fn what_criu_does_not_restore_leaves_none() {
        check(&example(0o040_755), &[]);
        let without = |change: fn(&mut Checkpoint)| {
            let mut checkpoint = example(0o100_640);
            change(&mut checkpoint);
            check(&checkpoint, &[]);
        };
        without(|checkpoint| checkpoint.ghosts.clear());
        without(|checkpoint| checkpoint.files.clear());
        without(|checkpoint| checkpoint.add_file(file(5, "/srv/../data")));
    }

    /// Without a restore there is none, and what is odd is not worth a word.
    #[test]
    fn a_ghost_with_an_odd_entry_is_kept_after_a_restore() {
        let mut checkpoint = example(0o100_640);
        checkpoint.add_file(file(5, "/srv/../data"));
        assert!(named_by_images(&checkpoint).unknown.is_empty());
        checkpoint.restores.has_log = true;
        let [unknown] = &named_by_images(&checkpoint).unknown[..] else { panic!("not one") };
        let expected = "files.img record 5 at offset 500 has a name that is not a plain path; its ghost file is kept";
        assert_eq!((unknown.part, unknown.sentence.as_str()), (Part::Files, expected));
    }

    #[test]
    fn no_other_name_is_one() {
        for (name, expected) in [
            ("data.cr.1a.ghost", true),
            (".cr.1a.ghost", false),
            ("data.cr.1A.ghost", false),
            ("data.cr.26.ghost", false),
            ("data.cr.01a.ghost", false),
            ("data.cr.1a.ghost.", false),
            ("data", false),
        ] {
            assert_eq!(is_ghost_name(name.as_bytes(), 26), expected, "{name}");
        }
    }

    #[test]
    fn a_time_is_compared_to_the_microsecond() {
        assert_eq!(
            microseconds(Timestamp::new(900, 7_999)),
            timestamp(Timeval::default().with(|time| {
                (time.tv_sec, time.tv_usec) = (900, 7);
            }))
        );
    }
}
