// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A checkpoint between two steps: an error ends the work on this checkpoint, and on no other.

use std::path::PathBuf;

use crate::error::Error;

/// What is known of a checkpoint after a step, or why it cannot be used.
#[derive(Debug)]
pub(super) struct Candidate<T> {
    /// How it is named to people.
    pub(super) path: PathBuf,
    pub(super) state: Result<T, Error>,
}

impl<T> Candidate<T> {
    /// Takes the next step, unless an earlier one has failed.
    pub(super) fn and_then<U>(self, step: impl FnOnce(T) -> Result<U, Error>) -> Candidate<U> {
        Candidate { path: self.path, state: self.state.and_then(step) }
    }

    /// What is known, unless a step has failed.
    pub(super) fn usable(&self) -> Option<&T> {
        self.state.as_ref().ok()
    }
}
