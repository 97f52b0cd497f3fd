// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The checkpoints of the index, each with its outline.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criu_images::ImageKind;

use super::places::{Place, Places};
use super::unseen::{Limit, Unseen, Why};
use super::{Holder, IndexOptions, Indexed, Source, State};
use crate::causes::with_causes;
use crate::checkpoint::{self, Condition, Outline, PathEnd};
use crate::host::{self, Host, Next, Watched};
use crate::locate::{Images, Located};
use crate::record::RecordFile;
use crate::record::store::RecordStore;
use crate::session::Described;
use crate::system::dir::{self, InodeId, Opened};

/// How long one wait may be after a place did not answer: the whole takes not much longer for many of them.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// After so many nothing more is read: those of root's are read first.
const MOST_SILENT: usize = 20;

/// A checkpoint.
#[derive(Debug)]
pub(super) struct Entry {
    /// From where its images, or the record, are read again.
    pub(super) origin: Origin,
    /// The path, for people and for `criu-gc`.
    path: PathBuf,
    outline: Outline,
    state: State,
    holder: Holder,
    /// The directories of the images and of CRIU's log.
    directories: Vec<PathBuf>,
    /// The inodes that its record has.
    inodes: BTreeSet<InodeId>,
    /// Processes of CRIU's that have one of these open.
    pub(super) processes: BTreeSet<u32>,
}

/// From where a checkpoint is read.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Images, with what tells them from others.
    Images(Place, Option<(InodeId, PathBuf)>),
    /// A record.
    Record(PathBuf),
}

impl Entry {
    /// What its images say in short.
    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Whether its record has this inode.
    pub(super) fn records(&self, inode: InodeId) -> bool {
        self.inodes.contains(&inode)
    }

    /// Whether a path is in the directory of the images or of the log, or is that.
    pub(super) fn is_above(&self, path: &Path) -> bool {
        self.directories.iter().any(|directory| path.starts_with(directory))
    }

    /// The same for callers.
    pub(super) fn indexed(&self) -> Indexed {
        let source = match &self.origin {
            Origin::Record(_) => Source::Record,
            Origin::Images(..) if self.directories.is_empty() => Source::Archive,
            Origin::Images(..) => Source::Directory,
        };
        Indexed {
            directory: self.path.clone(),
            state: self.state,
            written: self.outline.written,
            source,
            holder: self.holder.clone(),
            processes: self.processes.clone(),
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) entries: Vec<Entry>,
    pub(super) unseen: Vec<Unseen>,
}

/// Reads the outlines of all checkpoints that can be found.
pub(super) fn read_all(options: &IndexOptions, host: &Host) -> Read {
    let mut read = Read::default();
    let left = Arc::new(Left::of(options));
    let records = read.records(&options.record_store, &left);
    let images = records.iter().filter_map(|record| record.images.clone());
    let Places { list, unseen } = Places::find(options, host, images);
    read.unseen.extend(unseen);
    read.read_places(list, &left);
    for record in records {
        read.add_record(record.entry);
    }
    read.entries.sort_by(|one, other| one.path.cmp(&other.path));
    read
}

/// How much may still be read.
#[derive(Debug)]
struct Left {
    bytes: AtomicU64,
    checkpoints: AtomicUsize,
    /// The checkpoints that were counted: one can be found in several ways.
    counted: Mutex<BTreeSet<(InodeId, PathBuf)>>,
    deadline: Option<Instant>,
    limits: super::Limits,
}

impl Left {
    fn of(options: &IndexOptions) -> Self {
        Left {
            bytes: AtomicU64::new(options.limits.bytes),
            checkpoints: AtomicUsize::new(options.limits.checkpoints),
            counted: Mutex::default(),
            deadline: options.deadline,
            limits: options.limits,
        }
    }

    /// Takes what a checkpoint costs, once.
    fn take_once(&self, images: &Images) -> Result<(), Limit> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = images.identity().is_none_or(|identity| counted.insert(identity));
        drop(counted);
        if is_new { self.take(size_of(images)) } else { Ok(()) }
    }

    /// Takes what a checkpoint of this size costs.
    fn take(&self, bytes: u64) -> Result<(), Limit> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Limit::Time);
        }
        let one = |left: usize| left.checked_sub(1);
        if self.checkpoints.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one).is_err() {
            return Err(Limit::Checkpoints(self.limits.checkpoints));
        }
        let all = |left: u64| left.checked_sub(bytes);
        match self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, all) {
            Ok(_) => Ok(()),
            Err(_) => Err(Limit::Bytes(self.limits.bytes)),
        }
    }
}

/// The checkpoints in a place: a directory holds one at most, an archive may hold several. Those that cannot be read are
/// among them.
#[derive(Debug, Default)]
struct Answer {
    found: Vec<Entry>,
    failed: Vec<Unseen>,
}

/// An answer for each place, in their order. What does not answer keeps nothing else from being read.
fn look_each(places: &Arc<Vec<Place>>, left: &Arc<Left>) -> Vec<Result<Answer, Why>> {
    let mut answers: Vec<Result<Answer, Why>> = Vec::with_capacity(places.len());
    let mut silent = 0;
    while answers.len() < places.len() && silent < MOST_SILENT {
        let (theirs, left, from) = (Arc::clone(places), Arc::clone(left), answers.len());
        let worker = Watched::start("index", move |sender| {
            for place in &theirs[from..] {
                if sender.send(look(place, &left)).is_err() {
                    return;
                }
            }
        });
        let Ok(mut worker) = worker else { break };
        while let Some(place) = places.get(answers.len()) {
            let patience = || if silent > 0 { IMPATIENCE } else { host::patience_with(&[&place.path()]) };
            match worker.next_within(patience) {
                Next::Message(answer) => answers.push(answer),
                Next::Ended | Next::Silent => break,
            }
        }
        if answers.len() < places.len() {
            answers.push(Err(Why::Silent));
            silent += 1;
        }
    }
    answers.resize_with(places.len(), || Err(Why::Silent));
    answers
}

impl Read {
    fn read_places(&mut self, places: Vec<Place>, left: &Arc<Left>) {
        let places = Arc::new(places);
        let mut known: BTreeMap<(InodeId, PathBuf), usize> = BTreeMap::new();
        for (place, answer) in places.iter().zip(look_each(&places, left)) {
            match answer {
                Ok(Answer { found, failed }) => {
                    found.into_iter().for_each(|each| self.add(each, &mut known));
                    self.unseen.extend(failed);
                }
                Err(why) => self.unseen.push(Unseen { place: place.path(), why }),
            }
        }
    }

    /// Adds a checkpoint, unless it was found by another way: then only a process may be added.
    fn add(&mut self, entry: Entry, known: &mut BTreeMap<(InodeId, PathBuf), usize>) {
        let Origin::Images(_, Some(identity)) = &entry.origin else { return self.entries.push(entry) };
        match known.get(identity) {
            Some(at) => {
                let known = &mut self.entries[*at];
                known.processes.extend(entry.processes);
                if known.holder == Holder::default() {
                    known.holder = entry.holder;
                }
            }
            None => {
                known.insert(identity.clone(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// The records that outlive their images.
    fn records(&mut self, store: &RecordStore, left: &Arc<Left>) -> Vec<StoredRecord> {
        let (theirs, left) = (store.clone(), Arc::clone(left));
        let read = host::answer(&[store.path()], move || {
            let paths = theirs.list().map_err(|error| with_causes(&error))?;
            Ok::<_, String>(paths.into_iter().map(|path| read_record(&path, &left)).collect::<Vec<_>>())
        });
        let place = store.path().to_owned();
        match read {
            None => self.unseen.push(Unseen { place, why: Why::Silent }),
            Some(Err(error)) => self.unseen.push(Unseen { place, why: Why::Unreadable(error) }),
            Some(Ok(records)) => {
                let (found, failed): (Vec<_>, Vec<_>) = records.into_iter().partition(Result::is_ok);
                self.unseen.extend(failed.into_iter().filter_map(Result::err));
                return found.into_iter().filter_map(Result::ok).collect();
            }
        }
        Vec::new()
    }

    /// Adds what a record knows: of images that are here that they were restored, or else the record itself.
    fn add_record(&mut self, record: Entry) {
        let id = record.outline.run_id.clone();
        let same = |entry: &&mut Entry| id.is_some() && entry.outline.run_id == id;
        let mut is_here = false;
        for entry in self.entries.iter_mut().filter(same) {
            is_here = true;
            entry.inodes.extend(&record.inodes);
            if record.state == State::Restored && entry.state == State::Restorable {
                entry.state = State::Restored;
            }
        }
        if !is_here {
            self.entries.push(record);
        }
    }
}

fn look(place: &Place, left: &Left) -> Result<Answer, Why> {
    let located = place.locate()?;
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for located in located {
        left.take_once(&located.images).map_err(Why::Limit)?;
        let outline = checkpoint::outline(&located.images);
        if let Err(error) = &outline {
            let place = located.images.path().to_owned();
            failed.push(Unseen { place, why: Why::Unreadable(with_causes(error)) });
        }
        found.extend(entry(place, &located, outline.ok()));
    }
    Ok(Answer { found, failed })
}

/// The checkpoint; `None` for a pre-dump, which leaves nothing.
fn entry(place: &Place, located: &Located, outline: Option<Outline>) -> Option<Entry> {
    let images = &located.images;
    let state = match &outline {
        Some(Outline { condition: Condition::PreDump, .. }) => return None,
        Some(Outline { restored: Some(_), .. }) => State::Restored,
        Some(Outline { condition: Condition::Whole, .. }) => State::Restorable,
        Some(Outline { condition: Condition::Incomplete, .. }) => State::Incomplete,
        None => State::Unknown,
    };
    let directories: Vec<PathBuf> =
        images.work_directories().into_iter().filter_map(|directory| directory.location().ok()).collect();
    let container = &located.context.container;
    let named = container.name.clone().or(container.id.clone()).or(place.holder.container.clone());
    Some(Entry {
        origin: Origin::Images(place.clone(), images.identity()),
        path: directories.first().cloned().unwrap_or_else(|| images.path().to_owned()),
        outline: outline.unwrap_or_default(),
        state,
        holder: Holder { container: named, ..place.holder.clone() },
        directories,
        inodes: BTreeSet::new(),
        processes: place.process.into_iter().collect(),
    })
}

/// How much an outline may read.
fn size_of(images: &Images) -> u64 {
    let names = images.names().into_iter().filter(|name| is_read(name));
    let of = |name: &str| {
        let size = |directory: &dir::Directory| Some(directory.entry(OsStr::new(name)).ok()??.size);
        images.directory().and_then(size).unwrap_or_default()
    };
    names.map(|name| of(&name)).sum()
}

fn is_read(name: &str) -> bool {
    match ImageKind::from_file_name(name) {
        Some((kind, _)) => matches!(
            kind,
            ImageKind::Inventory
                | ImageKind::Files
                | ImageKind::RegFiles
                | ImageKind::InetSockets
                | ImageKind::RemapFilePath
                | ImageKind::Mountpoints
        ),
        None => name.ends_with(".log"),
    }
}

/// A record as an entry: it stands for the images, if these are not found.
struct StoredRecord {
    entry: Entry,
    /// Where the images were.
    images: Option<PathBuf>,
}

fn read_record(path: &Path, left: &Left) -> Result<StoredRecord, Unseen> {
    let unseen = |why: Why| Unseen { place: path.to_owned(), why };
    let unreadable = |error: &(dyn std::error::Error + 'static)| unseen(Why::Unreadable(with_causes(error)));
    let file = match dir::open_named(path) {
        Ok(Opened::File(file)) => file,
        Ok(Opened::Directory(_)) => return Err(unseen(Why::Unreadable("is a directory".to_owned()))),
        Err(error) => return Err(unreadable(&error)),
    };
    let size = file.metadata().map_or(0, |file| file.len());
    left.take(size).map_err(|limit| unseen(Why::Limit(limit)))?;
    let record = RecordFile::read(file, path).map_err(|error| unreadable(&error))?;
    let document = &record.document;
    let state = if document.restores.is_empty() { State::Unknown } else { State::Restored };
    let links = document.links.iter();
    let mut outline = Outline {
        run_id: document.dump.run_id.clone(),
        written: document.dump.images_written.map(|time| time.0),
        condition: Condition::Whole,
        ..Outline::default()
    };
    outline.links = links.clone().map(|link| PathEnd::of_path(&link.link.0)).collect();
    let checkpoint = checkpoint::from_record(&record);
    if let Ok(checkpoint) = &checkpoint {
        outline.connections = checkpoint.locked_sockets().map(|socket| socket.connection).collect();
    }
    let entry = Entry {
        origin: Origin::Record(path.to_owned()),
        path: path.to_owned(),
        outline,
        state,
        holder: Holder::default(),
        directories: Vec::new(),
        inodes: links.map(|link| (link.device.0, link.inode)).collect(),
        processes: BTreeSet::new(),
    };
    Ok(StoredRecord { entry, images: record.images_directory() })
}

impl Origin {
    /// Opens it once more; `None` if something else is there now.
    pub(super) fn open(&self) -> Option<Described> {
        match self {
            Origin::Images(place, identity) => {
                let located = place.locate().ok()?;
                let is_same = |located: &Located| located.images.identity() == *identity;
                located.into_iter().find(is_same).map(Described::from)
            }
            Origin::Record(path) => {
                let Ok(Opened::File(file)) = dir::open_named(path) else { return None };
                RecordFile::read(file, path).ok().map(|record| Box::new(record).into())
            }
        }
    }

    /// Its path, for people.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Origin::Images(place, _) => place.path(),
            Origin::Record(path) => path.clone(),
        }
    }
}
