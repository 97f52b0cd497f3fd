// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for link remaps where the mount arithmetic says that they are.

use std::collections::BTreeSet;

use super::engine_place::EnginePlaces;
use super::{Cause, Finding, FoundFile, Hints, Presence, ProbeError, Survey};
use crate::checkpoint::Checkpoint;
use crate::mounts::{self, HostMounts, Location, MountHints, Place, Unreachable};
use crate::reach::{Looked, OpenBases, OpenError};
use crate::residue::{FileMount, LinkRemap, Residue};
use crate::system::mount::Purpose;
use crate::system::{mountinfo, process};

pub(super) fn look(
    checkpoint: &Checkpoint,
    links: Vec<Residue>,
    hints: &Hints,
    survey: &mut Survey,
) -> Result<(), ProbeError> {
    if links.is_empty() {
        return Ok(());
    }
    let host = host_mounts(checkpoint)?;
    let mut opened = OpenBases::new(Purpose::Look).named_by(checkpoint.author);
    let mut engine_places = EnginePlaces::new(checkpoint, &hints.metadata, &host.own);
    survey.findings.reserve(links.len());
    for residue in links {
        let Residue::LinkRemap(link) = &residue else { continue };
        let presence = match location_of(checkpoint, link, &host, &hints.mounts) {
            Location::At(places) => find(&places, &mut opened),
            Location::Either(readings) => find_either(&readings, &mut opened),
            Location::Vanished(how) => Presence::Vanished(how),
            Location::Unreachable(why) => Presence::Unreachable(Cause::Mount(why)),
        };
        let presence = match presence {
            Presence::Gone | Presence::Unreachable(_) => {
                let place = engine_places.place_of(link);
                place.and_then(|place| file_at(&place, &mut opened)).unwrap_or(presence)
            }
            found => found,
        };
        survey.findings.push(Finding { residue, presence });
    }
    Ok(())
}

/// Where a link remap can be on a host with these mounts. Pure.
pub fn location_of(checkpoint: &Checkpoint, link: &LinkRemap, host: &HostMounts, hints: &MountHints) -> Location {
    let unknown = Location::Unreachable(Unreachable::UnknownMount);
    match link.mount {
        FileMount::Shared => mounts::in_shared_namespace(&link.link, hints),
        FileMount::Unknown => unknown,
        FileMount::Id(id) => checkpoint
            .mounts
            .get(&id)
            .and_then(|mount| mounts::on_mount(&link.link, &mount.entry, host, hints))
            .unwrap_or(unknown),
    }
}

/// The mount tables of this host: that of the tool's own mount namespace, and one of each other.
fn host_mounts(checkpoint: &Checkpoint) -> Result<HostMounts, ProbeError> {
    if checkpoint.mounts.is_empty() {
        return Ok(HostMounts::default());
    }
    let proc_error = |source| ProbeError::Proc { what: "/proc/self/mountinfo", source };
    let (own, _) = mountinfo::parse(&process::mountinfo(std::process::id()).map_err(proc_error)?);
    let mut others = Vec::new();
    let mut seen: BTreeSet<u64> = process::mount_namespace(std::process::id()).into_iter().collect();
    for pid in process::pids().map_err(proc_error)? {
        let Ok(namespace) = process::mount_namespace(pid) else { continue };
        if !seen.insert(namespace) {
            continue;
        }
        let Ok(table) = process::mountinfo(pid) else { continue };
        others.push((pid, mountinfo::parse(&table).0));
    }
    Ok(HostMounts { own, others })
}

/// The first place that can be looked at decides: all of them show the same file.
fn find(places: &[Place], opened: &mut OpenBases) -> Presence {
    let mut cause = Cause::Mount(Unreachable::UnknownMount);
    for place in places {
        match look_at(place, opened) {
            Ok(presence) => return presence,
            Err(why) => cause = Cause::Open(why),
        }
    }
    Presence::Unreachable(cause)
}

/// Of several readings of the images at most one can be right. One file is the answer; of two nobody can tell.
fn find_either(readings: &[Vec<Place>], opened: &mut OpenBases) -> Presence {
    let mut answers: Vec<Presence> = readings.iter().map(|places| find(places, opened)).collect();
    if let Some(at) = answers.iter().position(|answer| matches!(answer, Presence::Unreachable(_))) {
        return answers.swap_remove(at);
    }
    let mut files: Vec<FoundFile> = Vec::new();
    for answer in answers {
        if let Presence::File(file) = answer {
            files.push(file);
        }
    }
    match files.len() {
        0 => Presence::Gone,
        1 => files.pop().map_or(Presence::Gone, Presence::File),
        _ => Presence::Unreachable(Cause::Ambiguous(files.iter().map(|file| file.place.path()).collect())),
    }
}

/// The file there, if there is one.
fn file_at(place: &Place, opened: &mut OpenBases) -> Option<Presence> {
    look_at(place, opened).ok().filter(|presence| matches!(presence, Presence::File(_)))
}

fn look_at(place: &Place, opened: &mut OpenBases) -> Result<Presence, OpenError> {
    if let Some(read) = opened.read_unmounted(place) {
        let found = |(directory, file): Looked| {
            file.map(|identity| Presence::File(FoundFile { place: place.clone(), directory, identity }))
        };
        return Ok(read?.and_then(found).unwrap_or(Presence::Gone));
    }
    let opened = match opened.directory_of(place) {
        Ok(opened) => opened,
        // The directory of the link is gone, and the link with it.
        Err(error) if error.is_not_found() => return Ok(Presence::Gone),
        Err(error) => return Err(error),
    };
    let (_, name) = place.split();
    let Some(identity) = opened.directory.entry(name)? else { return Ok(Presence::Gone) };
    // Making a link changes the times of both. So what was made after the directory had been opened shows in the file,
    // and only then does the directory have to be looked at again.
    let directory = match identity.changed > opened.identity.changed {
        true => opened.directory.identity()?,
        false => opened.identity,
    };
    Ok(Presence::File(FoundFile { place: place.clone(), directory, identity }))
}
