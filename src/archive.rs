// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads tar archives as streams: plain, or compressed with gzip or zstd.
//!
//! Nothing is unpacked to disk. What is asked for is read into memory, up to a limit that the caller gives; the rest is
//! passed over, in a plain archive by seeking. Everything in an archive is somebody else's word, so each thing that could
//! be without end has a limit with a name ([`Limit`]), and what memory is taken does not depend on the archive's size.

mod entries;
mod error;
mod extension;
mod source;
mod sparse;
mod stream;

pub use entries::{Entries, Entry, EntryKind};
pub use error::{ArchiveError, Limit};
pub use source::{Progress, Source};
pub use stream::{Compression, Head, Meter};

/// The size of a header of a tar archive, and of the blocks in which it is counted.
const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
