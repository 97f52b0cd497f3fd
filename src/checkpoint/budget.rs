// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much memory the facts of the images may take, in a directory as in an archive.
//!
//! Whoever wrote the images says how many facts there are. Each is charged with what it comes to at most on its whole way,
//! as it is looked for, judged and told, so that the whole run stays within the limit.

use super::ReadError;

/// What all facts together may take, in bytes. No real checkpoint comes near: it is a hundred thousand link remaps.
const LIMIT: u64 = 256 * 1024 * 1024;

/// How often the bytes of a name are held at most: in its entry, in what is derived and found, and in what is told.
const COPIES: usize = 8;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

/// What a kind of fact takes beside its names, measured with tens of thousands of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    /// A remap entry: mostly a link remap, with its two files.
    Remap = 2_300,
    Connection = 1_750,
    Mount = 660,
    Task = 400,
    /// A device or an address.
    Interface = 300,
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

    #[test]
    fn a_hundred_thousand_link_remaps_are_read_and_a_million_is_not() {
        let charged = |count: u32| {
            let mut budget = Budget::default();
            (0..count).try_for_each(|_| budget.charge(Fact::Remap, 0))
        };
        assert!(charged(100_000).is_ok());
        assert!(matches!(charged(1_000_000), Err(ReadError::TooMuch { limit: 256 })));
    }
}
