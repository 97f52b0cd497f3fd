// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starts from the host: everything of CRIU's shape on it, whose it is, and what to do about it.
//!
//! No images have to be named. [`look`] lists; [`examine`] plans a removal of what was asked for.
//!
//! ```no_run
//! use criu_gc::scan::{self, Options};
//! use criu_gc::{Control, Error};
//!
//! /// Removes what crashes left and no restore needs. Returns whether nothing needs a hand afterwards.
//! fn tidy() -> Result<bool, Error> {
//!     println!("{} objects", scan::look(&Options::new()).objects.len());
//!     let report = scan::examine(&Options::new().clean())?.remove(&Control::new())?;
//!     Ok(!report.leaves_something())
//! }
//! # let _ = tidy;
//! ```
//!
//! # Safety contract
//!
//! **It looks** at processes, mount tables, network namespaces and names. It walks each tmpfs and each volume of a container
//! engine, and no other disk unless [asked](Options::walk). It enters no filesystem for which another program or a server
//! has to answer. After the [time limit](Options::timeout), and wherever it cannot look, the report says so.
//!
//! **It removes** only litter: what a crash left and no restore can need; or what was [named](Options::remove), if no images
//! are known that it belongs to. Each object is compared again right before its removal. As long as a criu is at work, it
//! removes nothing that may be in use. It never removes what belongs to a restorable checkpoint, nor the last name of a
//! file that is not saved.

mod clock;
mod files;
mod judge;
mod networks;
mod object;
mod options;
mod places;
mod processes;
mod removal;
mod report;
mod shape;
mod words;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::carrier::Outcome;
use crate::error::{Cause, Error};
use crate::host::{Extent, Host, ProcessView, Shared, Wanted};
use crate::index::{Index, IndexOptions};
use crate::interrupt::Control;
use crate::json::Bytes;
use crate::options::{Event, Stage};
use crate::save::{Destination, SaveDirectory, Saver};
use crate::system::machine;
use crate::tree::everywhere;
use clock::Limit;
use object::{Class, Object};
use removal::{Fate, Sight, Verdict, Wish};
use shape::Shape;

pub use options::Options;
pub use report::{
    LookedAt, ScanCheckpoint, ScanHolder, ScanMode, ScanObject, ScanOutcome, ScanReport, ScanSummary, ScanVerdict,
};

/// Everything that one look found.
#[derive(Debug)]
struct Picture {
    host: Host,
    /// The criu processes that are at work.
    at_work: Vec<u32>,
    objects: Vec<Object>,
    checkpoints: Vec<ScanCheckpoint>,
    looked_at: LookedAt,
    notes: Vec<String>,
    unseen: Vec<String>,
    taken: Duration,
}

impl Picture {
    fn take(options: &Options) -> Self {
        let limit = Limit::of(options.timeout);
        let begin = |at: Stage| options.observer.tell(Event::Looking { at });
        begin(Stage::Processes);
        let host = Host::look(Wanted { extent: Extent::Every, ..Wanted::default() });
        let everywhere = everywhere::look(&host);
        let processes = processes::look(&host, &everywhere, limit);
        begin(Stage::Networks);
        let locks = networks::look(&host, limit);
        begin(Stage::Names);
        let places = places::Places::of(host.mount_tables(), &options.walk, &options.parents());
        let files = files::look(&host, places, limit);
        let looked_at = LookedAt {
            processes: processes.count,
            network_namespaces: locks.namespaces,
            mount_namespaces: 1 + host.mount_tables().others.len(),
            names: files.names,
        };
        let mut objects: Vec<Object> =
            [processes.objects, locks.objects, files.objects].into_iter().flatten().collect();
        let mut unseen: Vec<String> = [processes.unseen, locks.unseen, files.unseen].into_iter().flatten().collect();
        begin(Stage::Images);
        let images =
            IndexOptions { images: options.images.clone(), deadline: Some(limit.until()), ..IndexOptions::default() };
        let index = Index::build(&images, &host);
        unseen.extend(judge::judge(&host, &index, &everywhere, &mut objects, limit));
        unseen.sort();
        unseen.dedup();
        objects
            .sort_by_cached_key(|object| (object.class, object.owner.clone(), words::kind(&object.thing), object.id()));
        // Without an object that has no owner it does not matter whose words were not read.
        let has_orphan = objects.iter().any(|object| object.class == Class::Orphan);
        let unread = index.unseen().into_iter().filter(|_| has_orphan);
        let unread = unread.map(|unseen| format!("images that were not read may own an object: {unseen}"));
        let mut picture = Picture {
            checkpoints: index.checkpoints().iter().map(checkpoint).collect(),
            objects,
            looked_at,
            notes: harmless(processes.harmless).into_iter().chain(unread).collect(),
            unseen,
            taken: limit.taken(),
            at_work: everywhere.at_work.iter().map(|task| task.pid).collect(),
            host,
        };
        picture.add_standing();
        options.observer.tell(Event::Looked);
        picture
    }

    /// Whether every criu of this host shows.
    fn sight(&self) -> Sight {
        let standing = self.host.standing();
        match standing.processes {
            ProcessView::Partial(_) => Sight::Partial,
            ProcessView::Machine | ProcessView::Nested(_) if self.host.processes().unreadable.is_empty() => {
                Sight::Whole
            }
            ProcessView::Machine | ProcessView::Nested(_) => Sight::Partial,
        }
    }

    /// What is hidden from where this process stands.
    fn add_standing(&mut self) {
        let standing = self.host.standing();
        let unreadable = self.host.processes().unreadable.len();
        if unreadable > 0 {
            self.unseen.push(format!("{unreadable} processes cannot be read"));
        }
        match &standing.processes {
            ProcessView::Machine => {}
            ProcessView::Nested(_) => self.notes.push(
                "criu-gc runs in a pid namespace of its own: this is what a scan shows there, and not all of the machine"
                    .to_owned(),
            ),
            ProcessView::Partial(why) => self.unseen.push(why.clone()),
        }
        if standing.mounts == Shared::No || standing.network == Shared::No {
            self.unseen.push(
                "criu-gc does not run in the namespaces of this host's process 1; with --host it does".to_owned(),
            );
        }
        let is_paused = |object: &&Object| matches!(object.thing, object::Thing::Frozen { .. });
        let paused = self.objects.iter().filter(is_paused).count();
        if paused > 0 {
            let word = if paused == 1 { "control group is" } else { "control groups are" };
            self.notes.push(format!("{paused} {word} frozen, perhaps paused by a runtime (-v lists them)"));
        }
    }

    fn report(&self, mode: ScanMode, verdicts: &[Verdict], fates: Option<&[Fate]>) -> ScanReport {
        let (schema, tool) = report::head();
        let outcome = |at: usize| fates.map(|fates| outcome(&fates[at].outcome));
        let counted: Vec<(Class, Option<ScanOutcome>)> =
            self.objects.iter().enumerate().map(|(at, object)| (object.class, outcome(at))).collect();
        let objects = self.objects.iter().enumerate().map(|(at, object)| {
            let (verdict, reason) = match verdicts.get(at) {
                Some(Verdict::Remove) => (ScanVerdict::Remove, None),
                Some(Verdict::Keep(why)) if mode != ScanMode::Show => (ScanVerdict::Keep, Some(*why)),
                Some(Verdict::Keep(_)) | None => (ScanVerdict::Keep, None),
            };
            let fate = fates.map(|fates| &fates[at]);
            let failure = fate.and_then(|fate| match &fate.outcome {
                Outcome::Failed(why) => Some(why.clone()),
                Outcome::Removed | Outcome::AlreadyGone | Outcome::Kept => None,
            });
            let saved_as = fate.and_then(|fate| fate.saved.as_ref()).map(|saved| Bytes::of_path(&saved.path));
            ScanObject { verdict, reason, outcome: outcome(at), failure, saved_as, ..report::object(object) }
        });
        ScanReport {
            schema,
            tool,
            mode,
            time: report::utc(machine::now()),
            milliseconds: u64::try_from(self.taken.as_millis()).unwrap_or(u64::MAX),
            objects: objects.collect(),
            checkpoints: self.checkpoints.clone(),
            looked_at: self.looked_at,
            notes: self.notes.clone(),
            cannot_be_known: self.unseen.clone(),
            summary: ScanSummary::of(&counted, self.unseen.len()),
        }
    }
}

/// Memory of CRIU in processes that are well otherwise.
fn harmless(trees: usize) -> Option<String> {
    let processes = if trees == 1 { "a process still maps" } else { "processes still map" };
    (trees > 0).then(|| format!("{processes} memory of a dump that was killed, which harms nothing"))
}

fn checkpoint(indexed: &crate::index::Indexed) -> ScanCheckpoint {
    let state = match indexed.state {
        crate::index::State::Restorable => "restorable",
        crate::index::State::Incomplete => "incomplete",
        crate::index::State::Restored => "restored",
        crate::index::State::Unknown => "undecided",
    };
    ScanCheckpoint { directory: Bytes::of_path(&indexed.directory), state }
}

fn outcome(outcome: &Outcome) -> ScanOutcome {
    match outcome {
        Outcome::Removed => ScanOutcome::Removed,
        Outcome::AlreadyGone => ScanOutcome::AlreadyGone,
        Outcome::Kept => ScanOutcome::Kept,
        Outcome::Failed(_) => ScanOutcome::Failed,
    }
}

/// Whether a name is one that CRIU gives to a file: a link remap, a ghost file, or a file that it moved aside.
pub fn is_name_of_criu(name: &std::ffi::OsStr) -> bool {
    match Shape::of(name.as_bytes()) {
        Some(Shape::LinkRemap(_) | Shape::Ghost(_) | Shape::SecondName | Shape::Parked | Shape::LookAlike) => true,
        Some(Shape::Temporary) | None => false,
    }
}

/// Lists everything. Changes nothing.
pub fn look(options: &Options) -> ScanReport {
    Picture::take(options).report(ScanMode::Show, &[], None)
}

/// Finds everything, and plans the removal that the options ask for. Changes nothing yet.
///
/// # Errors
/// If the directory in which files are saved cannot be used.
pub fn examine(options: &Options) -> Result<Examination, Error> {
    let destination = options.save.as_deref().map(Destination::check).transpose().map_err(Error::new)?;
    let picture = Picture::take(options);
    let (objects, files) = (&picture.objects, options.files());
    let verdicts = removal::decide(objects, &options.wish, options.processes, files, picture.sight());
    Ok(Examination { picture, verdicts, destination, options: options.clone() })
}

/// What was found, and what a removal would take.
#[derive(Debug)]
pub struct Examination {
    picture: Picture,
    verdicts: Vec<Verdict>,
    destination: Option<Destination>,
    options: Options,
}

impl Examination {
    /// What was found, and what a removal would take.
    pub fn report(&self) -> ScanReport {
        self.picture.report(self.mode(), &self.verdicts, None)
    }

    fn mode(&self) -> ScanMode {
        match &self.options.wish {
            Wish::Nothing => ScanMode::Show,
            Wish::Litter => ScanMode::Clean,
            Wish::Named(_) => ScanMode::Remove,
        }
    }

    /// Whether anything is to be removed.
    pub fn removes_anything(&self) -> bool {
        self.verdicts.contains(&Verdict::Remove)
    }

    /// The named objects that are not removed, and why: then nothing is. What is not there at all is not among them.
    pub fn refusals(&self) -> Vec<(Bytes, String)> {
        let Wish::Named(ids) = &self.options.wish else { return Vec::new() };
        let refuse = |id: &Vec<u8>| -> Option<String> {
            let at = self.picture.objects.iter().position(|object| object.id() == *id);
            match at.map(|at| &self.verdicts[at]) {
                Some(Verdict::Remove) => None,
                Some(Verdict::Keep(why)) => Some((*why).to_owned()),
                None => self.absent(id),
            }
        };
        ids.iter().filter_map(|id| Some((Bytes(id.clone()), refuse(id)?))).collect()
    }

    /// Why an id that a look did not find is refused; `None` for what is gone.
    fn absent(&self, id: &[u8]) -> Option<String> {
        let is_id = [&b"rule:"[..], b"table:", b"chain:", b"process:"].iter().any(|start| id.starts_with(start));
        let path = Path::new(std::ffi::OsStr::from_bytes(id));
        match (is_id, path.is_absolute()) {
            (true, _) if self.picture.unseen.is_empty() => None,
            (true, _) => Some("it was not found, and not everything could be looked at".to_owned()),
            (false, true) => match path.symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => Some(error.to_string()),
                Ok(_) => Some("it is nothing that a scan recognises as left by CRIU".to_owned()),
            },
            (false, false) => Some("it is neither a path nor an id that criu-gc scan prints".to_owned()),
        }
    }

    /// Carries out the removal, and looks once more at the end. One failure does not stop the rest.
    ///
    /// # Errors
    /// If something that was named is not removed ([`refusals`](Examination::refusals)), or files cannot be saved. Nothing
    /// was removed then.
    #[expect(clippy::disallowed_methods, reason = "this is the removal: a look does not come here")]
    pub fn remove(self, control: &Control) -> Result<ScanReport, Error> {
        if !self.refusals().is_empty() {
            return Err(Error::new(Cause::Refused));
        }
        let mode = self.mode();
        let Examination { picture, mut verdicts, destination, options } = self;
        let now = everywhere::look(&Host::look(Wanted::default()));
        removal::guard(&picture.objects, &mut verdicts, &picture.at_work, &now);
        let directory = destination.filter(|_| verdicts.contains(&Verdict::Remove)).map(|to| to.open());
        let saver = directory.transpose().map_err(Error::new)?.map(saver);
        let mut fates = removal::carry_out(&picture.host, &picture.objects, &verdicts, saver, &control.interrupt);
        let after = Picture::take(&options);
        for (object, fate) in picture.objects.iter().zip(&mut fates) {
            let is_there = || after.objects.iter().any(|left| left.id() == object.id() && left.since == object.since);
            if fate.outcome == Outcome::Removed && is_there() {
                fate.outcome = Outcome::Failed("it is still there".to_owned());
            }
        }
        let picture = Picture { unseen: after.unseen, ..picture };
        Ok(picture.report(mode, &verdicts, Some(&fates)))
    }
}

fn saver(directory: SaveDirectory) -> Saver {
    Saver { directory, images: None, run_id: None }
}
