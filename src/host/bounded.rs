// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many small requests to filesystems and sockets of other users, which may never answer: a stopped FUSE, a lost NFS
//! server.
//!
//! A thread makes each request, and is abandoned if it does not return. The total wait is limited, so that no user can
//! delay criu-gc by having many such files.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
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
    let mut answers: Vec<Option<O>> = (0..count).map(|_| None).collect();
    let (sender, receiver) = mpsc::channel();
    let (items, work, next) = (Arc::new(items), Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let start = || {
        let (items, work, next, sender) = (Arc::clone(&items), Arc::clone(&work), Arc::clone(&next), sender.clone());
        let run = move || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { return };
                if sender.send((at, work(item))).is_err() {
                    return;
                }
            }
        };
        // Without a thread nothing is answered, and so nothing is known.
        let _ = thread::Builder::new().name("bounded".to_owned()).spawn(run);
    };
    if count > 0 {
        start();
    }
    let (mut missing, mut waited) = (count, Duration::ZERO);
    while missing > 0 && waited < PATIENCE {
        let since = Instant::now();
        match receiver.recv_timeout(STALL) {
            Ok((at, answer)) => {
                answers[at] = Some(answer);
                missing -= 1;
            }
            Err(_) => {
                waited += since.elapsed();
                if next.load(Ordering::Relaxed) < count {
                    start();
                }
            }
        }
    }
    // Those that are left behind begin nothing new.
    next.store(count, Ordering::Relaxed);
    answers
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
