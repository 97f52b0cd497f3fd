// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Heals processes that a killed dump left running but damaged.
//!
//! A dump that dies by a signal takes nothing back. The tree runs on, and some of this stays: a frozen control group, a few
//! overwritten bytes of code, blocked signals, dropped packets, TCP connections in repair mode. [`look`] lists it, and
//! [`Examination::heal`] gives the processes back what they had.
//!
//! ```no_run
//! use criu_gc::heal::{self, Options, Target};
//! use criu_gc::{Control, Error};
//!
//! /// Returns whether the processes are as they were before the dump.
//! fn recover(pid: u32) -> Result<bool, Error> {
//!     let examination = heal::examine([Target::Process(pid)], &Options::new())?;
//!     let report = examination.heal(&Control::new())?;
//!     Ok(!report.has_errors() && !report.leaves_something())
//! }
//! # let _ = recover;
//! ```
//!
//! # Safety contract
//!
//! **It changes** only what has a certain sign of a killed dump, in this order: a control group is thawed; code is written
//! back from the mapped file; the set of blocked signals is set to that of the images, or emptied; rules, tables and chains
//! of the lock are removed; repair mode is ended; on request, CRIU's memory is unmapped. Each object is compared again right
//! before its change.
//!
//! **It never touches** processes while a criu or anybody else traces one of them, or a criu may work on them; a half-restored
//! tree; a control group that somebody else froze; a lock that may be another dump's. It sends no signal, and stops a thread
//! only by `ptrace`, for the moment of the change: whenever the caller ends, the thread runs on.

mod cure;
mod damage;
mod find;
mod group;
mod locks;
mod parasite;
mod patient;
mod report;
mod words;

use std::path::PathBuf;

use crate::causes::with_causes;
use crate::error::{Cause, Error};
use crate::interrupt::Control;
use crate::options::Event;
use crate::session::living::{self, Opened};
use damage::Found;

pub(crate) use damage::MASK_OF_CRIU;
pub(crate) use patient::{LockId, Patient, of_images, of_process};

pub use crate::session::living::Target;
pub use report::{
    Damage, DamageReport, DamageVerdict, HealMode, HealOutcome, HealReport, HealSummary, HealedProcess, KeptDamage,
    SubjectReport,
};

/// The options of a look or a cure.
///
/// ```
/// let options = criu_gc::heal::Options::new().peek_offsets();
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(crate) general: crate::options::Options,
    pub(crate) requests: Requests,
}

/// What is only changed on request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Requests {
    /// `SO_PEEK_OFF`, which a program may have set itself.
    pub(crate) peek_offsets: OnRequest,
    /// The memory of CRIU, which harms nothing.
    pub(crate) memory: OnRequest,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OnRequest {
    #[default]
    Keep,
    Heal,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Options::default()
    }

    /// The directory with CRIU's log, if it is not the images directory.
    #[must_use]
    pub fn work_dir(self, directory: impl Into<PathBuf>) -> Self {
        Options { general: self.general.work_dir(directory), ..self }
    }

    /// Also resets `SO_PEEK_OFF` of connections where it is 0: a killed dump leaves that, but a program may have set it.
    #[must_use]
    pub fn peek_offsets(self) -> Self {
        Options { requests: Requests { peek_offsets: OnRequest::Heal, ..self.requests }, ..self }
    }

    /// Also unmaps the memory that CRIU left in the processes (x86-64 only). It harms nothing, except that later dumps carry it
    /// along. A thread of each process makes the system call; `SECURITY.md` says what it means if this process is killed in
    /// that moment.
    #[must_use]
    pub fn unmap(self) -> Self {
        Options { requests: Requests { memory: OnRequest::Heal, ..self.requests }, ..self }
    }

    /// Calls this on the caller's thread when an examination does something that can take long.
    #[must_use]
    pub fn on_event(self, show: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Options { general: self.general.on_event(show), ..self }
    }
}

/// Lists the damage, and what a cure would do. Changes nothing.
pub fn look(targets: impl IntoIterator<Item = Target>, options: &Options) -> HealReport {
    let targets: Vec<Target> = targets.into_iter().collect();
    let opened = living::open_to_look(&targets, &options.general);
    let subjects = opened.subjects.iter().map(|subject| Subject::examine(subject, options));
    report::report(HealMode::Show, subjects.map(|subject| subject.report()).collect())
}

/// Finds the damage, and plans the cure. Changes nothing yet.
///
/// A target that cannot be used has an error in the report, and then nothing of any target will be changed.
///
/// # Errors
/// If an option cannot be used.
pub fn examine(targets: impl IntoIterator<Item = Target>, options: &Options) -> Result<Examination, Error> {
    let targets: Vec<Target> = targets.into_iter().collect();
    let opened = living::open_to_change(&targets, &options.general);
    let subjects = opened.subjects.iter().map(|subject| Subject::examine(subject, options)).collect();
    Ok(Examination { opened, subjects, options: options.clone() })
}

/// The damage that was found, and what a cure would do.
#[derive(Debug)]
pub struct Examination {
    opened: Opened,
    subjects: Vec<Subject>,
    options: Options,
}

/// A target that was examined.
#[derive(Debug)]
struct Subject {
    name: String,
    state: Result<Found, String>,
}

impl Subject {
    fn examine(subject: &living::Subject, options: &Options) -> Self {
        let found = match &subject.state {
            Ok(clues) => find::find(clues, options.requests).map_err(|error| error.to_string()),
            Err(error) => Err(with_causes(error)),
        };
        Subject { name: subject.name.clone(), state: found }
    }

    fn report(&self) -> SubjectReport {
        match &self.state {
            Ok(found) => report::planned(&self.name, found),
            Err(error) => report::failed(&self.name, error),
        }
    }
}

impl Examination {
    /// What was found, and what a cure would do.
    pub fn report(&self) -> HealReport {
        report::report(HealMode::Show, self.subjects.iter().map(Subject::report).collect())
    }

    /// Whether a target cannot be used, so that a cure is refused: [`report`](Examination::report) says why.
    pub fn has_errors(&self) -> bool {
        self.subjects.iter().any(|subject| subject.state.is_err())
    }

    /// Whether a cure would change anything.
    pub fn heals_anything(&self) -> bool {
        let has_any = |found: &Found| found.findings.iter().any(|finding| finding.is_to_be_healed());
        self.subjects.iter().any(|subject| subject.state.as_ref().is_ok_and(has_any))
    }

    /// Carries out the cure, and looks once more at the end. One failure does not stop the rest.
    ///
    /// # Errors
    /// If a target cannot be used. Nothing of any target was changed then.
    pub fn heal(self, control: &Control) -> Result<HealReport, Error> {
        if self.has_errors() {
            return Err(Error::new(Cause::NotAll));
        }
        let Examination { opened, subjects, options } = self;
        let healed = subjects.into_iter().zip(&opened.subjects).map(|(subject, target)| {
            let found = match subject.state {
                Ok(found) => found,
                Err(error) => return report::failed(&subject.name, &error),
            };
            let Ok(clues) = &target.state else { return report::planned(&subject.name, &found) };
            let outcomes = cure::cure(clues, &found, &control.interrupt);
            let after = find::find(clues, options.requests);
            report::healed(&subject.name, &found, &outcomes, after.as_ref().ok())
        });
        Ok(report::report(HealMode::Heal, healed.collect()))
    }
}
