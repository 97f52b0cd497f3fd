// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be wrong with an image, and where.
//!
//! No text from the image is in it: what is printed here is safe for a terminal.

use std::io;

/// Something in an image that could not be read, and where.
///
/// If the source of the bytes failed, [`source`](std::error::Error::source) gives that error; it is not part of the
/// message.
///
/// ```
/// use criu_images::{ErrorKind, ImageReader, PstreeEntry};
///
/// // A dump was killed while it wrote this image: the record is 16 bytes long, of which there are 3.
/// let image = b"\x19CVT00'P\x10\0\0\0\x08\x07\x10";
/// let mut tree: ImageReader<_, PstreeEntry> = ImageReader::open(&image[..])?;
/// let error = tree.next().unwrap().unwrap_err();
///
/// assert_eq!(error.to_string(), "at offset 8: the file ends after 3 of the 16 bytes that belong here");
/// assert_eq!(error.offset(), 8);
/// assert_eq!(*error.kind(), ErrorKind::Truncated { expected: 16, found: 3 });
/// assert!(error.is_truncation());
/// # Ok::<(), criu_images::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("at offset {offset}: {kind}")]
pub struct Error {
    offset: u64,
    kind: ErrorKind,
    source: Option<io::Error>,
}

/// The ways in which an image can be unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file is empty. CRIU creates an image before it writes the magic number.
    #[error("the file is empty")]
    Empty,
    /// The file ends in the middle of a magic number, a length or a record.
    #[error("the file ends after {found} of the {expected} bytes that belong here")]
    Truncated {
        /// How many bytes there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The magic number is not that of this kind of image, in either byte order.
    #[error("the magic number is {found:#010x}, but that of this kind of image is {expected:#010x}")]
    ForeignMagic {
        /// The number in the file.
        found: u32,
        /// The number of this kind of image.
        expected: u32,
    },
    /// The length of the record exceeds [`RECORD_LIMIT`](crate::RECORD_LIMIT).
    #[error("the record says it is {length} bytes long, more than the limit of {limit}")]
    RecordTooLarge {
        /// The length that the record gives for itself.
        length: u32,
        /// [`RECORD_LIMIT`](crate::RECORD_LIMIT).
        limit: u32,
    },
    /// All bytes are there, but they are not an entry of this kind of image.
    #[error("{reason}")]
    Malformed {
        /// What is wrong, for people to read.
        reason: String,
    },
    /// The source of the bytes failed.
    #[error("cannot read")]
    Read,
}

impl Error {
    /// Where in the file the part begins that could not be read. For a record this is the offset of its length.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong there.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whether the file only ends too early, as it does after an interrupted dump. Any other error means that the file
    /// holds something that CRIU does not write, or that it could not be read.
    pub fn is_truncation(&self) -> bool {
        matches!(self.kind, ErrorKind::Empty | ErrorKind::Truncated { .. })
    }

    pub(crate) fn new(offset: u64, kind: ErrorKind) -> Self {
        Error { offset, kind, source: None }
    }

    pub(crate) fn truncated(offset: u64, expected: u64, found: u64) -> Self {
        Error::new(offset, ErrorKind::Truncated { expected, found })
    }

    pub(crate) fn malformed(offset: u64, reason: impl Into<String>) -> Self {
        Error::new(offset, ErrorKind::Malformed { reason: reason.into() })
    }

    pub(crate) fn read(offset: u64, source: io::Error) -> Self {
        Error { offset, kind: ErrorKind::Read, source: Some(source) }
    }
}
