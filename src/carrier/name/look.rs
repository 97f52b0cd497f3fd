// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for names in the places from mount arithmetic.
//!
//! A filesystem may never answer, so a thread that can be abandoned does this.

mod absent;
mod control_groups;
mod covered;
mod disks;
mod empty;
mod namespaces;
mod watched;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;

use super::engine_place::{Confirmed, EnginePlace, EnginePlaces};
use super::{FileMount, FoundFile, NameAct, NameQuery};
use crate::carrier::{Cause, Elsewhere, Hints, Presence};
use crate::checkpoint::Checkpoint;
use crate::host::{self, Absence, Host, HostMounts, Seen, Sight, look_in};
use crate::locate::Context;
use crate::mounts::{self, Finder, Location, Place, Unreachable};
use crate::reach::{OpenBases, OpenError};
use crate::record::RecordedFilesystem;
use crate::system::filesystem::FilesystemId;
use crate::tree::trace_of;
use absent::Judge;

/// An answer for each of the names.
pub(crate) fn look(host: &Host, checkpoint: &Checkpoint, queries: &[NameQuery], hints: &Hints) -> Vec<Presence> {
    if queries.is_empty() {
        return Vec::new();
    }
    let mounts = host_mounts(host, checkpoint, &hints.metadata);
    let mut engine_places = EnginePlaces::new(checkpoint, &hints.metadata);
    let mut other_disks = disks::OtherPlaces::new(checkpoint, &mounts, &hints.mounts);
    let record = checkpoint.record.record();
    let mut finder = Finder::new(&mounts, &hints.mounts);
    let mut job = |query: &NameQuery| NameSearch {
        location: location_of(checkpoint, query, &mut finder),
        other_disks: other_disks.places_of(query),
        told: engine_places.place_of(query),
        recorded: record.and_then(|record| record.filesystem_of(query.shape.id, &query.path)),
        beside: query.beside.clone(),
        is_to_be_empty: query.act == NameAct::RemoveEmpty,
    };
    let jobs = queries.iter().map(&mut job).collect();
    watched::answer_each(jobs, Judge::new(host, checkpoint, &hints.mounts))
}

/// Where one name is looked for.
struct NameSearch {
    location: Location,
    /// Where it is if its disk has another number by now: the places of each disk.
    other_disks: Vec<Vec<Place>>,
    /// Where this host's own engine says that it was.
    told: Option<EnginePlace>,
    /// On which filesystem it was, by the record of the dump.
    recorded: Option<RecordedFilesystem>,
    /// Another name in its directory that is looked at.
    beside: Option<Vec<u8>>,
    /// Whether it matters if it is an empty directory.
    is_to_be_empty: bool,
}

impl NameSearch {
    /// All places, the first that will be looked at first.
    fn places(&self) -> impl Iterator<Item = &Place> {
        let places: Vec<&Place> = match &self.location {
            Location::At(places) => places.iter().collect(),
            Location::Either(readings) => readings.iter().flatten().collect(),
            Location::Vanished(_) | Location::Unreachable(_) => Vec::new(),
        };
        let others = self.other_disks.iter().flatten();
        places.into_iter().chain(others).chain(self.told.iter().map(|told| &told.place))
    }
}

/// Looks, with the bases that are open already.
struct Searcher {
    opened: OpenBases,
    confirmed: Confirmed,
    judge: Arc<Judge>,
    /// What the record says of the link that is looked for.
    recorded: Option<RecordedFilesystem>,
    /// Another name in its directory that is looked at.
    beside: Option<Vec<u8>>,
    /// Whether it matters if it is an empty directory.
    is_to_be_empty: bool,
}

impl Searcher {
    fn new(judge: Arc<Judge>) -> Self {
        let opened = OpenBases::to_look(judge.author());
        Searcher { opened, confirmed: Confirmed::default(), judge, recorded: None, beside: None, is_to_be_empty: false }
    }

    fn answer(&mut self, job: &NameSearch) -> Presence {
        self.recorded.clone_from(&job.recorded);
        self.beside.clone_from(&job.beside);
        self.is_to_be_empty = job.is_to_be_empty;
        let presence = match &job.location {
            Location::At(places) => self.find(places),
            Location::Either(readings) => self.find_either(readings),
            Location::Vanished(how) => Presence::Vanished(*how),
            Location::Unreachable(why) => Presence::Unreachable(Cause::Mount(why.clone())),
        };
        let presence = self.among_disks(presence, &job.other_disks);
        if !matches!(presence, Presence::Gone(_) | Presence::Unreachable(_)) {
            return presence;
        }
        let told = job.told.as_ref().filter(|told| self.confirmed.is_true_of(told));
        told.and_then(|told| self.file_at(&told.place)).unwrap_or(presence)
    }

    /// The first place that can be looked at decides: all of them show the same file.
    fn find(&mut self, places: &[Place]) -> Presence {
        let mut cause = Cause::Mount(Unreachable::UnknownMount);
        for place in places {
            match self.look_at(place) {
                Ok(presence) => return presence,
                Err(OpenError::NoStore(upper)) => cause = Cause::Elsewhere(Elsewhere::NoStore(upper)),
                Err(why) => cause = Cause::Open(why),
            }
        }
        Presence::Unreachable(cause)
    }

    /// Of several readings of the images at most one can be right. One file is the answer; of two nobody can tell.
    fn find_either(&mut self, readings: &[Vec<Place>]) -> Presence {
        let mut answers: Vec<Presence> = readings.iter().map(|places| self.find(places)).collect();
        let is_blind =
            |answer: &Presence| matches!(answer, Presence::Unreachable(cause) if !matches!(cause, Cause::Elsewhere(_)));
        let is_file = |answer: &Presence| matches!(answer, Presence::File(_));
        let is_elsewhere = |answer: &Presence| matches!(answer, Presence::Unreachable(_));
        let paths: Vec<PathBuf> = answers.iter().filter_map(path_of).collect();
        if paths.len() > 1 {
            return Presence::Unreachable(Cause::Ambiguous(paths));
        }
        let at = [is_blind as fn(&Presence) -> bool, is_file, is_elsewhere]
            .into_iter()
            .find_map(|is_decisive| answers.iter().position(is_decisive));
        // All of them were looked at, and each says that it is not there.
        answers.swap_remove(at.unwrap_or_default())
    }

    /// The file there, if there is one.
    fn file_at(&mut self, place: &Place) -> Option<Presence> {
        self.look_at(place).ok().filter(|presence| matches!(presence, Presence::File(_)))
    }

    fn look_at(&mut self, place: &Place) -> Result<Presence, OpenError> {
        if let Some(read) = self.opened.read_unmounted(place) {
            let Seen { filesystem, directory, sight } = read?;
            return Ok(match sight {
                Sight::Found(identity) => Presence::File(FoundFile {
                    place: place.clone(),
                    filesystem,
                    directory,
                    identity,
                    beside: None,
                    is_empty_directory: false,
                }),
                Sight::Absent(absence) => self.absent(place, absence, &filesystem)?,
            });
        }
        let opened = match self.opened.directory_of(place) {
            Ok(opened) => opened,
            // The directory of the link is gone, and the link with it.
            Err(error) if error.is_not_found() => {
                let Some(missing) = self.opened.missing(place)? else { return Err(error) };
                return match look_in(&missing.above, &missing.name)? {
                    Sight::Absent(absence) => self.absent(place, absence, &missing.above.filesystem()),
                    // It came back just now.
                    Sight::Found(_) => Err(error),
                };
            }
            Err(error) => return Err(error),
        };
        let (_, name) = place.split();
        let identity = match look_in(&opened.directory, name)? {
            Sight::Found(identity) => identity,
            Sight::Absent(absence) => return self.absent(place, absence, &opened.filesystem),
        };
        // Making a link changes the times of both. So what was made after the directory had been opened shows in the
        // file, and only then does the directory have to be looked at again.
        let directory = match identity.changed > opened.identity.changed {
            true => opened.directory.identity()?,
            false => opened.identity,
        };
        if let Some(vanished) = self.judge.of_younger(place, directory) {
            return Ok(vanished);
        }
        let place = self.judge.found(place, &identity, &opened.directory)?;
        let beside = match &self.beside {
            Some(name) => opened.directory.entry(OsStr::from_bytes(name))?.map(Box::new),
            None => None,
        };
        let is_empty_directory = self.is_to_be_empty
            && identity.file_type() == FileType::Directory
            && empty::is_empty(&opened.directory, name)?;
        let filesystem = opened.filesystem;
        Ok(Presence::File(FoundFile { place, filesystem, directory, identity, beside, is_empty_directory }))
    }

    /// The answer where the nearest directory that is there, on this filesystem, has no such entry.
    fn absent(&self, place: &Place, absence: Absence, filesystem: &FilesystemId) -> Result<Presence, OpenError> {
        let is_elsewhere = |recorded: &RecordedFilesystem| recorded.is_other(absence.directory().device, filesystem);
        if !self.judge.is_told(place) && self.recorded.as_ref().is_some_and(is_elsewhere) {
            return Ok(Presence::Unreachable(Cause::Elsewhere(Elsewhere::NotRecorded)));
        }
        Ok(self.judge.absent(place, absence)?)
    }
}

fn path_of(answer: &Presence) -> Option<PathBuf> {
    let Presence::File(file) = answer else { return None };
    Some(file.place.path())
}

/// Where a name can be on the host of the finder. Pure.
pub fn location_of<'a>(checkpoint: &'a Checkpoint, query: &NameQuery, finder: &mut Finder<'a>) -> Location {
    let unknown = Location::Unreachable(Unreachable::UnknownMount);
    match query.mount {
        FileMount::Shared => finder.in_shared_namespace(&query.path),
        FileMount::ControlGroup => control_groups::location_of(&query.path, &host::own_mounts_at(Path::new("/"))),
        FileMount::Unknown => unknown,
        FileMount::Id(id) => {
            checkpoint.mounts.get(&id).and_then(|mount| finder.on_mount(&query.path, &mount.entry)).unwrap_or(unknown)
        }
    }
}

/// The mounts of this host that the images can be about.
fn host_mounts(host: &Host, checkpoint: &Checkpoint, metadata: &Context) -> HostMounts {
    if checkpoint.mounts.is_empty() {
        return HostMounts::default();
    }
    let found = host.mounts(&trace_of(checkpoint));
    let own_layer = metadata.own_root().and_then(|root| mounts::layer_at(root, &found.own));
    HostMounts { own_layer, ..found }
}
