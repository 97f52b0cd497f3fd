// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for one file after the other on a watched thread, and goes on without it where a filesystem does not answer.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::{Cause, Presence};
use super::absent::Judge;
use super::{Job, Searcher};
use crate::host::{self, MountPoints, Next, PATIENCE, PATIENCE_FOR_DEVICES, Watched};
use crate::mounts::{Base, Place};

/// Once a filesystem has not answered, another is waited for only so long.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// An answer for each.
pub(super) fn answer_each(jobs: Vec<Job>, judge: Judge) -> Vec<Presence> {
    let (jobs, judge) = (Arc::new(jobs), Arc::new(judge));
    let mut answers: Vec<Presence> = Vec::with_capacity(jobs.len());
    let mut silent = Silent::default();
    while answers.len() < jobs.len() {
        let at = answers.len();
        if silent.has(&jobs[at]) {
            answers.push(does_not_answer(&jobs[at]));
            continue;
        }
        let patience = if silent.0.is_empty() { PATIENCE } else { IMPATIENCE };
        if !run(&jobs, &judge, &mut answers, patience) {
            let job = &jobs[answers.len()];
            silent.add(job);
            answers.push(does_not_answer(job));
        }
    }
    answers
}

/// What has not answered: where, and on which mount of this mount namespace. Many mounts may be below one base.
#[derive(Default)]
struct Silent(HashSet<(Base, Option<PathBuf>)>);

impl Silent {
    fn add(&mut self, job: &Job) {
        let points = MountPoints::read();
        self.0.extend(job.places().map(|place| mount_of(place, &points)));
    }

    fn has(&self, job: &Job) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let points = MountPoints::read();
        job.places().any(|place| self.0.contains(&mount_of(place, &points)))
    }
}

fn mount_of(place: &Place, points: &MountPoints) -> (Base, Option<PathBuf>) {
    (place.base.clone(), points.above(&place.path()).map(Path::to_owned))
}

/// Answers from the first that has no answer yet, to the end or until one does not come: then this is `false`.
fn run(jobs: &Arc<Vec<Job>>, judge: &Arc<Judge>, answers: &mut Vec<Presence>, patience: Duration) -> bool {
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

fn does_not_answer(job: &Job) -> Presence {
    Presence::Unreachable(Cause::Silent(host::does_not_answer(&job.path())))
}

/// Where a file is looked for.
fn bases(job: &Job) -> impl Iterator<Item = &Base> {
    job.places().map(|place| &place.base)
}
