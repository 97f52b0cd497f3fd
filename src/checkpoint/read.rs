// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the images of a checkpoint.
//!
//! A killed dump leaves truncated images: what comes before the end is used, and the checkpoint counts as incomplete.
//! An entry that CRIU would not have written so is left out and noted: what depends on it is kept, and the rest is used.
//! Any other fault of an image is an error, and then no image is used. One record is in memory at a time; only facts
//! about residue are held.

mod completeness;
mod dump_log;
mod ending;
mod files;
mod living;
mod mounts;
mod network;
mod odd;
mod outline;
mod pair;
mod restores;
mod tasks;
mod work_files;

use std::collections::HashMap;
use std::io::BufReader;
use std::sync::Arc;

use criu_images::{Entry, ErrorKind, ImageKind, ImageReader, ImageVersion, Inventory};

use self::files::{Files, wanted_files};
use self::odd::OddRecords;
use super::budget::{Budget, Fact};
use super::problem::ReadError;
use super::{
    Checkpoint, Completeness, ImageProblem, ImageProblemKind, ImageTimes, Odd, Record, RemapRecord, RunId, ghosts,
};
use crate::evidence::Evidence;
use crate::locate::{ImageFile, Images};
use crate::record::{self, Beside, ImagesId};
use crate::system::author::Author;
use crate::system::machine;
use crate::time::Timestamp;

/// An image buffer: few reads even for images of hundreds of megabytes.
const BUFFER: usize = 256 * 1024;

pub use living::{LivingFacts, living_facts};
pub use outline::{Condition, Lock, Outline, PathEnd, outline};

/// What distinguishes a dump from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The run id, since CRIU 4.1.
    pub run_id: Option<String>,
    /// When the images that name residue were last written; only read where there is no run id.
    pub written: Option<Timestamp>,
}

/// Identifies a dump: from the inventory alone, if it has a run id.
pub fn identify(images: &Images) -> Result<Identity, ReadError> {
    let inventory = Reader::new(images).inventory()?;
    let run_id = inventory.and_then(|inventory| RunId::new(inventory.entry.dump_criu_run_id.as_deref()?));
    match run_id {
        Some(run_id) => Ok(Identity { run_id: Some(run_id.text), written: None }),
        None => Ok(read(images)?.identity()),
    }
}

/// Reads what the checkpoint's images and logs say.
pub fn read(images: &Images) -> Result<Checkpoint, ReadError> {
    let mut reader = Reader::new(images);
    let inventory = reader.inventory()?;
    let remaps: Vec<RemapRecord> = reader.all(0, Fact::Remap)?;
    let (mut tasks, programs) = reader.tasks()?;
    let wanted = wanted_files(&remaps, &programs);
    let Files {
        files, sockets, deleted_sockets, layout, link_remaps, shaped, socket_inodes, is_empty, odd_ids, ..
    } = reader.files(&wanted, &remaps)?;
    let ghosts = ghosts::read(images, &remaps, &mut reader.author, &mut reader.budget)?;
    let absence = images.absence();
    let end = reader.end_of_dump()?;
    // Of what somebody else can take away, that it was there once proves nothing.
    if end.is_none() || absence != Author::Trusted {
        reader.note_lacking_links(&remaps, &shaped, &link_remaps);
    }
    for task in &mut tasks {
        let program = programs.get(&task.pid).and_then(|id| files.get(id));
        task.executable = program.map(|file| file.entry.name.clone());
    }
    let mounts = reader.mounts(&tasks)?;
    let odd = Odd {
        files: odd_ids,
        has_lost_files: reader.has_odd(&[ImageKind::Files, ImageKind::RegFiles]),
        has_lost_mounts: reader.has_odd(&[ImageKind::Mountpoints]),
    };
    let network = reader.network(tasks.first())?;
    let restores = reader.restores(tasks.first())?;
    let log = reader.dump_log(inventory.as_ref())?;
    for _ in &log.facts.locked {
        reader.budget.charge(Fact::Connection, 0)?;
    }
    let ending = reader.ending(inventory.as_ref());
    let rolled_back = reader.rollback(&log, inventory.as_ref(), absence);
    if rolled_back.is_none() {
        if end.is_none() {
            reader.note_lacking_sockets(&socket_inodes);
        }
        let lacks_files = is_empty && (!tasks.is_empty() || !remaps.is_empty());
        reader.note_missing(inventory.as_ref(), lacks_files);
    }
    let is_whole = reader.problems.is_empty() && inventory.is_some();
    let completeness = if is_whole { Completeness::Complete } else { Completeness::Incomplete };
    let mut checkpoint = Checkpoint {
        completeness,
        inventory,
        written: reader.times.last().map(|written| written.said),
        began: reader.began(&end),
        written_until: reader.times.last().map(|written| written.until),
        times: reader.times,
        author: reader.author,
        absence,
        ending,
        remaps,
        shaped,
        held: HashMap::new(),
        layer: None,
        logged_links: Vec::new(),
        link_counts: None,
        files,
        ghosts,
        sockets,
        deleted_sockets,
        mounts,
        tasks,
        network,
        log: log.facts,
        rolled_back,
        log_file: log.file,
        restores,
        record: Beside::Nothing,
        layout,
        odd,
        problems: reader.problems,
    };
    if let Some(directory) = images.directory() {
        checkpoint.record = record::read(directory, checkpoint.identity().as_images_id());
    }
    Ok(checkpoint)
}

struct Reader<'a> {
    images: &'a Images,
    problems: Vec<ImageProblem>,
    is_of_known_version: bool,
    times: ImageTimes,
    author: Author,
    now: Timestamp,
    budget: Budget,
}

impl Identity {
    /// The same, for records.
    pub fn as_images_id(&self) -> ImagesId<'_> {
        ImagesId { run_id: self.run_id.as_deref(), written: self.written }
    }
}

impl<'a> Reader<'a> {
    fn new(images: &'a Images) -> Self {
        Reader {
            images,
            problems: Vec::new(),
            is_of_known_version: true,
            times: ImageTimes::default(),
            author: Author::Trusted,
            now: machine::now(),
            budget: Budget::default(),
        }
    }
}

impl Reader<'_> {
    /// Calls `each` with every record of an image. A missing image has no records; a cut one is noted.
    fn records<E: Entry>(
        &mut self,
        id: u32,
        mut each: impl FnMut(E, Evidence, criu_images::ByteOrder, &mut Budget) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let kind = E::KIND;
        let name = kind.file_name(id);
        let Some(file) = self.images.image(&name)? else { return Ok(()) };
        self.author = self.author.or(file.author);
        self.times.note_first(file.written, file.born());
        if matches!(kind, ImageKind::Inventory | ImageKind::Files | ImageKind::RegFiles | ImageKind::RemapFilePath) {
            self.times.add(&name, file.written, self.now);
        }
        let budget = &mut self.budget;
        let mut each = |entry, evidence, order| each(entry, evidence, order, budget);
        let mut odd = OddRecords::new(kind);
        let result = read_records(&name, file, &mut odd, &mut each);
        if let Some(first) = odd.first {
            let kind = ImageProblemKind::OddRecords { first, count: odd.count };
            self.problems.push(ImageProblem { image: name.clone(), kind });
        }
        let kind = match result {
            Ok(()) => return Ok(()),
            Err(ReadFailure::Entry(error)) => return Err(error),
            Err(ReadFailure::Image(error)) if error.is_truncation() => ImageProblemKind::Cut(error),
            Err(ReadFailure::Image(error)) if !self.is_of_known_version && *error.kind() != ErrorKind::Read => {
                ImageProblemKind::Unreadable(error)
            }
            Err(ReadFailure::Image(source)) => {
                return Err(ReadError::Image { path: self.images.path().join(&name), source });
            }
        };
        self.problems.push(ImageProblem { image: name, kind });
        Ok(())
    }

    /// All records of an image, each charged as such a fact.
    fn all<E: Entry>(&mut self, id: u32, fact: Fact) -> Result<Vec<Record<E>>, ReadError> {
        let mut records = Vec::new();
        self.records(id, |entry, evidence, _, budget| {
            budget.charge(fact, 0)?;
            records.push(Record { entry, evidence });
            Ok(())
        })?;
        Ok(records)
    }

    fn first<E: Entry>(&mut self, id: u32) -> Result<Option<Record<E>>, ReadError> {
        let mut first = None;
        self.records(id, |entry, evidence, _, _| {
            first.get_or_insert(Record { entry, evidence });
            Ok(())
        })?;
        Ok(first)
    }

    /// Images of a version that is not known may name more than is understood; CRIU refuses them.
    fn inventory(&mut self) -> Result<Option<Record<Inventory>>, ReadError> {
        let inventory = self.first::<Inventory>(0)?;
        let version = inventory.as_ref().map(|inventory| inventory.entry.version());
        if let Some(ImageVersion::Unknown(version)) = version {
            self.is_of_known_version = false;
            let image = ImageKind::Inventory.file_name(0);
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::UnknownVersion(version) });
        }
        Ok(inventory)
    }
}

enum ReadFailure {
    Image(criu_images::Error),
    Entry(ReadError),
}

fn read_records<E: Entry>(
    name: &str,
    file: ImageFile,
    odd: &mut OddRecords,
    each: &mut impl FnMut(E, Evidence, criu_images::ByteOrder) -> Result<(), ReadError>,
) -> Result<(), ReadFailure> {
    let reader = ImageReader::open(BufReader::with_capacity(BUFFER, file)).map_err(ReadFailure::Image)?;
    let order = reader.byte_order();
    let image: Arc<str> = name.into();
    for record in reader {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                odd.add(error).map_err(ReadFailure::Image)?;
                continue;
            }
        };
        let evidence = Evidence { image: Arc::clone(&image), record: record.index, offset: record.offset };
        each(record.entry, evidence, order).map_err(ReadFailure::Entry)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
