// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the checkpoints below the given paths and reads their images, on threads that can be abandoned.
//!
//! A record leads to its images, if they are where it says or next to it. Otherwise it stands for them.

mod stored;

use std::path::Path;
use std::time::{Duration, Instant};

use super::candidate::Candidate;
use crate::archive::{Compression, Progress};
use crate::checkpoint::{self, Checkpoint, Completeness};
use crate::error::{Cause, Error, Silent};
use crate::host::{self, Next, Watched};
use crate::locate::{self, Collection, Context, Found, Given, Layout, LocateError, Located, Unusable};
use crate::options::{Event, Observer, Options};
use crate::record::RecordFile;
use crate::system::dir::Directory;

pub(super) use stored::prune;

/// How often the caller gets a progress event while an archive is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// A checkpoint that was found.
#[derive(Debug)]
pub(crate) struct Described {
    /// What there is of it.
    pub(super) given: Given,
    /// How that is held.
    pub(super) layout: Layout,
    /// What the metadata beside it says.
    pub(super) context: Context,
    /// How the archive is compressed that it is in.
    pub(super) archive: Option<Compression>,
}

impl From<Located> for Described {
    fn from(Located { images, layout, context, archive }: Located) -> Self {
        Described { given: Given::Images(Box::new(images)), layout, context, archive }
    }
}

impl From<Box<RecordFile>> for Described {
    fn from(record: Box<RecordFile>) -> Self {
        let given = Given::Record(record);
        Described { given, layout: Layout::Record, context: Context::default(), archive: None }
    }
}

/// What the thread that looks for checkpoints tells.
enum SearchMessage {
    /// How far it has come in reading an archive.
    Progress { archive: std::path::PathBuf, read: u64, size: Option<u64> },
    /// It reads from a pipe, whose other end may take its time.
    Pipe,
    /// What it found.
    Found(Result<Vec<Candidate<Described>>, LocateError>),
}

/// Finds the checkpoints in what was named, on a watched thread.
pub(super) fn locate(
    named: &Path,
    work_dir: Option<&Path>,
    observer: &Observer,
) -> Result<Vec<Candidate<Described>>, Error> {
    observer.tell(Event::Opening { named });
    let located = locate_watched(named, work_dir, observer);
    observer.tell(Event::Opened { named });
    located
}

fn locate_watched(
    named: &Path,
    work_dir: Option<&Path>,
    observer: &Observer,
) -> Result<Vec<Candidate<Described>>, Error> {
    let mut patience = host::patience_with(&[named, work_dir.unwrap_or(named)]);
    let (path, work_dir) = (named.to_owned(), work_dir.map(Path::to_owned));
    let start = Watched::start("locate", move |sender| {
        if locate::is_pipe(&path) {
            let _ = sender.send(SearchMessage::Pipe);
        }
        let told = std::cell::Cell::new(Instant::now());
        let tell = |progress: Progress<'_>| {
            if told.get().elapsed() >= INTERVAL {
                let Progress { path, read, size } = progress;
                let _ = sender.send(SearchMessage::Progress { archive: path.to_owned(), read, size });
                told.set(Instant::now());
            }
        };
        let found = locate::locate(&path, work_dir.as_deref(), &tell);
        let _ = sender.send(SearchMessage::Found(found.map(|found| described(found, work_dir.as_deref()))));
    });
    let mut worker = start.map_err(|error| Error::new(Cause::Thread(error)))?;
    loop {
        match worker.next(patience) {
            Next::Message(SearchMessage::Progress { archive, read, size }) => {
                observer.tell(Event::Reading { archive: &archive, read, size });
            }
            Next::Message(SearchMessage::Pipe) => patience = Duration::MAX,
            Next::Message(SearchMessage::Found(found)) => return found.map_err(not_located),
            Next::Ended | Next::Silent => return Err(Error::new(Silent::at(named))),
        }
    }
}

/// What is not in a container may be on its host.
fn not_located(error: LocateError) -> Error {
    if let LocateError::Directory(directory) = error {
        let is_on_host = directory.is_not_found() && host::has_other_mounts();
        return if is_on_host { Error::new(Cause::not_in_container(directory)) } else { Error::new(directory) };
    }
    Error::new(error)
}

fn described(found: Found, work_dir: Option<&Path>) -> Vec<Candidate<Described>> {
    let candidate = |described: Described| {
        let path = described.given.path().to_owned();
        Candidate { path, state: Ok(described) }
    };
    match found {
        Found::Checkpoints(Collection { located, unusable }) => {
            let unusable =
                unusable.into_iter().map(|Unusable { path, error }| Candidate { path, state: Err(Error::new(error)) });
            located.into_iter().map(|located| candidate(located.into())).chain(unusable).collect()
        }
        Found::Record(record) => vec![candidate(match images_of(&record, work_dir) {
            Some(images) => images.into(),
            None => record.into(),
        })],
    }
}

/// The images of a record, if they are all there: next to it, or where it says.
fn images_of(record: &RecordFile, work_dir: Option<&Path>) -> Option<Located> {
    let beside = record.path().parent().map(|parent| if parent == Path::new("") { Path::new(".") } else { parent });
    let beside = beside.and_then(|parent| Directory::open(parent).ok());
    let recorded = record.images_directory().and_then(|path| Directory::open_exactly(&path).ok()?.reopened().ok());
    let located = [beside, recorded].into_iter().flatten().filter_map(|place| locate::locate_in(place, work_dir).ok());
    located.flatten().find(|located| {
        checkpoint::read(&located.images).is_ok_and(|checkpoint| {
            checkpoint.completeness == Completeness::Complete && record.is_of(checkpoint.identity().as_images_id())
        })
    })
}

/// What was read of a checkpoint.
pub(super) struct Read {
    pub(super) given: Given,
    pub(super) checkpoint: Checkpoint,
    /// What is to be said of its stored record.
    pub(super) note: Option<String>,
}

/// Reads the images, or the record that stands for them, on a watched thread.
pub(super) fn read(given: Given, options: &Options) -> Result<Read, Error> {
    let (path, store) = (given.path().to_owned(), options.record_store.clone());
    let work_dir = options.work_dir.clone().unwrap_or_else(|| path.clone());
    let dump_log = options.dump_log.clone();
    let log_dir = dump_log.as_deref().unwrap_or(&path).to_owned();
    let read = host::answer(&[&path, &work_dir, &log_dir, options.record_store.path()], move || {
        let given = match (given, dump_log) {
            (Given::Images(images), Some(log)) => Given::Images(Box::new(images.with_dump_log(log))),
            (given, _) => given,
        };
        let mut checkpoint = match &given {
            Given::Images(images) => checkpoint::read(images)?,
            Given::Record(record) => checkpoint::from_record(record)?,
        };
        let note = stored::complete(&mut checkpoint, &store);
        Ok(Read { given, checkpoint, note })
    });
    match read {
        Some(read) => read.map_err(|error: checkpoint::ReadError| Error::new(error)),
        None => Err(Error::new(Silent::at(&path))),
    }
}

#[cfg(test)]
mod tests;
