// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the identity of a step's object rests on. A text that a tree wrote and a number that can be given again say only
//! where to look; something of this host has to confirm what is found there: a record, the user, the device's age, or
//! that the object itself was made while the dump ran.

use std::collections::BTreeSet;

use criu_gc::internals::carrier::{FoundFile, Presence};
use criu_gc::internals::checkpoint::Checkpoint;
use criu_gc::internals::kind::Residue;
use criu_gc::internals::mounts::{Base, HostMount, HostMounts};
use criu_gc::internals::plan::{Answer, Item};

/// What speaks for an object being the one that the images name, beside the test of the object itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ground {
    /// The record of the dump has the identity of this very object.
    Record,
    /// The user named the place.
    User,
    /// The path is one of the mount namespace in which both CRIU and the tool run.
    OwnPath,
    /// The filesystem has been mounted since before the dump.
    LastingMount,
    /// The link, or its directory, was changed while the dump ran.
    MadeByDump,
    /// Its content was changed when that of the dumped file was, to the microsecond.
    SameTime,
    /// A device number: another device may have it by now.
    Number,
    /// An option that the tree wrote.
    Text,
}

impl Ground {
    fn is_proof(self) -> bool {
        match self {
            Ground::Record
            | Ground::User
            | Ground::OwnPath
            | Ground::LastingMount
            | Ground::MadeByDump
            | Ground::SameTime => true,
            Ground::Number | Ground::Text => false,
        }
    }
}

/// A step that is carried out has a ground that is one.
pub(super) fn check(checkpoint: &Checkpoint, item: &Item, host: &HostMounts) {
    let grounds = grounds(checkpoint, item, host);
    assert!(grounds.iter().any(|ground| ground.is_proof()), "nothing confirms what it is: {grounds:?} {item:?}");
}

fn grounds(checkpoint: &Checkpoint, item: &Item, host: &HostMounts) -> BTreeSet<Ground> {
    let recorded = (item.record == Some(Answer::Same)).then_some(Ground::Record);
    let of_file = match &item.finding.presence {
        Presence::File(file) => {
            let made = was_made_by_dump(checkpoint, file).then_some(Ground::MadeByDump);
            let same = has_same_time(&item.finding.residue, file).then_some(Ground::SameTime);
            made.into_iter().chain(same).chain([of_base(&file.place.base, host)]).collect()
        }
        Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::Unreachable(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::Table(_)
        | Presence::Chain(_)
        | Presence::Entry(_)
        | Presence::Task(_) => Vec::new(),
    };
    recorded.into_iter().chain(of_file).collect()
}

fn has_same_time(residue: &Residue, file: &FoundFile) -> bool {
    let Residue::GhostFile(ghost) = residue else { return false };
    ghost.modified == Some(file.identity.modified)
}

fn was_made_by_dump(checkpoint: &Checkpoint, file: &FoundFile) -> bool {
    let (Some(began), Some(written)) = (checkpoint.began, checkpoint.written) else { return false };
    [file.identity.changed, file.directory.changed].iter().any(|time| began <= *time && *time <= written.latest())
}

fn of_base(base: &Base, host: &HostMounts) -> Ground {
    let of_number = |device: (u32, u32)| {
        // What has no device of its own gets a number that is free.
        let lasts = device.0 != 0 && host.lasting.contains(&device);
        if lasts { Ground::LastingMount } else { Ground::Number }
    };
    match base {
        Base::Root(_) => Ground::OwnPath,
        Base::Named(_) => Ground::User,
        Base::Upper { .. } | Base::Recorded(_) | Base::PerhapsRoot(_) => Ground::Text,
        Base::Device { .. } => Ground::Number,
        Base::Mount { id, .. } => {
            let others = host.others.iter().flat_map(|(_, mounts)| mounts);
            let mount: Option<&HostMount> = host.own.iter().chain(others).find(|mount| mount.id == *id);
            // Of an overlay not even the number has to agree.
            mount.map_or(Ground::Text, |mount| match mount.fstype.as_slice() {
                b"overlay" => Ground::Text,
                _ => of_number(mount.device),
            })
        }
    }
}
