// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The exit status.

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
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        std::process::ExitCode::from(status as u8)
    }
}
