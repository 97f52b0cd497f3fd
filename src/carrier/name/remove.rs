// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes names, and saves their files before if asked to.

mod removal;
mod saving;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{FoundFile, NameQuery};
use crate::carrier::Outcome;
use crate::evidence::Evidence;
use crate::host::{Host, Next, PATIENCE, PATIENCE_FOR_DEVICES, Sender, Watched};
use crate::interrupt::Interrupt;
use crate::mounts::Base;
use crate::reach::{DeviceUsers, SilentMounts};
use crate::save::{Saved, Saver};
use crate::system::dir::{FileIdentity, InodeId};
use removal::{Removal, Stays, Touched};

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
    let mut progress = Progress { next: 0, at: 0, touched: Touched::default(), silent: SilentMounts::default() };
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
            fates[progress.next..].fill(Fate::failed(OTHER_SILENT));
            return (fates, None);
        }
    }
    (fates, saver)
}

const NOT_REACHED: &str = "not attempted";
const OTHER_SILENT: &str = "not attempted: a filesystem does not answer";

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
    /// The first name of which it is not known what became.
    next: usize,
    /// The name that the thread is at: with a saver the files of several are saved before the first of them goes.
    at: usize,
    touched: Touched,
    silent: SilentMounts,
}

impl Progress {
    fn current(&self) -> usize {
        self.at.max(self.next)
    }

    /// The thread got no further than this name. What it meant to do after it, also with earlier ones, it did not do.
    fn fail(&mut self, fates: &mut [Fate], why: String) {
        let current = self.current();
        fates[self.next..current].fill(Fate::failed(OTHER_SILENT));
        fates[current] = Fate::failed(why);
        self.next = current + 1;
    }
}

/// What the thread tells.
enum Told {
    /// It goes on with this name.
    At(usize),
    /// What became of the next name.
    Removed(Removed),
    /// The thread is through all names, and returns the saver.
    Through(Option<Saver>),
}

/// What became of a name.
struct Removed {
    outcome: Result<Outcome, Stays>,
    /// Where its file was saved before.
    saved: Option<Saved>,
    /// The inode that this changed.
    touched: Option<FileIdentity>,
}

/// Nobody listens any more: nothing more may be done.
struct Abandoned;

fn tell(sender: &Sender<Told>, told: Told) -> Result<(), Abandoned> {
    sender.send(told).map_err(|_| Abandoned)
}

/// Removes names from the next one on, to the end or until a filesystem does not answer. Returns the saver, unless the
/// thread is abandoned with it.
fn run(work: &Arc<Work>, progress: &mut Progress, saver: Option<Saver>, fates: &mut [Fate]) -> Option<Saver> {
    let is_saving = saver.is_some();
    let (theirs, touched, from) = (Arc::clone(work), progress.touched.clone(), progress.next);
    progress.at = from;
    let start = Watched::start("removal", move |sender| {
        let mut removal = Removal::new(&theirs, touched);
        let done = match saver {
            None => removal.remove_each(from, sender).map(|()| None),
            Some(saver) => removal.save_and_remove(from, saver, sender).map(Some),
        };
        if let Ok(saver) = done {
            let _ = sender.send(Told::Through(saver));
        }
    });
    let mut returned = None;
    let Ok(mut worker) = start else {
        fates[progress.next..].fill(Fate::failed("not attempted: cannot start a thread"));
        progress.next = work.jobs.len();
        return None;
    };
    loop {
        let job = work.jobs.get(progress.current());
        let is_device = job.is_some_and(|job| matches!(job.found.place.base, Base::Device { .. }));
        let patience = || match work.interrupt.signal() {
            Some(_) => PATIENCE,
            None if is_device => PATIENCE_FOR_DEVICES,
            None if is_saving => PATIENCE_TO_WRITE,
            None => PATIENCE_TO_REMOVE,
        };
        match (worker.next_within(patience), job) {
            (Next::Message(Told::At(at)), _) => progress.at = at,
            (Next::Message(Told::Removed(Removed { outcome, saved, touched })), _) => {
                if let Some(fate) = fates.get_mut(progress.next) {
                    *fate = Fate { outcome: outcome.unwrap_or_else(|stays| Outcome::Failed(stays.to_string())), saved };
                }
                progress.touched.extend(touched);
                progress.next += 1;
                progress.at = progress.next;
            }
            (Next::Message(Told::Through(saver)), _) => returned = saver,
            (Next::Ended, None) => return returned,
            (Next::Silent, None) => return returned,
            (Next::Ended, Some(_)) => {
                progress.fail(fates, "criu-gc failed, which is a bug; whether it was removed is not known".to_owned());
                return None;
            }
            (Next::Silent, Some(job)) => {
                let place = &job.found.place;
                progress.silent.add(&[place], work.jobs.iter().map(|job| &job.found.place));
                let told = progress.silent.does_not_answer(place);
                let told = if is_saving { format!("the directory of --save, or {told}") } else { told };
                progress.fail(fates, format!("{told}; whether it was removed is not known"));
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

#[cfg(test)]
mod tests;
