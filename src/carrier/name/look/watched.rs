// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for one file after the other on a watched thread, and abandons it if a filesystem does not answer.

use std::sync::Arc;
use std::time::Duration;

use super::absent::Judge;
use super::{NameSearch, Searcher};
use crate::carrier::{Cause, Presence};
use crate::host::{Next, PATIENCE, PATIENCE_FOR_DEVICES, Watched};
use crate::mounts::{Base, Place};
use crate::reach::SilentMounts;

/// Once a filesystem has not answered, another is waited for only so long.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// An answer for each.
pub(super) fn answer_each(jobs: Vec<NameSearch>, judge: Judge) -> Vec<Presence> {
    let (jobs, judge) = (Arc::new(jobs), Arc::new(judge));
    let mut answers: Vec<Presence> = Vec::with_capacity(jobs.len());
    let mut silent = SilentMounts::default();
    while answers.len() < jobs.len() {
        let at = answers.len();
        if jobs[at].places().any(|place| silent.has(place)) {
            answers.push(does_not_answer(&jobs[at], &silent));
            continue;
        }
        let patience = if silent.is_empty() { PATIENCE } else { IMPATIENCE };
        if !run(&jobs, &judge, &mut answers, patience) {
            let job = &jobs[answers.len()];
            let places: Vec<&Place> = job.places().collect();
            silent.add(&places, jobs.iter().flat_map(NameSearch::places));
            answers.push(does_not_answer(job, &silent));
        }
    }
    answers
}

/// Answers from the first that has no answer yet, to the end or until one does not come: then this is `false`.
fn run(jobs: &Arc<Vec<NameSearch>>, judge: &Arc<Judge>, answers: &mut Vec<Presence>, patience: Duration) -> bool {
    let (theirs, judge, from) = (Arc::clone(jobs), Arc::clone(judge), answers.len());
    let worker = Watched::start("files", move |sender| {
        let mut searcher = Searcher::new(judge);
        for job in &theirs[from..] {
            if sender.send(searcher.answer(job)).is_err() {
                return;
            }
        }
    });
    let Ok(mut worker) = worker else { return false };
    while answers.len() < jobs.len() {
        let is_device = bases(&jobs[answers.len()]).any(|base| matches!(base, Base::Device { .. }));
        match worker.next(if is_device { PATIENCE_FOR_DEVICES } else { patience }) {
            Next::Message(answer) => answers.push(answer),
            Next::Ended | Next::Silent => return false,
        }
    }
    // It ends now, and lets go of the devices that it has open: they count as in use until then.
    let _ = worker.next(patience);
    true
}

fn does_not_answer(job: &NameSearch, silent: &SilentMounts) -> Presence {
    let told = job.places().next().map_or_else(String::new, |place| silent.does_not_answer(place));
    Presence::Unreachable(Cause::Silent(told))
}

/// Where a file is looked for.
fn bases(job: &NameSearch) -> impl Iterator<Item = &Base> {
    job.places().map(|place| &place.base)
}
