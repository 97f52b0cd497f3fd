// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much memory the facts of the images may take, in a directory as in an archive.
//!
//! The author of the images decides how many facts there are. Each is charged with its maximum cost from the search to
//! the report, so that the whole run stays within the limit.

use super::ReadError;

/// What all facts together may take, in bytes. No real checkpoint comes near: it is ninety thousand link remaps.
const LIMIT: u64 = 256 * 1024 * 1024;

/// How often the bytes of a name are held at most: in its entry, in what is derived and found, and in what is told.
const COPIES: usize = 8;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

/// What a kind of fact takes beside its names, measured with as many of each as the limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    /// A remap entry: mostly a link remap, with its two files.
    Remap = 2_300,
    Connection = 1_750,
    /// A Unix socket whose path was deleted.
    UnixSocket = 1_700,
    Mount = 660,
    Task = 400,
    /// A device or an address.
    Interface = 300,
    /// An entry that CRIU would not have written so.
    Odd = 160,
    /// A regular file's id and nothing else.
    Id = 16,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { left: LIMIT }
    }
}

impl Budget {
    /// Takes what a fact with names of this length costs.
    pub(super) fn charge(&mut self, fact: Fact, names: usize) -> Result<(), ReadError> {
        let cost = fact as u64 + (names as u64).saturating_mul(COPIES as u64);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(ReadError::TooMuch { limit: LIMIT >> 20 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fact: Fact, names: usize, fits: u32, exceeds: u32) {
        let charged = |count: u32| {
            let mut budget = Budget::default();
            (0..count).try_for_each(|_| budget.charge(fact, names))
        };
        assert!(charged(fits).is_ok());
        assert!(matches!(charged(exceeds), Err(ReadError::TooMuch { limit: 256 })));
    }

    #[test]
    fn what_a_large_checkpoint_has_is_read_and_ten_times_that_is_not() {
        check(Fact::Remap, 72, 90_000, 300_000);
        check(Fact::Connection, 0, 150_000, 500_000);
        check(Fact::Mount, 5, 380_000, 1_000_000);
        check(Fact::Task, 0, 600_000, 1_000_000);
        check(Fact::Id, 0, 10_000_000, 20_000_000);
    }
}
