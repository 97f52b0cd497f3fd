// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A channel between two threads whose sender does not wake the receiver for each message.
//!
//! Looking at a file takes a few microseconds, waking a thread takes ten: a thread that told of each file by itself spent
//! half of its time with that. No message is late by more than [`PAUSE`].

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The receiver is woken once in that time; meanwhile it looks by itself.
const PAUSE: Duration = Duration::from_millis(1);

/// The end of the thread that does the work.
#[derive(Debug)]
pub struct Sender<M>(Arc<Shared<M>>);

/// The end of the thread that waits for it.
#[derive(Debug)]
pub(super) struct Receiver<M>(Arc<Shared<M>>);

/// The receiver is gone: nobody waits for the work any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMessage {
    /// None came in time.
    Yet,
    /// The sender is gone.
    Ever,
}

#[derive(Debug)]
struct Shared<M> {
    state: Mutex<State<M>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<M> {
    messages: VecDeque<M>,
    has_sender: bool,
    has_receiver: bool,
    /// When the receiver was last woken.
    woken: Option<Instant>,
}

/// A new channel.
pub(super) fn channel<M>() -> (Sender<M>, Receiver<M>) {
    let state = State { messages: VecDeque::new(), has_sender: true, has_receiver: true, woken: None };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Sender<M> {
    /// Puts a message into the channel. It waits for nothing.
    pub fn send(&self, message: M) -> Result<(), Closed> {
        let mut state = self.0.state();
        if !state.has_receiver {
            return Err(Closed);
        }
        state.messages.push_back(message);
        let now = Instant::now();
        if state.woken.is_none_or(|woken| now.duration_since(woken) >= PAUSE) {
            state.woken = Some(now);
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        self.0.state().has_sender = false;
        self.0.changed.notify_one();
    }
}

impl<M> Receiver<M> {
    /// Waits for the next message.
    pub(super) fn receive_within(&self, patience: Duration) -> Result<M, NoMessage> {
        let end = Instant::now() + patience;
        let mut state = self.0.state();
        loop {
            if let Some(message) = state.messages.pop_front() {
                return Ok(message);
            }
            if !state.has_sender {
                return Err(NoMessage::Ever);
            }
            let now = Instant::now();
            let left = end.saturating_duration_since(now);
            if left.is_zero() {
                return Err(NoMessage::Yet);
            }
            // A message wakes nobody for a pause after one that did. So only who sleeps after that sleeps on.
            let looks_by_itself = state.woken.is_some_and(|woken| now.duration_since(woken) < 2 * PAUSE);
            let wait = if looks_by_itself { left.min(PAUSE) } else { left };
            state = self.0.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<M> Drop for Receiver<M> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_receiver = false;
        // What is in them may lead to much.
        let messages = std::mem::take(&mut state.messages);
        drop(state);
        drop(messages);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn all_messages_come_in_order_before_the_end() {
        let (sender, receiver) = channel();
        let work = thread::spawn(move || (0..100_000).for_each(|number| sender.send(number).expect("a receiver")));
        for number in 0..100_000 {
            assert_eq!(receiver.receive_within(LONG), Ok(number));
        }
        assert_eq!(receiver.receive_within(LONG), Err(NoMessage::Ever));
        work.join().expect("no panic");
    }

    #[test]
    fn a_message_right_after_another_is_not_forgotten() {
        let (sender, receiver) = channel();
        let work = thread::spawn(move || {
            for number in 0..20 {
                sender.send(number).expect("a receiver");
                sender.send(number).expect("a receiver");
                thread::sleep(Duration::from_micros(400 * number));
            }
            thread::sleep(LONG);
        });
        for number in 0..20 {
            assert_eq!(receiver.receive_within(LONG / 2), Ok(number));
            assert_eq!(receiver.receive_within(LONG / 2), Ok(number));
        }
        assert_eq!(receiver.receive_within(Duration::from_millis(5)), Err(NoMessage::Yet));
        drop(work);
    }

    #[test]
    fn a_sender_whose_receiver_is_gone_is_told() {
        let (sender, receiver) = channel();
        assert_eq!(sender.send(1), Ok(()));
        drop(receiver);
        assert_eq!(sender.send(2), Err(Closed));
    }
}
