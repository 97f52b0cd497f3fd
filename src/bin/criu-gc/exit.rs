// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The exit status.

use std::process::ExitCode;

use crate::interrupt::Signal;
use crate::process;

/// How a run ended, the least serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// All is well.
    Done = 0,
    /// Something is left.
    Left = 1,
    /// Nothing was touched.
    Unusable = 2,
    /// SIGHUP ended the removal early. The program ends by the signal, which a shell shows as this number, as with the
    /// next two.
    Hangup = 129,
    /// SIGINT ended it.
    Interrupt = 130,
    /// SIGTERM ended it.
    Terminate = 143,
}

impl ExitStatus {
    /// All of them.
    pub(crate) const ALL: [ExitStatus; 6] = [
        ExitStatus::Done,
        ExitStatus::Left,
        ExitStatus::Unusable,
        ExitStatus::Hangup,
        ExitStatus::Interrupt,
        ExitStatus::Terminate,
    ];

    /// What it means, in a sentence for the user.
    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            ExitStatus::Done => "--show listed everything, or nothing is left after a removal",
            ExitStatus::Left => {
                "something that is certainly this checkpoint's is left, or it cannot be known whether something is \
                 (with --show only if --exit-code is given)"
            }
            ExitStatus::Unusable => {
                "the command line is wrong, or a given checkpoint cannot be used or is locked by another run: nothing \
                 of any checkpoint was touched"
            }
            ExitStatus::Hangup => "SIGHUP ended the removal after the current step",
            ExitStatus::Interrupt => "SIGINT ended the removal after the current step",
            ExitStatus::Terminate => "SIGTERM ended the removal after the current step",
        }
    }

    /// That of a run that a signal ended.
    pub(crate) fn of_signal(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => ExitStatus::Hangup,
            Signal::Interrupt => ExitStatus::Interrupt,
            Signal::Terminate => ExitStatus::Terminate,
        }
    }
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this status.
    Status(u8),
    /// By a signal of this number.
    Signal(i32),
}

impl End {
    /// The end that a status stands for, where a shell shows a signal as a status.
    pub(crate) fn of_number(status: u8) -> Self {
        let by_signal = [Signal::Hangup, Signal::Interrupt, Signal::Terminate].into_iter();
        let mut by_signal = by_signal.filter(|signal| ExitStatus::of_signal(*signal) as u8 == status);
        by_signal.next().map_or(End::Status(status), |signal| End::Signal(signal.number()))
    }

    /// Ends this process so, or gives the status to end it with.
    pub(crate) fn follow(self) -> ExitCode {
        match self {
            End::Status(status) => ExitCode::from(status),
            End::Signal(number) => {
                // It only returns if it failed, and then the number has to do.
                let _ = process::end_by_signal(number);
                ExitCode::from(u8::try_from(number).map_or(u8::MAX, |number| number.saturating_add(128)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_stand_for_a_signal() {
        assert_eq!(End::of_number(143), End::Signal(15));
        assert_eq!(End::of_number(1), End::Status(1));
    }
}
