// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be wrong with an image, and where.
//!
//! A reader never gives up what it read before a problem, so a problem says no more than its own place. No text from
//! the image is in it: what is printed here is safe for a terminal.

use std::io;

/// Something in an image that could not be read.
///
/// The text of the cause is part of this one's, hence there is no [`source`](std::error::Error::source) to print after it.
#[derive(Debug, thiserror::Error)]
#[error("at offset {offset}: {kind}")]
pub struct Problem {
    /// Where in the file what could not be read begins: for a record, its length field.
    pub offset: u64,
    /// What is wrong there.
    pub kind: ProblemKind,
}

/// The ways in which an image can be unreadable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// There is not one byte. CRIU creates an image before it writes its magic number.
    #[error("the file is empty")]
    Empty,
    /// The file ends before what was begun in it does.
    #[error("the file ends after {found} of the {expected} bytes that belong here")]
    Truncated {
        /// How many bytes what was begun has.
        expected: u64,
        /// How many of them are there.
        found: u64,
    },
    /// The magic number is not that of this kind of image, in either byte order.
    #[error("the magic number is {found:#010x}, but that of this kind of image is {expected:#010x}")]
    ForeignMagic {
        /// The number found.
        found: u32,
        /// The number due.
        expected: u32,
    },
    /// The record says it is longer than this crate is ready to hold.
    #[error("the record says it is {length} bytes long, more than the limit of {limit}")]
    RecordTooLarge {
        /// The length the record gives for itself.
        length: u32,
        /// [`RECORD_LIMIT`](crate::RECORD_LIMIT).
        limit: u32,
    },
    /// All the bytes are there, but they are not what they should be.
    #[error("{reason}")]
    Malformed {
        /// What was found to be wrong.
        reason: String,
    },
    /// The source of the bytes failed.
    #[error("cannot read: {0}")]
    Read(io::Error),
}

impl Problem {
    /// Whether the file merely ends too soon, as it does where a dump was interrupted. With any other problem the
    /// file holds what CRIU does not write.
    pub fn is_truncation(&self) -> bool {
        matches!(self.kind, ProblemKind::Empty | ProblemKind::Truncated { .. })
    }

    pub(crate) fn truncated(offset: u64, expected: u64, found: u64) -> Self {
        Problem { offset, kind: ProblemKind::Truncated { expected, found } }
    }

    pub(crate) fn malformed(offset: u64, reason: impl Into<String>) -> Self {
        Problem { offset, kind: ProblemKind::Malformed { reason: reason.into() } }
    }
}
