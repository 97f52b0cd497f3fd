// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guards right before a name goes, and its removal: the directory and the file have to be those that were examined.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;

use super::super::{FoundFile, NameAct, NameQuery};
use super::{Abandoned, NameRemoval, Removed, Told, Work, tell};
use crate::carrier::Outcome;
use crate::causes::with_causes;
use crate::host::Sender;
use crate::interrupt::Interrupt;
use crate::mounts::Base;
use crate::reach::{OpenBases, OpenDirectory};
use crate::system::dir::{Directory, FileError, FileIdentity, InodeId, Name, Pinned, Renamed};
use crate::time::Timestamp;

/// Why a name stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Stays(pub(super) String);

impl Stays {
    /// For this reason.
    pub(super) fn because(why: &str) -> Self {
        Stays(format!("{why}; not removed"))
    }
}

impl From<FileError> for Stays {
    fn from(error: FileError) -> Self {
        Stays(with_causes(&error))
    }
}

/// The removal of names, as one thread does it.
pub(super) struct Removal<'a> {
    pub(super) work: &'a Work,
    pub(super) touched: Touched,
    bases: OpenBases,
    /// The inode that was touched last.
    pub(super) last: Option<FileIdentity>,
}

/// A name that was found again, with its file.
pub(super) struct Opened<'a> {
    pub(super) job: &'a NameRemoval,
    pub(super) directory: Arc<OpenDirectory>,
    pub(super) name: Name<'a>,
    pub(super) file: Pinned,
}

impl<'a> Removal<'a> {
    pub(super) fn new(work: &'a Work, touched: Touched) -> Self {
        Removal { work, touched, bases: OpenBases::to_remove(Arc::clone(&work.users)), last: None }
    }

    /// Removes every name from this one on.
    pub(super) fn remove_each(&mut self, from: usize, sender: &Sender<Told>) -> Result<(), Abandoned> {
        for job in &self.work.jobs[from..] {
            let outcome = self.may_go_on_with(job).and_then(|()| self.remove(job));
            tell(sender, Told::Removed(Removed { outcome, saved: None, touched: self.last.take() }))?;
        }
        Ok(())
    }

    pub(super) fn may_go_on_with(&self, job: &NameRemoval) -> Result<(), Stays> {
        self.touched.may_go_on_with(&job.found.identity, &self.work.interrupt)
    }

    /// Removes a name without saving its file.
    pub(super) fn remove(&mut self, job: &'a NameRemoval) -> Result<Outcome, Stays> {
        // Whoever needs the file beyond its name holds on to it. Ten thousand others save three calls each.
        let is_shared = self.work.shared.contains(&job.found.identity.id());
        if is_shared && matches!(job.query.act, NameAct::Unlink | NameAct::UnlinkTwin) {
            let Some(opened) = self.open(job)? else { return Ok(Outcome::AlreadyGone) };
            return self.unlink_pinned(&opened);
        }
        let Some((opened, name)) = self.find(job)? else { return Ok(Outcome::AlreadyGone) };
        let directory = &opened.directory;
        match job.query.act {
            NameAct::RenameBack => self.rename_back(job, directory, name),
            NameAct::RemoveEmpty => remove_empty(&job.found, directory, name),
            NameAct::Unlink | NameAct::UnlinkTwin => {
                check_twin(job, directory)?;
                let Some(now) = directory.entry(name.as_os_str())? else { return Ok(Outcome::AlreadyGone) };
                self.check(&job.found, &now)?;
                unlink(directory, name)
            }
        }
    }

    /// The directory that was examined, and the name in it; `None` if the directory is gone.
    fn find(&mut self, job: &'a NameRemoval) -> Result<Option<(Arc<OpenDirectory>, Name<'a>)>, Stays> {
        let (_, name) = job.found.place.split();
        let name = check_name(&job.query, name)?;
        Ok(open_again(&job.found, &mut self.bases)?.map(|directory| (directory, name)))
    }

    /// Finds the file once more, as it was examined; `None` if it is gone.
    pub(super) fn open(&mut self, job: &'a NameRemoval) -> Result<Option<Opened<'a>>, Stays> {
        let Some((directory, name)) = self.find(job)? else { return Ok(None) };
        let Some(file) = directory.directory.pin(name.as_os_str())? else { return Ok(None) };
        self.check(&job.found, &file.identity()?)?;
        Ok(Some(Opened { job, directory, name, file }))
    }

    /// Removes the name of a file that is held.
    pub(super) fn unlink_pinned(&mut self, opened: &Opened<'_>) -> Result<Outcome, Stays> {
        let directory = &opened.directory.directory;
        check_twin(opened.job, directory)?;
        let outcome = unlink(directory, opened.name)?;
        self.note_change(&opened.file);
        Ok(outcome)
    }

    /// Notes the change that this run has made to an inode.
    pub(super) fn note_change(&mut self, file: &Pinned) {
        if let Ok(now) = file.identity() {
            self.touched.extend(Some(now));
            self.last = Some(now);
        }
    }

    fn rename_back(&self, job: &NameRemoval, directory: &Directory, name: Name<'_>) -> Result<Outcome, Stays> {
        let own = name_beside(&job.query)?;
        let Some(now) = directory.entry(name.as_os_str())? else { return Ok(Outcome::AlreadyGone) };
        self.check(&job.found, &now)?;
        match directory.rename_back(name, own)? {
            Renamed::Yes => Ok(Outcome::Removed),
            Renamed::Gone => Ok(Outcome::AlreadyGone),
            Renamed::NameTaken => Err(Stays("a newer file has its name; both stay".to_owned())),
        }
    }

    fn check(&self, planned: &FoundFile, now: &FileIdentity) -> Result<(), Stays> {
        if self.touched.expects(&planned.identity, now) {
            return Ok(());
        }
        Err(Stays::because("it changed since it was examined"))
    }
}

/// Nothing is in it that could be saved.
fn remove_empty(found: &FoundFile, directory: &Directory, name: Name<'_>) -> Result<Outcome, Stays> {
    let Some(now) = directory.entry(name.as_os_str())? else { return Ok(Outcome::AlreadyGone) };
    if !now.is_same_inode(&found.identity) || now.mode != found.identity.mode {
        return Err(Stays::because("it changed since it was examined"));
    }
    let is_gone = match now.file_type() == FileType::Directory {
        true => directory.remove_directory(name),
        false if now.size == 0 => directory.unlink(name),
        false => return Err(Stays::because("it is not empty any more")),
    };
    Ok(if is_gone? { Outcome::Removed } else { Outcome::AlreadyGone })
}

/// Without the other name, a twin may be the last.
fn check_twin(job: &NameRemoval, directory: &Directory) -> Result<(), Stays> {
    if job.query.act != NameAct::UnlinkTwin {
        return Ok(());
    }
    let twin = directory.entry(name_beside(&job.query)?)?;
    let is_there = twin.is_some_and(|twin| twin.is_same_inode(&job.found.identity));
    if is_there { Ok(()) } else { Err(Stays::because("it is no second name of CRIU's file any more")) }
}

fn name_beside(query: &NameQuery) -> Result<&OsStr, Stays> {
    let name = query.beside.as_deref().map(OsStr::from_bytes);
    name.ok_or_else(|| Stays::because("the name beside it is not known"))
}

/// The last guard, which no image and no arithmetic has a part in: no other name is ever removed.
pub(super) fn check_name<'a>(query: &NameQuery, name: &'a OsStr) -> Result<Name<'a>, Stays> {
    let stem = query.shape.stem;
    query
        .shape
        .check(name)
        .ok_or_else(|| Stays::because(&format!("{} is not a {stem} name", Path::new(name).display())))
}

fn unlink(directory: &Directory, name: Name<'_>) -> Result<Outcome, Stays> {
    Ok(if directory.unlink(name)? { Outcome::Removed } else { Outcome::AlreadyGone })
}

/// The inodes of which this run has made or removed a name, with the time of that change: the next name of the same
/// inode is expected to show it.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched(HashMap<InodeId, Timestamp>);

impl Touched {
    /// An interrupt does not part the names of one inode: the first to go changes the inode and perhaps the directory,
    /// and the next run could not tell that from a newer dump's doing.
    pub(super) fn may_go_on_with(&self, file: &FileIdentity, interrupt: &Interrupt) -> Result<(), Stays> {
        if self.0.contains_key(&file.id()) {
            Ok(())
        } else {
            interrupt.may_go_on().map_err(|error| Stays(error.to_string()))
        }
    }

    pub(super) fn expects(&self, planned: &FileIdentity, now: &FileIdentity) -> bool {
        let changed = self.0.get(&planned.id()).unwrap_or(&planned.changed);
        planned.is_same_inode(now) && (planned.mode, planned.size, *changed) == (now.mode, now.size, now.changed)
    }

    pub(super) fn extend(&mut self, file: Option<FileIdentity>) {
        self.0.extend(file.map(|file| (file.id(), file.changed)));
    }
}

/// Opens the directory of the link again, and verifies that it is the one that was examined.
fn open_again(found: &FoundFile, bases: &mut OpenBases) -> Result<Option<Arc<OpenDirectory>>, Stays> {
    let opened = match bases.directory_of(&found.place) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(Stays(with_causes(&error))),
    };
    // A filesystem that has to be mounted for it is on another mount each time.
    let is_mounted_anew = matches!(found.place.base, Base::Device { .. });
    let is_same_mount = is_mounted_anew || opened.identity.mount_id == found.directory.mount_id;
    if !is_same_mount || !opened.identity.is_same_inode(&found.directory) {
        return Err(Stays::because("its directory is not the one that was examined"));
    }
    Ok(Some(opened))
}
