// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Errors of archives.

use std::fmt;
use std::io;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The system or the decompressor returned an error.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It is truncated.
    #[error("it is truncated or still being written: it ends {place}")]
    Cut {
        /// Where, as the end of a sentence.
        place: &'static str,
    },
    /// It is not a supported archive.
    #[error("it is not a tar archive, plain or compressed with gzip or zstd{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())]
    NoArchive {
        /// What it is, if known, and what to do.
        hint: Option<&'static str>,
    },
    /// A header is invalid.
    #[error("the header at offset {offset} of the unpacked archive {text}")]
    Header {
        /// Its offset in bytes.
        offset: u64,
        /// What is wrong, as the end of a sentence.
        text: &'static str,
    },
    /// It exceeds a limit that no real checkpoint reaches.
    #[error("{0}. If this is expected, unpack it first and name the directory")]
    Limit(Limit),
}

/// A limit against decompression bombs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The memory that a zstd frame asks for.
    Window,
    /// How much comes out of how little.
    Ratio,
    /// How much comes out.
    Size,
    /// How many entries there are.
    Entries,
    /// How large the headers of one entry are.
    Header,
    /// How long the path of a file is that has to be read.
    Path,
    /// Of how many pieces a sparse file consists that has to be read.
    Pieces,
    /// How large the files are that have to be kept in memory.
    Kept,
}

impl Limit {
    /// A window of more than this many bytes, as a power of two; it is also what `zstd -d` allows by default.
    pub const WINDOW_LOG: u32 = 27;
    /// Bytes that may come out of one, once more than [`Limit::RATIO_FROM`] have. Pages of zeros give more than gzip's
    /// 1,032; those of a real process do not come near this.
    pub const RATIO: u64 = 10_000;
    /// So many bytes may come out of anything.
    pub const RATIO_FROM: u64 = 4 << 30;
    /// Bytes that may come out in all.
    pub const SIZE: u64 = 4 << 40;
    /// Entries.
    pub const ENTRIES: u64 = 4_000_000;
    /// Bytes of the extension headers of one entry (long names, PAX records).
    pub const HEADER: u64 = 1 << 20;
    /// Bytes of a path (`PATH_MAX`).
    pub const PATH: usize = 4096;
    /// Pieces of a sparse file.
    pub const PIECES: usize = 65_536;
    /// Bytes of all files that are kept.
    pub const KEPT: u64 = 256 << 20;
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Window => write!(f, "its zstd frames need a window larger than 2^{} bytes", Limit::WINDOW_LOG),
            Limit::Ratio => write!(f, "each of its bytes expands to more than {} bytes", Limit::RATIO),
            Limit::Size => write!(f, "it expands to more than {} TiB", Limit::SIZE >> 40),
            Limit::Entries => write!(f, "it has more than {} entries", Limit::ENTRIES),
            Limit::Header => write!(f, "the headers of one entry are larger than {} MiB", Limit::HEADER >> 20),
            Limit::Path => write!(f, "the path of an image in it is longer than {} bytes", Limit::PATH),
            Limit::Pieces => write!(f, "a sparse image in it has more than {} pieces", Limit::PIECES),
            Limit::Kept => write!(f, "the images and metadata in it are larger than {} MiB", Limit::KEPT >> 20),
        }
    }
}

impl std::error::Error for Limit {}

impl From<Limit> for ArchiveError {
    fn from(limit: Limit) -> Self {
        ArchiveError::Limit(limit)
    }
}

impl From<io::Error> for ArchiveError {
    /// Tells a limit that was met while reading, and the end of a compressed stream, from other errors.
    fn from(error: io::Error) -> Self {
        if let Some(limit) = error.get_ref().and_then(|inner| inner.downcast_ref::<Limit>()) {
            return ArchiveError::Limit(*limit);
        }
        // The decoder of zstd has no kind of its own for it (ZSTD_error_frameParameter_windowTooLarge).
        if error.to_string().contains("requires too much memory") {
            return ArchiveError::Limit(Limit::Window);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return ArchiveError::Cut { place: "in the middle of its compressed data" };
        }
        ArchiveError::Read(error)
    }
}
