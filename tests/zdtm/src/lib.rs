// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The runner of `cargo xtask zdtm`: the gc tests of the series of 2016, for tests of the project's own and for the
//! suite of a source tree of CRIU that the user has and has built.
//!
//! Each test is started in a throw-away host and dumped by a real criu; criu-gc shows and removes what that left, its
//! lines are compared with what the test's hook expects, and pictures of the host, taken without criu-gc, say whether
//! anything is left or anything else has changed.

mod action;
mod description;
mod eligibility;
mod error;
mod expectation;
mod fixture;
mod guest;
mod interrupt;
mod literal;
mod options;
mod outcome;
mod own;
mod parallel;
mod picture;
mod privacy;
mod programs;
mod report;
mod root;
mod running;
mod selection;
mod session;
mod suite;
mod transcript;
mod trial;
mod verdict;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub use crate::error::Error;
use crate::interrupt::Interrupt;
pub use crate::options::Options;
use crate::outcome::{Class, Demand, Outcome};
use crate::programs::Programs;
use crate::report::{Line, Record};
use crate::selection::Run;
use crate::session::Session;
use crate::transcript::Transcript;

/// Where the tests of the project are, and what they try.
#[derive(Clone, Copy, Debug)]
pub struct Project<'a> {
    /// The directory of the workspace.
    pub directory: &'a Path,
    /// The criu-gc that is tried.
    pub tool: &'a Path,
}

/// Runs what is asked for, prints what came of it, and fails if a run does.
pub fn run(options: &Options, project: &Project<'_>) -> Result<(), Error> {
    if let Some(reason) = testkit::cannot_run() {
        return Err(Error::CannotRun(reason));
    }
    let (tests, programs) = (selection::tests(options, project.directory)?, Programs::chosen(options, project.tool)?);
    let runs = selection::runs(&tests, &programs, options);
    if runs.is_empty() {
        return Err(Error::NothingToRun);
    }
    let interrupt = Interrupt::on_signals()?;
    fixture::note_panics();
    let start = Instant::now();
    let number = AtomicUsize::new(0);
    let attempt = |run: &Run<'_>| {
        let (record, transcript) = attempt(run, options, &interrupt);
        let number = number.fetch_add(1, Ordering::Relaxed) + 1;
        // One call: other runs end at the same time.
        println!("{}", Line { record: &record, number, of: runs.len(), transcript: &transcript });
        let kept = options.keep.as_deref().map_or(Ok(()), |directory| transcript.keep(&record.place(directory)));
        (record, kept)
    };
    let is_last = |(record, kept): &(Record, Result<(), Error>)| {
        interrupt.has_come() || kept.is_err() || (options.fail_fast && record.has_failed)
    };
    let (records, kept): (Vec<_>, Vec<_>) = parallel::map(&runs, attempt, is_last).into_iter().unzip();
    print!("\n{}", report::tables(&records));
    println!("\n{}", report::durations(&records, start.elapsed()));
    kept.into_iter().collect::<Result<Vec<()>, _>>()?;
    conclude(&records, runs.len(), options.demand(), &interrupt)
}

fn attempt(run: &Run<'_>, options: &Options, interrupt: &Interrupt) -> (Record, Transcript) {
    let start = Instant::now();
    let mut session = Session::new(options.limits(), interrupt);
    let outcome = match run.trial(options) {
        Ok(trial) => trial.run(&mut session),
        Err(outcome) => outcome,
    };
    let outcome = if interrupt.has_come() { outcome.after_interrupt() } else { outcome };
    let record = Record {
        criu: run.programs.criu.version().to_owned(),
        test: run.test.name.clone(),
        flavour: run.flavour,
        has_failed: outcome.fails(options.demand()),
        outcome,
        duration: start.elapsed(),
    };
    (record, session.transcript)
}

/// Whether all that was asked for was done, and nothing failed.
fn conclude(records: &[Record], planned: usize, demand: Demand, interrupt: &Interrupt) -> Result<(), Error> {
    let failed = records.iter().filter(|record| record.has_failed).count();
    let done = records.iter().filter(|record| record.outcome != Outcome::Interrupted).count();
    let has_dumped = records.iter().map(|record| record.outcome.class()).any(Class::is_dumped);
    if interrupt.has_come() {
        Err(Error::Interrupted(done, planned, failed))
    } else if failed > 0 {
        Err(Error::Unclean(failed, done))
    } else if demand == Demand::Truth && !has_dumped {
        Err(Error::NothingDumped(done))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::description::Flavour;

    fn said(outcomes: &[Outcome], demand: Demand, interrupt: &Interrupt) -> Option<String> {
        let record = |outcome: &Outcome| Record {
            criu: "4.3".to_owned(),
            test: "own/a".to_owned(),
            flavour: Flavour::Host,
            outcome: outcome.clone(),
            has_failed: outcome.fails(demand),
            duration: Duration::ZERO,
        };
        let records: Vec<_> = outcomes.iter().map(record).collect();
        conclude(&records, 9, demand, interrupt).err().map(|error| error.to_string())
    }

    #[test]
    fn what_the_status_says() {
        let interrupt = Interrupt::default();
        let [clean, not_started] = [Outcome::LeftNothing, Outcome::NotStarted("why".to_owned())];
        let both = [clean.clone(), not_started.clone()];
        assert_eq!(said(&both, Demand::Truth, &interrupt), None);
        assert_eq!(said(&both, Demand::Dump, &interrupt).unwrap(), "1 of 2 runs failed");
        assert_eq!(said(&[not_started], Demand::Truth, &interrupt).unwrap(), "none of 1 tests was dumped");
        interrupt.raise();
        let after = [clean, Outcome::Broken("why".to_owned()), Outcome::Interrupted];
        assert_eq!(
            said(&after, Demand::Truth, &interrupt).unwrap(),
            "interrupted: 2 of 9 runs are done, 1 of them failed"
        );
    }
}
