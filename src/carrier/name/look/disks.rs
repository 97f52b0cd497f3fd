// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks with another number than at the dump.
//!
//! The numbers of disks are arbitrary at each boot. So a number only says where to look first: the disk is the one with
//! a link that the dump can have created. A copy of the disk has such a link too, and then nothing distinguishes them.

use std::collections::HashMap;

use super::Searcher;
use crate::carrier::name::{FileMount, NameQuery};
use crate::carrier::{Cause, Elsewhere, FoundFile, Presence};
use crate::checkpoint::Checkpoint;
use crate::mounts::{HostMounts, Identity, MountHints, OtherDisks, Place};

/// Where link remaps are if their disks have other numbers by now.
pub(super) struct OtherPlaces<'a> {
    checkpoint: &'a Checkpoint,
    host: &'a HostMounts,
    hints: &'a MountHints,
    /// By the id of the mount in the images: ten thousand links may be on one.
    known: HashMap<u32, Option<OtherDisks<'a>>>,
}

impl<'a> OtherPlaces<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, host: &'a HostMounts, hints: &'a MountHints) -> Self {
        OtherPlaces { checkpoint, host, hints, known: HashMap::new() }
    }

    /// The places of each disk that is mounted.
    pub(super) fn places_of(&mut self, query: &NameQuery) -> Vec<Vec<Place>> {
        let FileMount::Id(id) = query.mount else { return Vec::new() };
        let disks = self
            .known
            .entry(id)
            .or_insert_with(|| Some(OtherDisks::new(&self.checkpoint.mounts.get(&id)?.entry, self.host, self.hints)));
        disks.as_ref().map_or_else(Vec::new, |disks| disks.places_of(&query.path))
    }
}

impl Searcher {
    /// The answer for a link that was looked for on the disk with the number of the images, and may be on others.
    pub(super) fn among_disks(&mut self, presence: Presence, others: &[Vec<Place>]) -> Presence {
        if others.is_empty() || !may_be_of_another(&presence) {
            return presence;
        }
        // A link that was changed since the dump may be the dump's all the same.
        let is_anothers = |file: &FoundFile| !self.judge.can_have_made(file) && !self.judge.is_older_than_dump(file);
        if matches!(&presence, Presence::File(file) if is_anothers(file)) {
            return presence;
        }
        let mut found: Vec<FoundFile> = self.made_by_dump(presence.clone()).into_iter().collect();
        for places in others {
            let answer = self.find(places);
            found.extend(self.made_by_dump(answer));
        }
        if found.len() > 1 {
            return Presence::Unreachable(Cause::Ambiguous(found.iter().map(|file| file.place.path()).collect()));
        }
        found.pop().map_or(presence, Presence::File)
    }

    fn made_by_dump(&self, answer: Presence) -> Option<FoundFile> {
        let Presence::File(file) = answer else { return None };
        self.judge.can_have_made(&file).then_some(file)
    }
}

/// Whether the disk with the number of the images can be another one: it is not here, or nothing says that it is the one.
fn may_be_of_another(presence: &Presence) -> bool {
    match presence {
        Presence::File(found) => found.place.base.identity() != Identity::Certain,
        Presence::Unreachable(cause) => match cause {
            Cause::Open(error) => error.is_of_no_device(),
            Cause::Elsewhere(elsewhere) => match elsewhere {
                Elsewhere::OtherFilesystem | Elsewhere::NotRecorded => true,
                Elsewhere::NoStore(_)
                | Elsewhere::OtherNamespace(_)
                | Elsewhere::Covered(_)
                | Elsewhere::PerhapsCovered(_)
                | Elsewhere::Returned
                | Elsewhere::Untouched(_) => false,
            },
            // What cannot be looked at may be the disk.
            Cause::Mount(_)
            | Cause::Ambiguous(_)
            | Cause::Firewall
            | Cause::Silent(_)
            | Cause::Untied { .. }
            | Cause::RestoredElsewhere { .. } => false,
        },
        Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Entry(_)
        | Presence::Task(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::Table(_)
        | Presence::Chain(_) => false,
    }
}
