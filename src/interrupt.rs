// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signals that ask a removal to end: SIGHUP, SIGINT and SIGTERM.
//!
//! The step at hand is finished, no other one is begun, the system is looked at again, what happened is reported, and
//! then the program ends by the same signal, so that a shell's loop around it ends too. A second signal ends it at
//! once, which is no worse than any crash. Until a removal begins signals do what they always do, since nothing has
//! been changed yet. A signal that was ignored when the program started stays ignored (`nohup`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::system::process;

/// A signal that ends a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The terminal was closed.
    Hangup,
    /// Somebody pressed the key for it.
    Interrupt,
    /// Somebody, a service manager say, wants it to end.
    Terminate,
}

impl Signal {
    const ALL: [Signal; 3] = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];

    /// Its number.
    pub const fn number(self) -> i32 {
        match self {
            Signal::Hangup => SIGHUP,
            Signal::Interrupt => SIGINT,
            Signal::Terminate => SIGTERM,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        }
    }

    /// Ends the program by this signal, as if it had not been waited for.
    pub fn end_program(self) -> io::Result<()> {
        low_level::emulate_default_handler(self.number())
    }
}

/// Whether a removal is to end.
#[derive(Debug, Default)]
pub struct Interrupt {
    /// The number of the last signal; 0 where there was none.
    received: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on signals are waited for, and end the program only when they are asked about.
    pub fn watch() -> io::Result<Self> {
        let interrupt = Interrupt::default();
        let ignored = process::ignored_signals();
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in Signal::ALL.into_iter().filter(|signal| !ignored.contains(signal.number())) {
            // In the order in which they are registered: the first signal passes the first of them by.
            flag::register_conditional_default(signal.number(), Arc::clone(&is_second))?;
            flag::register(signal.number(), Arc::clone(&is_second))?;
            let number = usize::try_from(signal.number()).unwrap_or_default();
            flag::register_usize(signal.number(), Arc::clone(&interrupt.received), number)?;
        }
        Ok(interrupt)
    }

    /// The signal that came, if one did.
    pub fn signal(&self) -> Option<Signal> {
        let received = i32::try_from(self.received.load(Ordering::Relaxed)).ok()?;
        Signal::ALL.into_iter().find(|signal| signal.number() == received)
    }

    /// Whether the next step may begin; else why not, in words for people.
    pub fn may_go_on(&self) -> Result<(), String> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => {
                Err(format!("{} ended the run before this was reached; run criu-gc once more", signal.name()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_told_and_stops_the_next_step() {
        let interrupt = Interrupt::default();
        assert_eq!((interrupt.signal(), interrupt.may_go_on()), (None, Ok(())));
        interrupt.received.store(15, Ordering::Relaxed);
        assert_eq!(interrupt.signal(), Some(Signal::Terminate));
        assert!(interrupt.may_go_on().is_err_and(|why| why.starts_with("SIGTERM ")));
    }
}
