// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The evidence for verdicts, apart from the object itself.

use crate::carrier::FoundFile;
use crate::carrier::filter::Tie;
use crate::checkpoint::{Checkpoint, FinalState};
use crate::evidence::Evidence;
use crate::mounts::Identity;
use crate::reason::KeepReason;
use crate::time::{SLACK, Timestamp};
use crate::tree::TreeState;

/// What the record of a dump says about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is the one that the dump left.
    Same,
    /// It is another one.
    Other,
    /// It may be the one that the dump left, and may have been re-created.
    Unclear,
}

/// What is known beside an object when it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    /// The checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// What the record of the dump says about the object, where it says something.
    pub record: Option<Answer>,
    /// What is known of the processes of the tree.
    pub tree: &'a TreeState,
    /// What the other objects, and restores since, say against removing something that does not say by itself whose it is.
    pub unsigned: &'a [KeepReason],
    /// The last changes of all link remaps that are there.
    pub changes: &'a [Timestamp],
    /// Whether the last change of the file is one that the tool made itself, after it had found the file to be the dump's.
    pub is_own_change: bool,
}

/// Whether a mode (`st_mode`) is that of a directory.
pub(super) fn is_directory(mode: u32) -> bool {
    file_type(mode) == 0o040_000
}

fn file_type(mode: u32) -> u32 {
    mode & 0o170_000
}

/// What speaks against a file being the dumped one, by type and permissions (`st_mode`) and size in bytes. What the images
/// do not record is no objection. `None` for a directory, with which nothing else can be compared.
pub(super) fn differences(mode: Option<u32>, size: Option<u64>, file: &FoundFile) -> Option<Vec<KeepReason>> {
    let found = file.identity.mode;
    if is_directory(found) {
        return None;
    }
    let of_mode = mode.filter(|expected| *expected != found);
    let of_mode = of_mode.map(|expected| match file_type(expected) == file_type(found) {
        true => KeepReason::OtherMode,
        false => KeepReason::OtherType,
    });
    let of_size = size.filter(|expected| *expected != file.identity.size).map(|_| KeepReason::OtherSize);
    Some(of_mode.into_iter().chain(of_size).collect())
}

impl Basis<'_> {
    /// Whether the dump's record identifies this object.
    pub(super) fn is_recorded(&self) -> bool {
        self.record == Some(Answer::Same)
    }

    /// What speaks against touching something that any criu may be making at this moment.
    pub(super) fn about_other_criu(&self) -> Vec<KeepReason> {
        self.tree.has_other_criu.then_some(KeepReason::CriuElsewhere).into_iter().collect()
    }

    /// What speaks against removing something that does not say by itself whose it is, unless the record does.
    pub(super) fn about_unsigned(&self) -> Vec<KeepReason> {
        if self.is_recorded() { Vec::new() } else { self.unsigned.to_vec() }
    }

    /// Whether the network namespace is the checkpoint's. What a record ties is the object that it names, and no other in
    /// the same namespace.
    pub(super) fn is_tied(&self, tie: Option<Tie>) -> bool {
        match tie {
            Some(Tie::Named | Tie::Own | Tie::Devices | Tie::Metadata | Tie::Tree) => true,
            Some(Tie::Recorded) | None => self.is_recorded(),
        }
    }

    /// Whether a link may have been re-created since. A record is more exact than the times of the images.
    pub(super) fn is_made_anew(&self, evidence: &[Evidence], file: &FoundFile) -> bool {
        match self.record {
            Some(Answer::Same) => false,
            Some(Answer::Unclear) => true,
            Some(Answer::Other) | None => self.is_changed_since(evidence, file),
        }
    }

    /// Whether a link may have been made after the images were written. Making a link changes both its inode and its
    /// directory; so if one of them was not changed since, the link is the one that this dump made.
    fn is_changed_since(&self, evidence: &[Evidence], file: &FoundFile) -> bool {
        let Some(written) = self.checkpoint.times.of(evidence).or(self.checkpoint.written) else { return true };
        let changed = file.identity.changed.min(file.directory.changed);
        let is_older = file.identity.born.is_some_and(|born| born <= written.latest());
        changed > written.latest() && !(is_older && self.is_explained(changed))
    }

    /// Whether something other than a newer dump made this change of a link, and there was no newer dump.
    ///
    /// A restore that fails changes a link and its directory, and so does a program that is started afresh and removes
    /// its old files. A newer dump is one of a restored tree, of a tree that never died, or of another run of the
    /// program. The first is excluded if no restore can have succeeded. The others cannot make a link whose name is
    /// taken; and if somebody removed that name, a program that creates its files again has one that is younger than
    /// the images.
    fn is_explained(&self, changed: Timestamp) -> bool {
        let Checkpoint { restores, log, .. } = self.checkpoint;
        let fallbacks = self.tree.fallback.iter().map(|fallback| fallback.started);
        let by_fallback = || fallbacks.chain(self.tree.started_again).any(|started| started.minus(SLACK) <= changed);
        let died = log.final_state != Some(FinalState::Stopped);
        died && restores.are_excluded() && (restores.failed_at(changed).is_some() || by_fallback())
    }

    /// Whether nothing but a number that can be given again, or a mount's option, led to the file, and the dump did not
    /// make it.
    pub(super) fn is_older_than_dump(&self, file: &FoundFile) -> bool {
        let is_proven = file.place.base.identity() == Identity::Certain || self.is_recorded();
        !is_proven && !self.is_made_by_dump(file)
    }

    /// Whether the tree of the interrupted dump still has the file open, whose name was the original's. Then the link is the
    /// dump's, whatever the tree has written since.
    pub(super) fn is_held(&self, original: Option<&[u8]>, file: &FoundFile) -> bool {
        let held = self.checkpoint.held.get(&file.identity.id());
        self.tree.runs_on() && original.is_some() && held.map(Vec::as_slice) == original
    }

    /// Whether the dump can have made the link, by the times.
    pub(super) fn is_made_by_dump(&self, file: &FoundFile) -> bool {
        self.checkpoint.span().is_some_and(|span| span.made(&file.identity, &file.directory))
    }
}
