// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the bytes of a source to those of a tar archive, with counts of what goes in and what comes out.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::error::{ArchiveError, Limit};
use super::source::{Bytes, Progress};
use super::{BLOCK, extension};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// One or several members of gzip (RFC 1952).
    Gzip,
    /// One or several frames of zstd (RFC 8878).
    Zstd,
}

impl Compression {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "tar",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// What follows the words for what is in the archive.
    pub const fn words(self) -> &'static str {
        match self {
            Compression::None => " in a tar archive",
            Compression::Gzip => " in a tar archive with gzip",
            Compression::Zstd => " in a tar archive with zstd",
        }
    }
}

/// What was read of an archive and of those in it, and who gets the progress.
pub struct Meter<'a> {
    read: Cell<u64>,
    unpacked: Cell<u64>,
    entries: Cell<u64>,
    kept: Cell<u64>,
    progress: &'a dyn Fn(Progress<'_>),
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("read", &self.read).field("unpacked", &self.unpacked).finish_non_exhaustive()
    }
}

impl<'a> Meter<'a> {
    /// Nothing was read yet; `progress` is called while it is.
    pub fn new(progress: &'a dyn Fn(Progress<'_>)) -> Self {
        let zero = || Cell::new(0);
        Meter { read: zero(), unpacked: zero(), entries: zero(), kept: zero(), progress }
    }

    /// Counts bytes that are kept in memory.
    pub(super) fn keep(&self, bytes: u64) -> Result<(), Limit> {
        within(&self.kept, bytes, Limit::KEPT, Limit::Kept)
    }

    pub(super) fn count_entry(&self) -> Result<(), Limit> {
        within(&self.entries, 1, Limit::ENTRIES, Limit::Entries)
    }

    pub(super) fn count_read(&self, bytes: u64, progress: Progress<'_>) {
        self.read.set(self.read.get().saturating_add(bytes));
        (self.progress)(progress);
    }

    pub(super) fn count_unpacked(&self, bytes: u64) -> Result<(), Limit> {
        within(&self.unpacked, bytes, Limit::SIZE, Limit::Size)?;
        let unpacked = self.unpacked.get();
        let is_bomb = unpacked > Limit::RATIO_FROM && unpacked / Limit::RATIO > self.read.get();
        if is_bomb { Err(Limit::Ratio) } else { Ok(()) }
    }
}

fn within(count: &Cell<u64>, more: u64, most: u64, limit: Limit) -> Result<(), Limit> {
    count.set(count.get().saturating_add(more));
    if count.get() > most { Err(limit) } else { Ok(()) }
}

/// Bytes of which many can be passed over.
pub(super) trait Skip: Read {
    /// Passes over so many bytes; an error where there are not so many.
    fn skip(&mut self, count: u64) -> io::Result<()> {
        read_over(self, count)
    }

    /// Reads on to the end, where that tells anything: whether checksums are right; and a pipe should be emptied.
    fn drain(&mut self) -> io::Result<()> {
        read_to_end(self)
    }
}

fn read_over(reader: &mut (impl Read + ?Sized), count: u64) -> io::Result<()> {
    let passed = io::copy(&mut reader.take(count), &mut io::sink())?;
    if passed == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_to_end(reader: &mut (impl Read + ?Sized)) -> io::Result<()> {
    io::copy(reader, &mut io::sink()).map(|_| ())
}

/// The bytes of a source, counted.
pub(super) struct Input<'a> {
    pub(super) bytes: Bytes<'a>,
    pub(super) meter: &'a Meter<'a>,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.meter.count_read(count as u64, self.bytes.progress());
        Ok(count)
    }
}

impl Skip for Input<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if !self.bytes.seek_over(count)? {
            return read_over(self, count);
        }
        self.meter.count_read(0, self.bytes.progress());
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        if self.bytes.are_of_a_file() { Ok(()) } else { read_to_end(self) }
    }
}

/// The first bytes of something, which show what it is.
#[derive(Debug, Clone)]
pub struct Head(Vec<u8>);

/// What something begins with that is no archive, and what can be done about it.
const OTHERS: [(&[u8], &str); 6] = [
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "it is an xz file, decompress it first: xz -dc FILE | criu-gc -"),
    (b"BZh", "it is a bzip2 file, decompress it first: bzip2 -dc FILE | criu-gc -"),
    (&[0x04, 0x22, 0x4d, 0x18], "it is an lz4 file, decompress it first: lz4 -dc FILE | criu-gc -"),
    (b"PK", "it is a zip file: unpack it and name the directory"),
    // The magic numbers that CRIU's images begin with (IMG_COMMON_MAGIC and INVENTORY_MAGIC, criu/include/magic.h).
    (&[0x19, 0x43, 0x56, 0x54], "it is a CRIU image: name its directory"),
    (&[0x16, 0x31, 0x31, 0x58], "it is a CRIU image: name its directory"),
];

impl Head {
    /// Reads it.
    pub(super) fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut head = Vec::with_capacity(BLOCK);
        reader.take(BLOCK as u64).read_to_end(&mut head)?;
        Ok(Head(head))
    }

    /// How the archive is compressed that begins so; `None` for what is no archive.
    pub fn compression(&self) -> Option<Compression> {
        match self.0.as_slice() {
            [0x1f, 0x8b, ..] => Some(Compression::Gzip),
            // The magic number of a frame, or one of those of a skippable one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            head if extension::is_tar(head) => Some(Compression::None),
            _ => None,
        }
    }

    /// Whether JSON begins so.
    pub fn is_document(&self) -> bool {
        matches!(self.0.first(), Some(b'{' | b'['))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn no_archive(&self) -> ArchiveError {
        let known = || OTHERS.iter().find(|(magic, _)| self.0.starts_with(magic)).map(|(_, hint)| *hint);
        let hint = if self.0.is_empty() { Some("it is empty") } else { known() };
        ArchiveError::NoArchive { hint }
    }
}

/// What begins with a head that was read already.
struct Headed<R> {
    head: Cursor<Vec<u8>>,
    rest: R,
}

impl<R: Read> Read for Headed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buffer)? {
            0 => self.rest.read(buffer),
            count => Ok(count),
        }
    }
}

impl<R: Skip> Skip for Headed<R> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let there = (self.head.get_ref().len() as u64).saturating_sub(self.head.position());
        let of_head = count.min(there);
        self.head.set_position(self.head.position() + of_head);
        if count > of_head { self.rest.skip(count - of_head) } else { Ok(()) }
    }

    fn drain(&mut self) -> io::Result<()> {
        self.rest.drain()
    }
}

/// What comes out of a decompressor, counted.
struct Unpacked<'a, R> {
    decoder: R,
    meter: &'a Meter<'a>,
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.meter.count_unpacked(count as u64).map_err(io::Error::other)?;
        Ok(count)
    }
}

impl<R: Read> Skip for Unpacked<'_, R> {}

/// The bytes of the tar archive in `packed`, which begins with `head`.
pub(super) fn unpacked<'a>(
    head: Head,
    packed: impl Skip + 'a,
    meter: &'a Meter<'a>,
) -> Result<(Compression, Box<dyn Skip + 'a>), ArchiveError> {
    let Some(compression) = head.compression() else { return Err(head.no_archive()) };
    let packed = Headed { head: Cursor::new(head.0), rest: packed };
    let tar: Box<dyn Skip + 'a> = match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(Unpacked { decoder: MultiGzDecoder::new(packed), meter }),
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::new(packed)?;
            decoder.window_log_max(Limit::WINDOW_LOG)?;
            Box::new(Unpacked { decoder, meter })
        }
    };
    Ok((compression, tar))
}
