// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the index could not read: its statements do not include that.

use std::fmt;
use std::path::PathBuf;

/// A store, images or a record that the index does not include, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// Where it is: what is below may hold checkpoints.
    pub place: PathBuf,
    /// Why it was not read.
    pub why: Why,
}

/// Why something was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It could not be opened or decoded: the error.
    Unreadable(String),
    /// Its filesystem does not answer.
    Silent,
    /// It is on a filesystem of this type, which a server serves.
    Remote(String),
    /// It is an archive that has to be decompressed.
    Compressed,
    /// It is the store of an engine that keeps archives: only the engine knows which of them are checkpoints.
    Archives,
    /// A limit was reached.
    Limit(Limit),
}

/// A limit of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many checkpoints were read.
    Checkpoints(usize),
    /// So many bytes of images were read.
    Bytes(u64),
    /// So many names were looked at.
    Names(usize),
    /// So many checkpoints were examined.
    Candidates(usize),
    /// The time was over.
    Time,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.display();
        match &self.why {
            Why::Unreadable(error) => write!(f, "{place}: {error}"),
            Why::Silent => write!(f, "{place} does not answer"),
            Why::Remote(fstype) => write!(f, "{place} is on {fstype} and was not read"),
            Why::Compressed => write!(f, "{place} is compressed and was not read"),
            Why::Archives => write!(f, "{place} may hold checkpoints as archives, which were not read"),
            Why::Limit(limit) => write!(f, "{place} was not read: {limit}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Checkpoints(most) => write!(f, "the index holds at most {most} checkpoints"),
            Limit::Bytes(most) => write!(f, "the index reads at most {} MiB of images", most >> 20),
            Limit::Names(most) => write!(f, "the index looks at no more than {most} names"),
            Limit::Candidates(most) => write!(f, "at most {most} checkpoints are examined for the owners of objects"),
            Limit::Time => write!(f, "no time was left"),
        }
    }
}
