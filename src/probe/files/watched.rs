// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for one file after the other on a thread of its own, and goes on without it where a filesystem does not answer.

use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::super::{Cause, Presence};
use super::absent::Judge;
use super::{Job, Searcher};
use crate::host::{PATIENCE, is_waiting};
use crate::mounts::Base;

/// To mount a disk, and to read its log, takes time.
const PATIENCE_FOR_DEVICES: Duration = Duration::from_secs(30);
/// Once a filesystem has not answered, another is waited for only so long.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// An answer for each.
pub(super) fn answer_each(jobs: Vec<Job>, judge: Judge) -> Vec<Presence> {
    let (jobs, judge) = (Arc::new(jobs), Arc::new(judge));
    let mut answers: Vec<Presence> = Vec::with_capacity(jobs.len());
    let mut silent: HashSet<Base> = HashSet::new();
    while answers.len() < jobs.len() {
        let at = answers.len();
        if bases(&jobs[at]).any(|base| silent.contains(base)) {
            answers.push(does_not_answer(&jobs[at]));
            continue;
        }
        let patience = if silent.is_empty() { PATIENCE } else { IMPATIENCE };
        if !run(&jobs, &judge, &mut answers, patience) {
            let job = &jobs[answers.len()];
            silent.extend(bases(job).cloned());
            answers.push(does_not_answer(job));
        }
    }
    answers
}

/// Answers from the first that has no answer yet, to the end or until one does not come: then this is `false`.
fn run(jobs: &Arc<Vec<Job>>, judge: &Arc<Judge>, answers: &mut Vec<Presence>, patience: Duration) -> bool {
    let (sender, receiver) = mpsc::channel();
    let worker = Arc::new(Mutex::new(None));
    let work = {
        let (jobs, judge, worker, from) = (Arc::clone(jobs), Arc::clone(judge), Arc::clone(&worker), answers.len());
        move || {
            if let Ok(mut worker) = worker.lock() {
                *worker = Some(rustix::thread::gettid());
            }
            let mut searcher = Searcher::new(judge);
            for job in &jobs[from..] {
                if sender.send(searcher.answer(job)).is_err() {
                    return;
                }
            }
        }
    };
    if thread::Builder::new().name("files".to_owned()).spawn(work).is_err() {
        return false;
    }
    let is_waiting = || worker.lock().ok().and_then(|thread| *thread).is_none_or(is_waiting);
    let mut waited = Duration::ZERO;
    while answers.len() < jobs.len() {
        let is_device = bases(&jobs[answers.len()]).any(|base| matches!(base, Base::Device { .. }));
        let limit = if is_device { PATIENCE_FOR_DEVICES } else { patience };
        match receiver.recv_timeout(IMPATIENCE) {
            Ok(answer) => {
                answers.push(answer);
                waited = Duration::ZERO;
            }
            // A machine that is busy is not a filesystem that does not answer.
            Err(RecvTimeoutError::Timeout) if is_waiting() => {
                waited += IMPATIENCE;
                if waited >= limit {
                    return false;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    // It ends now, and lets go of the devices that it has open: they count as in use until then.
    let _ = receiver.recv_timeout(patience);
    true
}

fn does_not_answer(job: &Job) -> Presence {
    Presence::Unreachable(Cause::Silent(job.path()))
}

/// Where a file is looked for.
fn bases(job: &Job) -> impl Iterator<Item = &Base> {
    job.places().map(|place| &place.base)
}
