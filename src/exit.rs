// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The exit status.

use crate::interrupt::Signal;

/// How a run ended, the least serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitStatus {
    /// `--show`: the list was made. Removal: nothing is left.
    Done = 0,
    /// `--show --exit-code`: something is left. Removal: something was kept, could not be removed, or cannot be known.
    Left = 1,
    /// The command line is wrong, or a checkpoint cannot be read; then nothing of it was touched.
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
    /// That of a run that a signal ended.
    pub fn of_signal(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => ExitStatus::Hangup,
            Signal::Interrupt => ExitStatus::Interrupt,
            Signal::Terminate => ExitStatus::Terminate,
        }
    }

    /// The signal by which the program has to end, if it has to.
    pub fn signal(self) -> Option<Signal> {
        match self {
            ExitStatus::Done | ExitStatus::Left | ExitStatus::Unusable => None,
            ExitStatus::Hangup => Some(Signal::Hangup),
            ExitStatus::Interrupt => Some(Signal::Interrupt),
            ExitStatus::Terminate => Some(Signal::Terminate),
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        std::process::ExitCode::from(status as u8)
    }
}
