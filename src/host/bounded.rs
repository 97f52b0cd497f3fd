// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many small requests to filesystems and sockets of other users, which may never answer: a stopped FUSE, a lost NFS
//! server.
//!
//! A thread makes each request, and is abandoned if it does not return. The total wait is limited, so that no user can
//! delay criu-gc by having many such files.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::watched::PATIENCE;

/// After that long without an answer the rest is given to one more thread.
const STALL: Duration = Duration::from_millis(50);

/// Does `work` for each item; `None` for those of which it has not come back. Those are waited for all in all as long as
/// for one.
pub fn each<I, O>(items: Vec<I>, work: impl Fn(&I) -> O + Send + Sync + 'static) -> Vec<Option<O>>
where
    I: Send + Sync + 'static,
    O: Send + 'static,
{
    let count = items.len();
    if count == 0 {
        return Vec::new();
    }
    let requests = Arc::new(Requests::new(items, work));
    let (sender, all_done) = mpsc::channel();
    let start = || {
        let (requests, sender) = (Arc::clone(&requests), sender.clone());
        // Without a thread nothing is answered, and so nothing is known.
        let _ = thread::Builder::new().name("bounded".to_owned()).spawn(move || requests.work(&sender));
    };
    start();
    let (mut done, mut waited) = (0, Duration::ZERO);
    while waited < PATIENCE {
        let since = Instant::now();
        if all_done.recv_timeout(STALL).is_ok() {
            break;
        }
        let now = requests.done.load(Ordering::Relaxed);
        if now == done {
            waited += since.elapsed();
            if requests.next.load(Ordering::Relaxed) < count {
                start();
            }
        }
        done = now;
    }
    // Those that are left behind begin nothing new.
    requests.next.store(count, Ordering::Relaxed);
    std::mem::take(&mut *requests.answers())
}

/// What the threads share. They wake nobody for a single answer: there may be thousands.
struct Requests<I, O, F> {
    items: Vec<I>,
    make: F,
    answers: Mutex<Vec<Option<O>>>,
    /// The item that no thread has begun with.
    next: AtomicUsize,
    /// How many are answered.
    done: AtomicUsize,
}

impl<I, O, F: Fn(&I) -> O> Requests<I, O, F> {
    fn new(items: Vec<I>, make: F) -> Self {
        let answers = Mutex::new(items.iter().map(|_| None).collect());
        Requests { items, make, answers, next: AtomicUsize::new(0), done: AtomicUsize::new(0) }
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Option<O>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes requests until none is left, and tells if it had the last answer.
    fn work(&self, all_done: &Sender<()>) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = self.items.get(at) else { return };
            let answer = (self.make)(item);
            // They are no longer there for one that comes too late.
            let mut answers = self.answers();
            let Some(place) = answers.get_mut(at) else { return };
            *place = Some(answer);
            drop(answers);
            if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.items.len() {
                let _ = all_done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_back_keeps_nothing_else_from_being_done() {
        let started = Instant::now();
        let hang = || thread::sleep(Duration::from_secs(30));
        let answers = each((0..200).collect(), move |number: &u32| {
            if number % 50 == 0 {
                hang();
            }
            *number
        });
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.is_none(), number % 50 == 0, "{number}");
        }
        assert!(started.elapsed() < 2 * PATIENCE);
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        assert!(each(Vec::<u32>::new(), |_| ()).is_empty());
    }
}
