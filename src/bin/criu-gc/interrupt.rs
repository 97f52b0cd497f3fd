// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signals that end a removal: SIGHUP, SIGINT and SIGTERM.
//!
//! The current step finishes and no other begins. criu-gc examines the system again, reports, and ends by the same
//! signal, so that a shell loop ends too. A second signal ends it at once, like any crash. Before a removal begins
//! signals have their default effect, because nothing has changed yet. A signal that was ignored at the start stays
//! ignored (`nohup`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::Signal as KernelSignal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::process;

/// A signal that ends a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
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
    pub(crate) const fn number(self) -> i32 {
        match self {
            Signal::Hangup => SIGHUP,
            Signal::Interrupt => SIGINT,
            Signal::Terminate => SIGTERM,
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        }
    }

    /// The one of this number.
    pub(crate) fn of_number(number: i32) -> Option<Self> {
        Signal::ALL.into_iter().find(|signal| signal.number() == number)
    }
}

/// Whether a removal is to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    /// The number of the last signal; 0 where there was none.
    received: Arc<AtomicUsize>,
}

/// Where a parent tells the number of a signal that it was sent.
static OF_PARENT: OnceLock<File> = OnceLock::new();

/// From now on a parent may tell in this file, in its first byte, that a signal has come.
pub(crate) fn listen_to(parent: File) {
    let _ = OF_PARENT.set(parent);
}

fn told_by_parent() -> Option<Signal> {
    let mut number = [0];
    OF_PARENT.get()?.read_exact_at(&mut number, 0).ok()?;
    Signal::of_number(number[0].into())
}

impl From<Signal> for KernelSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => KernelSignal::HUP,
            Signal::Interrupt => KernelSignal::INT,
            Signal::Terminate => KernelSignal::TERM,
        }
    }
}

impl Interrupt {
    /// From now on signals are only counted.
    pub(crate) fn count() -> io::Result<Self> {
        let interrupt = Interrupt::default();
        let ignored = process::ignored_signals();
        for signal in Signal::ALL.into_iter().filter(|signal| !ignored.contains(signal.number())) {
            let number = usize::try_from(signal.number()).unwrap_or_default();
            flag::register_usize(signal.number(), Arc::clone(&interrupt.received), number)?;
        }
        Ok(interrupt)
    }

    /// A socket that can be read once a signal has come.
    pub(crate) fn wake() -> io::Result<UnixStream> {
        let (wake, of_signals) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let ignored = process::ignored_signals();
        for signal in Signal::ALL.into_iter().filter(|signal| !ignored.contains(signal.number())) {
            signal_hook::low_level::pipe::register(signal.number(), of_signals.try_clone()?)?;
        }
        Ok(wake)
    }

    /// The signal that came last, once.
    pub(crate) fn take(&self) -> Option<Signal> {
        Signal::of_number(i32::try_from(self.received.swap(0, Ordering::Relaxed)).ok()?)
    }

    /// From now on signals are waited for, and end the program only when they are asked about.
    pub(crate) fn watch() -> io::Result<Self> {
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
    pub(crate) fn signal(&self) -> Option<Signal> {
        let received = i32::try_from(self.received.load(Ordering::Relaxed)).ok()?;
        Signal::of_number(received).or_else(told_by_parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_told() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.signal(), None);
        interrupt.received.store(15, Ordering::Relaxed);
        assert_eq!(interrupt.signal(), Some(Signal::Terminate));
    }
}
