// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes names, and saves their files before if asked to.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FileType;

use super::{FoundFile, NameAct, NameQuery};
use crate::carrier::Outcome;
use crate::causes::with_causes;
use crate::evidence::Evidence;
use crate::host::{Host, Next, PATIENCE, PATIENCE_FOR_DEVICES, Watched};
use crate::interrupt::Interrupt;
use crate::mounts::Base;
use crate::reach::{DeviceUsers, OpenBases, OpenDirectory, SilentMounts};
use crate::save::{self, Saved, Saver};
use crate::system::dir::{Directory, FileError, FileIdentity, InodeId, Name, Pinned, Renamed};
use crate::time::Timestamp;

/// Removes every name, on a watched thread, because a filesystem may stop answering at any moment. Names on that filesystem
/// then stay; with a saver all remaining names stay, because nobody knows what the thread is doing. Returns the outcomes in
/// the same order, and the saver, unless the thread was abandoned with it.
pub(crate) fn remove(
    host: &Host,
    jobs: Vec<NameRemoval>,
    mut saver: Option<Saver>,
    interrupt: &Interrupt,
) -> (Vec<Fate>, Option<Saver>) {
    let mut fates = vec![Fate::failed(NOT_REACHED); jobs.len()];
    let work =
        Arc::new(Work { shared: shared_inodes(&jobs), jobs, users: host.device_users(), interrupt: interrupt.clone() });
    let mut progress = Progress { next: 0, touched: Touched::default(), silent: SilentMounts::default() };
    let is_saving = saver.is_some();
    while let Some(job) = work.jobs.get(progress.next) {
        if progress.silent.has(&job.found.place) {
            let told = progress.silent.does_not_answer(&job.found.place);
            fates[progress.next] = Fate::failed(format!("{told}; nothing was done"));
            progress.next += 1;
            continue;
        }
        saver = run(&work, &mut progress, saver.take(), &mut fates);
        if is_saving && saver.is_none() {
            fates[progress.next..].fill(Fate::failed("not attempted: a filesystem does not answer"));
            return (fates, None);
        }
    }
    (fates, saver)
}

const NOT_REACHED: &str = "not attempted";

/// What became of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) outcome: Outcome,
    /// Where its file was saved before.
    pub(crate) saved: Option<Saved>,
}

impl Fate {
    fn failed(why: impl Into<String>) -> Self {
        Fate { outcome: Outcome::Failed(why.into()), saved: None }
    }
}

/// A disk that is busy may take long to write down that a name is gone.
const PATIENCE_TO_REMOVE: Duration = Duration::from_secs(4);
/// The same for what a file holds.
const PATIENCE_TO_WRITE: Duration = Duration::from_secs(10);

/// A name that is to be removed.
#[derive(Debug)]
pub(crate) struct NameRemoval {
    /// What was looked for.
    pub(crate) query: NameQuery,
    /// What was found.
    pub(crate) found: FoundFile,
    /// The entries of the images behind it.
    pub(crate) evidence: Vec<Evidence>,
}

/// What does not change while links are removed.
struct Work {
    jobs: Vec<NameRemoval>,
    shared: HashSet<InodeId>,
    users: DeviceUsers,
    interrupt: Interrupt,
}

/// How far the removal has come.
struct Progress {
    next: usize,
    touched: Touched,
    silent: SilentMounts,
}

/// What the thread tells.
enum Told {
    /// What became of the next link.
    Removed(Result<Outcome, String>, Option<Saved>, Option<FileIdentity>),
    /// The thread is through all links, and returns the saver.
    Through(Option<Saver>),
}

/// Removes names from the next one on, to the end or until a filesystem does not answer. Returns the saver, unless the
/// thread is abandoned with it.
fn run(work: &Arc<Work>, progress: &mut Progress, saver: Option<Saver>, fates: &mut [Fate]) -> Option<Saver> {
    let is_saving = saver.is_some();
    let (theirs, touched, from) = (Arc::clone(work), progress.touched.clone(), progress.next);
    let start = Watched::start("removal", move |sender| {
        let bases = OpenBases::to_remove(Arc::clone(&theirs.users));
        let mut removal = Removal { saver, work: Arc::clone(&theirs), touched, bases, last: None };
        for job in &theirs.jobs[from..] {
            let mut saved = None;
            let removed = removal.remove_next(job, &mut saved);
            if sender.send(Told::Removed(removed, saved, removal.last.take())).is_err() {
                return;
            }
        }
        let _ = sender.send(Told::Through(removal.saver.take()));
    });
    let mut returned = None;
    let Ok(mut worker) = start else {
        fates[progress.next..].fill(Fate::failed("not attempted: cannot start a thread"));
        progress.next = work.jobs.len();
        return None;
    };
    loop {
        let job = work.jobs.get(progress.next);
        let is_device = job.is_some_and(|job| matches!(job.found.place.base, Base::Device { .. }));
        let patience = || match work.interrupt.signal() {
            Some(_) => PATIENCE,
            None if is_device => PATIENCE_FOR_DEVICES,
            None if is_saving => PATIENCE_TO_WRITE,
            None => PATIENCE_TO_REMOVE,
        };
        match (worker.next_within(patience), job) {
            (Next::Message(Told::Removed(removed, saved, touched)), Some(_)) => {
                fates[progress.next] = Fate { outcome: removed.unwrap_or_else(Outcome::Failed), saved };
                progress.touched.extend(touched);
                progress.next += 1;
            }
            (Next::Message(Told::Removed(..)), None) => {}
            (Next::Message(Told::Through(saver)), _) => returned = saver,
            (Next::Ended, None) => return returned,
            (Next::Silent, None) => return returned,
            (Next::Ended, Some(_)) => {
                fates[progress.next] =
                    Fate::failed("criu-gc failed, which is a bug; whether it was removed is not known");
                progress.next += 1;
                return None;
            }
            (Next::Silent, Some(job)) => {
                let place = &job.found.place;
                progress.silent.add(&[place], work.jobs.iter().map(|job| &job.found.place));
                let told = progress.silent.does_not_answer(place);
                let told = if is_saving { format!("the directory of --save, or {told}") } else { told };
                fates[progress.next] = Fate::failed(format!("{told}; whether it was removed is not known"));
                progress.next += 1;
                return None;
            }
        }
    }
}

/// The inodes of which more than one name is to be removed.
fn shared_inodes(jobs: &[NameRemoval]) -> HashSet<InodeId> {
    let mut once = HashSet::new();
    jobs.iter().map(|job| job.found.identity.id()).filter(|inode| !once.insert(*inode)).collect()
}

/// The removal of names, as one thread does it.
struct Removal {
    saver: Option<Saver>,
    work: Arc<Work>,
    touched: Touched,
    bases: OpenBases,
    /// The inode that was touched last.
    last: Option<FileIdentity>,
}

/// A name that was found again.
struct Opened<'a> {
    directory: &'a Directory,
    name: &'a OsStr,
    removable: Name<'a>,
    file: Pinned,
}

impl Removal {
    fn remove_next(&mut self, job: &NameRemoval, saved: &mut Option<Saved>) -> Result<Outcome, String> {
        self.touched.may_go_on_with(&job.found.identity, &self.work.interrupt)?;
        self.remove(job, saved)
    }

    fn remove(&mut self, job: &NameRemoval, saved: &mut Option<Saved>) -> Result<Outcome, String> {
        let found = &job.found;
        let (_, name) = found.place.split();
        let removable = check_name(&job.query, name)?;
        let Some(opened) = open_again(found, &mut self.bases)? else { return Ok(Outcome::AlreadyGone) };
        let directory = &opened.directory;
        match (job.query.act, &job.query.beside) {
            (NameAct::Unlink, _) => {}
            (NameAct::RenameBack, Some(own)) => {
                return self.rename_back(found, directory, removable, OsStr::from_bytes(own));
            }
            (NameAct::RemoveEmpty, _) => return self.remove_empty(found, directory, removable),
            (NameAct::UnlinkTwin, Some(twin)) => check_twin(found, directory, OsStr::from_bytes(twin))?,
            (NameAct::RenameBack | NameAct::UnlinkTwin, None) => {
                return Err("the name beside it is not known; not removed".to_owned());
            }
        }
        // Whoever needs the file beyond its name holds on to it. Ten thousand others save three calls each.
        if self.saver.is_some() || self.work.shared.contains(&found.identity.id()) {
            let Some(file) = directory.pin(name).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
            return self.remove_pinned(job, &Opened { directory, name, removable, file }, saved);
        }
        let Some(now) = directory.entry(name).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
        self.check(found, &now)?;
        unlink(directory, removable)
    }

    fn rename_back(
        &self,
        found: &FoundFile,
        directory: &Directory,
        name: Name<'_>,
        own: &OsStr,
    ) -> Result<Outcome, String> {
        let Some(now) = directory.entry(name.as_os_str()).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
        self.check(found, &now)?;
        match directory.rename_back(name, own).map_err(said)? {
            Renamed::Yes => Ok(Outcome::Removed),
            Renamed::Gone => Ok(Outcome::AlreadyGone),
            Renamed::NameTaken => Err("a newer file has its name; both stay".to_owned()),
        }
    }

    /// Nothing is in it that could be saved.
    fn remove_empty(&self, found: &FoundFile, directory: &Directory, name: Name<'_>) -> Result<Outcome, String> {
        let Some(now) = directory.entry(name.as_os_str()).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
        if !now.is_same_inode(&found.identity) || now.mode != found.identity.mode {
            return Err("it changed since it was examined; not removed".to_owned());
        }
        let is_gone = match now.file_type() == FileType::Directory {
            true => directory.remove_directory(name),
            false if now.size == 0 => directory.unlink(name),
            false => return Err("it is not empty any more; not removed".to_owned()),
        };
        Ok(if is_gone.map_err(said)? { Outcome::Removed } else { Outcome::AlreadyGone })
    }

    fn remove_pinned(
        &mut self,
        job: &NameRemoval,
        opened: &Opened<'_>,
        saved: &mut Option<Saved>,
    ) -> Result<Outcome, String> {
        self.check(&job.found, &opened.file.identity().map_err(said)?)?;
        if let Some(saver) = &mut self.saver {
            let result = save_file(saver, job, opened, &mut self.touched, &mut self.last);
            *saved = Some(result?);
            look_again(opened)?;
        }
        let outcome = unlink(opened.directory, opened.removable)?;
        if let Ok(now) = opened.file.identity() {
            self.touched.extend(Some(now));
            self.last = Some(now);
        }
        Ok(outcome)
    }

    fn check(&self, planned: &FoundFile, now: &FileIdentity) -> Result<(), String> {
        if self.touched.expects(&planned.identity, now) {
            return Ok(());
        }
        Err("it changed since it was examined; not removed".to_owned())
    }
}

/// Without the other name, this one may be the last.
fn check_twin(found: &FoundFile, directory: &Directory, twin: &OsStr) -> Result<(), String> {
    let twin = directory.entry(twin).map_err(said)?;
    let is_there = twin.is_some_and(|twin| twin.is_same_inode(&found.identity));
    if is_there { Ok(()) } else { Err("it is no second name of CRIU's file any more; not removed".to_owned()) }
}

/// The last guard, which no image and no arithmetic has a part in: no other name is ever removed.
fn check_name<'a>(query: &NameQuery, name: &'a OsStr) -> Result<Name<'a>, String> {
    let stem = query.shape.stem;
    query.shape.check(name).ok_or_else(|| format!("{} is not a {stem} name; not removed", Path::new(name).display()))
}

fn unlink(directory: &Directory, name: Name<'_>) -> Result<Outcome, String> {
    Ok(if directory.unlink(name).map_err(said)? { Outcome::Removed } else { Outcome::AlreadyGone })
}

/// The inodes of which this run has made or removed a name, with the time of that change: the next name of the same
/// inode is expected to show it.
#[derive(Debug, Clone, Default)]
struct Touched(HashMap<InodeId, Timestamp>);

impl Touched {
    /// An interrupt does not part the names of one inode: the first to go changes the inode and perhaps the directory,
    /// and the next run could not tell that from a newer dump's doing.
    fn may_go_on_with(&self, file: &FileIdentity, interrupt: &Interrupt) -> Result<(), String> {
        if self.0.contains_key(&file.id()) { Ok(()) } else { interrupt.may_go_on().map_err(|error| error.to_string()) }
    }

    fn expects(&self, planned: &FileIdentity, now: &FileIdentity) -> bool {
        let changed = self.0.get(&planned.id()).unwrap_or(&planned.changed);
        planned.is_same_inode(now) && (planned.mode, planned.size, *changed) == (now.mode, now.size, now.changed)
    }

    fn extend(&mut self, file: Option<FileIdentity>) {
        self.0.extend(file.map(|file| (file.id(), file.changed)));
    }
}

fn save_file(
    saver: &mut Saver,
    job: &NameRemoval,
    opened: &Opened<'_>,
    touched: &mut Touched,
    last: &mut Option<FileIdentity>,
) -> Result<Saved, String> {
    let NameRemoval { query, found, evidence } = job;
    let subject = save::Subject {
        stem: query.shape.stem,
        id: query.shape.id,
        link: &query.path,
        original: query.original.as_deref(),
        path: found.place.path(),
        identity: &found.identity,
        evidence,
    };
    let saved = saver.save(&subject, &opened.file);
    // A hard link is made, and perhaps taken away again because the manifest cannot be written.
    if let Ok(now) = opened.file.identity() {
        touched.extend(Some(now));
        *last = Some(now);
    }
    saved.map_err(|error| format!("its file could not be saved: {}", with_causes(&error)))
}

/// To copy a large file takes long.
fn look_again(opened: &Opened<'_>) -> Result<(), String> {
    let pinned = opened.file.identity().map_err(said)?;
    match opened.directory.entry(opened.name).map_err(said)? {
        Some(now) if !now.is_same_inode(&pinned) => Err("the name now refers to another file; not removed".to_owned()),
        _ => Ok(()),
    }
}

/// Opens the directory of the link again, and verifies that it is the one that was examined.
fn open_again(found: &FoundFile, bases: &mut OpenBases) -> Result<Option<Arc<OpenDirectory>>, String> {
    let opened = match bases.directory_of(&found.place) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(with_causes(&error)),
    };
    // A filesystem that has to be mounted for it is on another mount each time.
    let is_mounted_anew = matches!(found.place.base, Base::Device { .. });
    let is_same_mount = is_mounted_anew || opened.identity.mount_id == found.directory.mount_id;
    if !is_same_mount || !opened.identity.is_same_inode(&found.directory) {
        return Err("its directory is not the one that was examined; not removed".to_owned());
    }
    Ok(Some(opened))
}

fn said(error: FileError) -> String {
    with_causes(&error)
}

#[cfg(test)]
mod tests;
