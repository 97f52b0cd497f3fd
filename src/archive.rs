// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads tar archives as streams: plain, or compressed with gzip or zstd.
//!
//! Nothing is unpacked to disk. Requested files are read into memory, up to a limit from the caller; everything else is
//! skipped, in a plain archive by seeking. Archives are untrusted, so everything that could be endless has a named
//! limit ([`Limit`]), and memory use does not depend on the size of the archive.

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
