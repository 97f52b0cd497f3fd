// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the caller's paths to the removal: the only module that knows the order.
//!
//! Locate, lock, read, examine, decide; and for a removal: check the tree once more, act, examine again. All plans are
//! made before anything is removed, so a person confirms everything that will happen.

mod arguments;
mod candidate;
pub(crate) mod claimed;
mod find;
pub(crate) mod living;
mod locks;
mod prepare;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use self::find::Described;
use self::locks::{Locks, Purpose};
use self::prepare::{Prepared, Ready, Settings, survey};
use crate::carrier::{Outcome, Query};
use crate::causes::with_causes;
use crate::checkpoint::Checkpoint;
use crate::error::{Cause, Error, Silent};
use crate::execute::{self, Done};
use crate::goal::Goal;
use crate::host::{self, Host, Wanted};
use crate::interrupt::{Control, Interrupt};
use crate::kind::{Claims, Residue};
use crate::locate::Given;
use crate::options::Options;
use crate::plan::{Plan, Verdict};
use crate::probe::{self, Hints};
use crate::report::{self, CheckpointReport, Mode, Report};
use crate::save::{Destination, SaveDirectory, Saver};
use crate::system::netns::{NetworkId, NetworkName};
use crate::tree::{self, TreeState};

/// Lists what checkpoints left on this host. Changes nothing, and [saves](Options::save) nothing. Several runs may look at
/// the same time.
///
/// A checkpoint that cannot be used has an error in the report. If an option cannot be used, every checkpoint has it.
pub fn look<P: AsRef<Path>>(named: impl IntoIterator<Item = P>, options: &Options) -> Report {
    let named = paths(named);
    let checkpoints = match prepare::all(&named, options, &Settings::without_saving(options), Purpose::Show) {
        Ok((_locks, prepared)) => prepared.iter().map(Prepared::report).collect(),
        Err(error) => {
            let why = with_causes(&error);
            named.iter().map(|path| report::failed_checkpoint(path, &why)).collect()
        }
    };
    Report::new(Mode::Show, options.goal, checkpoints)
}

/// Finds what checkpoints left on this host, and plans the removal. Removes nothing yet. Other runs cannot use the images as
/// long as the returned value lives.
///
/// A checkpoint that cannot be used has an error in the report, and then nothing of any checkpoint will be removed: whoever
/// mistypes one name may not mean the others either.
///
/// # Errors
/// If an option cannot be used, or if files cannot be [saved](Options::save).
pub fn examine<P: AsRef<Path>>(named: impl IntoIterator<Item = P>, options: &Options) -> Result<Examination, Error> {
    let named = paths(named);
    let settings = Settings::new(options)?;
    let (locks, prepared) = prepare::all(&named, options, &settings, Purpose::Remove)?;
    Ok(Examination { prepared, settings, goal: options.goal, _locks: locks })
}

/// What checkpoints left on this host, and what a removal would do.
#[derive(Debug)]
pub struct Examination {
    prepared: Vec<Prepared>,
    settings: Settings,
    goal: Goal,
    _locks: Locks,
}

impl Examination {
    /// What was found, and what a removal would do.
    pub fn report(&self) -> Report {
        Report::new(Mode::Show, self.goal, self.prepared.iter().map(Prepared::report).collect())
    }

    /// Whether a checkpoint cannot be used, so that a removal is refused: [`report`](Examination::report) says why.
    pub fn has_errors(&self) -> bool {
        self.prepared.iter().any(|checkpoint| checkpoint.usable().is_none())
    }

    /// Whether a removal would remove anything.
    pub fn removes_anything(&self) -> bool {
        self.prepared.iter().any(Prepared::removes_anything)
    }

    /// Carries out the removal. Compares each object with the finding right before its removal, and looks for it once more
    /// at the end. One failure does not stop the rest: the report has an outcome for each object.
    ///
    /// # Errors
    /// If a checkpoint cannot be used, or if files cannot be [saved](Options::save). Nothing of any checkpoint was removed
    /// then, not even network locks.
    pub fn remove(self, control: &Control) -> Result<Report, Error> {
        if self.has_errors() {
            return Err(Error::new(Cause::NotAll));
        }
        let Examination { prepared, settings, goal, _locks } = self;
        let removes_files = prepared.iter().any(Prepared::removes_files);
        let destination = settings.save.as_ref().filter(|_| removes_files);
        let directory = destination.map(open_destination).transpose()?;
        let mut removal = RemovalRun { settings, directory, interrupt: &control.interrupt, has_removed: false };
        Ok(Report::new(Mode::Gc, goal, prepared.into_iter().map(|each| removal.remove(each)).collect()))
    }
}

/// What the removals of one run share.
struct RemovalRun<'a> {
    settings: Settings,
    /// Where files are saved; `None` also once its filesystem has not answered.
    directory: Option<SaveDirectory>,
    interrupt: &'a Interrupt,
    /// Whether something was removed already: another checkpoint of the same tree may have had it too.
    has_removed: bool,
}

impl RemovalRun<'_> {
    fn remove(&mut self, prepared: Prepared) -> CheckpointReport {
        if self.settings.save.is_some() && self.directory.is_none() && prepared.removes_files() {
            let why = "nothing was removed: cannot save files: a filesystem does not answer";
            return report::failed_checkpoint(&prepared.path, why);
        }
        let ready = match prepared.state {
            Ok(ready) => ready,
            Err(error) => return report::failed_checkpoint(&prepared.path, &with_causes(&error)),
        };
        let Ready { given, checkpoint, claims, hints, plan, origin, mut context } = ready;
        let seen = (&given, &checkpoint, &hints);
        let mut done = if plan.removes_anything() {
            self.carry_out(&prepared.path, (&given, &checkpoint), plan, &claims)
        } else {
            // Where nothing is touched there is nothing to guard.
            execute::leave(plan.guarded(&TreeState::default(), &self.settings.policy))
        };
        self.has_removed |= done.iter().any(|done| done.outcome == Outcome::Removed);
        if let Err(error) = self.confirm(seen, claims, &mut done) {
            let why = format!("cannot check what is left after the removal: {}", with_causes(&error));
            context.cannot_be_known.push(why);
        }
        let mut report = report::checkpoint(&prepared.path, &checkpoint, origin, context, report::done(done));
        if !report.leaves_something() {
            report.notes.extend(find::prune(&given, &checkpoint, &self.settings.record_store));
        }
        report
    }

    #[expect(clippy::disallowed_methods, reason = "this is the removal: a look does not come here")]
    fn carry_out(
        &mut self,
        path: &Path,
        (given, checkpoint): (&Given, &Checkpoint),
        plan: Plan,
        claims: &Claims,
    ) -> Vec<Done> {
        // The picture once more, right before the acts.
        let host = Host::look(probe::wanted(checkpoint, claims));
        let plan = plan.guarded(&tree::look(&host, given, checkpoint), &self.settings.policy);
        let run_id = checkpoint.run_id().map(|id| id.text);
        let saver = self.directory.take().map(|directory| Saver { directory, images: Some(path.to_owned()), run_id });
        let (done, saver) = execute::execute(&host, plan, saver, self.interrupt);
        self.directory = saver.map(|saver| saver.directory);
        done
    }

    /// Looks once more for what was removed, and for what was kept if this run has removed anything; also for what could not be
    /// removed from a network namespace, which may have ended meanwhile. Where that is nothing but names, no network namespace
    /// is entered again.
    fn confirm(
        &self,
        (given, checkpoint, hints): (&Given, &Checkpoint, &Hints),
        claims: Claims,
        done: &mut [Done],
    ) -> Result<(), Error> {
        let lost = if self.interrupt.signal().is_none() { lost_networks(done) } else { BTreeSet::new() };
        let is_lost = |done: &Done| done.item.finding.presence.network().is_some_and(|name| lost.contains(&name.id));
        let is_asked_for = |done: &&Done| match done.outcome {
            Outcome::Removed => true,
            Outcome::Kept => self.has_removed,
            Outcome::Failed(_) => is_lost(done),
            Outcome::AlreadyGone => false,
        };
        let asked: Vec<&Residue> = done.iter().filter(is_asked_for).map(|done| &done.item.finding.residue).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let after = if asked.iter().all(|residue| matches!(residue.query(), Query::Name(_) | Query::Entry(_))) {
            let claims = Claims { residues: asked.into_iter().cloned().collect(), unknown: Vec::new() };
            let host = Host::look(probe::wanted(checkpoint, &claims));
            probe::names(&host, given, checkpoint, claims.residues, hints)
        } else {
            let host = Host::look(probe::wanted(checkpoint, &claims));
            survey(&host, given, checkpoint, claims, hints)?.findings
        };
        execute::confirm(done, &after, &lost);
        Ok(())
    }
}

/// The network namespaces from which something was to be removed, and that cannot be reached any more.
fn lost_networks(done: &[Done]) -> BTreeSet<NetworkId> {
    let has_failed = |done: &&Done| done.item.verdict == Verdict::Remove && matches!(done.outcome, Outcome::Failed(_));
    let names = done.iter().filter(has_failed).filter_map(|done| done.item.finding.presence.network());
    let names: BTreeMap<NetworkId, &NetworkName> = names.map(|name| (name.id, name)).collect();
    if names.is_empty() {
        return BTreeSet::new();
    }
    let host = Host::look(Wanted::default());
    names.into_iter().filter(|(_, name)| host.open_network(name).is_none()).map(|(id, _)| id).collect()
}

fn paths<P: AsRef<Path>>(named: impl IntoIterator<Item = P>) -> Vec<PathBuf> {
    named.into_iter().map(|path| path.as_ref().to_owned()).collect()
}

fn open_destination(destination: &Destination) -> Result<SaveDirectory, Error> {
    let theirs = destination.clone();
    match host::answer(&[destination.path()], move || theirs.open()) {
        Some(opened) => opened.map_err(Error::new),
        None => Err(Error::new(Cause::SaveSilent(Silent::at(destination.path())))),
    }
}
