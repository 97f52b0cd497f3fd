// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes names whose files are saved before: several files are saved, wait for the disk together, and then the names go.

use super::removal::{Opened, Removal, Stays};
use super::{Abandoned, NameRemoval, Removed, Told, tell};
use crate::carrier::Outcome;
use crate::carrier::name::NameAct;
use crate::causes::with_causes;
use crate::host::Sender;
use crate::save::{Method, SaveError, Saved, Saver, Subject, Unsynced};

/// So many names are one group, at most. Each keeps a file open.
const NAMES: usize = 64;
/// A group ends when so much was copied: an interrupted run would have copied it in vain.
const COPIED: u64 = 64 * 1024 * 1024;

/// A name of a group.
enum Step<'a> {
    /// Nothing more is done with it.
    Over(Result<Outcome, Stays>),
    /// It has no file that could be saved.
    Plain(&'a NameRemoval),
    /// Its file was saved.
    Saved(Opened<'a>),
}

impl<'a> Removal<'a> {
    /// Saves the file of every name from this one on, and removes the names. Returns the saver.
    pub(super) fn save_and_remove(
        &mut self,
        from: usize,
        mut saver: Saver,
        sender: &Sender<Told>,
    ) -> Result<Saver, Abandoned> {
        let mut at = from;
        while at < self.work.jobs.len() {
            let (steps, files) = self.save_some(at, &mut saver, sender)?;
            // From here on it is the first of them that waits.
            tell(sender, Told::At(at))?;
            at += steps.len();
            let synced = if files.is_empty() { Ok(Vec::new()) } else { saver.sync(files) };
            self.remove_some(steps, synced, sender)?;
        }
        Ok(saver)
    }

    /// Saves the files of the next names.
    fn save_some(
        &mut self,
        from: usize,
        saver: &mut Saver,
        sender: &Sender<Told>,
    ) -> Result<(Vec<Step<'a>>, Vec<Unsynced>), Abandoned> {
        let (mut steps, mut files, mut copied) = (Vec::new(), Vec::new(), 0);
        for (at, job) in self.work.jobs.iter().enumerate().skip(from).take(NAMES) {
            tell(sender, Told::At(at))?;
            let step = match self.may_go_on_with(job) {
                Err(error) => Step::Over(Err(error)),
                Ok(()) => match job.query.act {
                    NameAct::RenameBack | NameAct::RemoveEmpty => Step::Plain(job),
                    NameAct::Unlink | NameAct::UnlinkTwin => self.save(job, saver, &mut files),
                },
            };
            if let (Step::Saved(_), Some(Method::Copy)) = (&step, files.last().map(Unsynced::method)) {
                copied += job.found.identity.size;
            }
            steps.push(step);
            if copied >= COPIED {
                break;
            }
        }
        Ok((steps, files))
    }

    fn save(&mut self, job: &'a NameRemoval, saver: &mut Saver, files: &mut Vec<Unsynced>) -> Step<'a> {
        let opened = match self.open(job) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Step::Over(Ok(Outcome::AlreadyGone)),
            Err(error) => return Step::Over(Err(error)),
        };
        let NameRemoval { query, found, evidence } = job;
        let subject = Subject {
            stem: query.shape.stem,
            id: query.shape.id,
            link: &query.path,
            original: query.original.as_deref(),
            path: found.place.path(),
            identity: &found.identity,
            evidence,
        };
        let saved = saver.save(&subject, &opened.file);
        // A hard link was made, and perhaps taken away again because the manifest cannot be written.
        self.note_change(&opened.file);
        match saved {
            Ok(file) => {
                files.push(file);
                Step::Saved(opened)
            }
            Err(error) => Step::Over(Err(not_saved(&error))),
        }
    }

    /// Removes the names of a group whose files are on the disk, and of which the manifest tells.
    fn remove_some(
        &mut self,
        steps: Vec<Step<'a>>,
        synced: Result<Vec<Saved>, SaveError>,
        sender: &Sender<Told>,
    ) -> Result<(), Abandoned> {
        let mut synced = synced.map(Vec::into_iter).map_err(|error| not_saved(&error));
        for step in steps {
            let (outcome, saved) = match step {
                Step::Over(outcome) => (outcome, None),
                Step::Plain(job) => (self.remove(job), None),
                Step::Saved(opened) => match &mut synced {
                    Ok(files) => (self.remove_saved(&opened), files.next()),
                    Err(error) => (Err(error.clone()), None),
                },
            };
            tell(sender, Told::Removed(Removed { outcome, saved, touched: self.last.take() }))?;
        }
        Ok(())
    }

    /// To save the files of a group may take long.
    fn remove_saved(&mut self, opened: &Opened<'_>) -> Result<Outcome, Stays> {
        let pinned = opened.file.identity()?;
        match opened.directory.directory.entry(opened.name.as_os_str())? {
            Some(now) if !now.is_same_inode(&pinned) => Err(Stays::because("the name now refers to another file")),
            _ => self.unlink_pinned(opened),
        }
    }
}

fn not_saved(error: &SaveError) -> Stays {
    Stays(format!("its file could not be saved: {}", with_causes(error)))
}
