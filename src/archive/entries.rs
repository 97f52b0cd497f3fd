// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The entries of a tar archive, one after another.
//!
//! The header types are those of the `tar` crate. Its own walk over an archive reads extension headers without a limit,
//! and in raw mode ignores the sizes in them, so the walk is here.

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::BLOCK;
use super::error::{ArchiveError, Limit};
use super::extension::{Extension, Scope, has_right_sum, is_zero, size_in};
use super::source::Source;
use super::sparse::{Pieces, Sparse};
use super::stream::{Compression, Head, Input, Meter, Skip, unpacked};
use crate::time::Timestamp;

/// Walks over an archive.
pub struct Entries<'a> {
    tar: Box<dyn Skip + 'a>,
    meter: &'a Meter<'a>,
    compression: Compression,
    /// Bytes of the archive before the place where it is read.
    offset: u64,
    /// What is left of the current entry's content, and of the block that it ends in.
    content: u64,
    padding: u64,
    /// What PAX says of every entry that follows.
    global: Extension,
}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// An entry of an archive.
#[derive(Debug)]
pub struct Entry {
    /// Its path: names between single slashes. `..` may be among the names: nothing is opened by it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// When it was last written, as whoever made the archive says.
    pub modified: Timestamp,
    /// Its owner's number, in the same words.
    pub owner: u32,
    /// Its permissions.
    pub mode: u32,
    offset: u64,
    sparse: Option<Sparse>,
    /// The size that a sparse file has when it is whole.
    whole: Option<u64>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Another name for the file that stands at this path in the archive, further in front.
    HardLink(Vec<u8>),
    /// Something else: a symbolic link, a device, what one vendor alone knows.
    Other,
}

impl<'a> Entries<'a> {
    /// Those of a whole archive.
    pub fn open(source: &'a Source, meter: &'a Meter<'a>) -> Result<Self, ArchiveError> {
        let mut input = Input { bytes: source.bytes(), meter };
        let head = Head::read(&mut input).map_err(ArchiveError::Read)?;
        Self::of(head, input, meter)
    }

    fn of(head: Head, packed: impl Skip + 'a, meter: &'a Meter<'a>) -> Result<Self, ArchiveError> {
        let (compression, tar) = unpacked(head, packed, meter)?;
        Ok(Entries { tar, meter, compression, offset: 0, content: 0, padding: 0, global: Extension::default() })
    }

    /// How the archive is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The next entry; `None` at the end of the archive.
    #[allow(clippy::should_implement_trait, reason = "an entry's content is read from here before the next one")]
    pub fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extension = self.global.clone();
        let mut extensions: u64 = 0;
        loop {
            self.pass_over()?;
            let offset = self.offset;
            let Some(header) = self.header()? else { return Ok(None) };
            self.meter.count_entry()?;
            let kind = header.entry_type();
            let is_extension = kind.is_gnu_longname()
                || kind.is_gnu_longlink()
                || kind.is_pax_local_extensions()
                || kind.is_pax_global_extensions();
            if !is_extension {
                return self.entry(&header, &extension, offset).map(Some);
            }
            let size = size_in(&header).ok_or_else(|| no_number(offset))?;
            // A size can be any number of 64 bits.
            extensions = extensions.saturating_add(size);
            if extensions > Limit::HEADER {
                return Err(Limit::Header.into());
            }
            self.expect_content(size);
            let content = self.rest_of_content()?;
            let no_sense = || invalid(offset, "has invalid PAX records");
            if kind.is_pax_global_extensions() {
                self.global.add_pax(&content, Scope::All).ok_or_else(no_sense)?;
                extension.add_pax(&content, Scope::All).ok_or_else(no_sense)?;
            } else if kind.is_pax_local_extensions() {
                extension.add_pax(&content, Scope::Entry).ok_or_else(no_sense)?;
            } else {
                extension.add_gnu(kind, &content);
            }
        }
    }

    /// The content of the entry that was given last, when it is whole: at most as much as may be kept in memory, of
    /// which it takes its part.
    pub fn content(&mut self, entry: &Entry) -> Result<Vec<u8>, ArchiveError> {
        let size = entry.whole.unwrap_or(self.content).max(self.content);
        self.meter.keep(size)?;
        let stored = self.rest_of_content()?;
        let contradiction = || invalid(entry.offset, "has an invalid sparse map");
        let whole = usize::try_from(entry.whole.unwrap_or(size)).map_err(|_| contradiction())?;
        match &entry.sparse {
            None => Ok(stored),
            Some(Sparse::Pieces(pieces)) => pieces.whole(&stored, whole)?.ok_or_else(contradiction),
            Some(Sparse::InContent) => {
                let (pieces, data) = Pieces::in_content(&stored, BLOCK)?.ok_or_else(contradiction)?;
                let data = stored.get(data..).ok_or_else(contradiction)?;
                pieces.whole(data, whole)?.ok_or_else(contradiction)
            }
        }
    }

    /// Counts bytes that are kept in memory of what the entries say.
    pub fn keep(&self, bytes: u64) -> Result<(), Limit> {
        self.meter.keep(bytes)
    }

    /// How many bytes the archive holds of the entry that was given last.
    pub fn stored(&self) -> u64 {
        self.content
    }

    /// How the content of the entry that was given last begins. It is read by that: only [`Self::inner`] and
    /// [`Self::document`] can go on from there.
    pub fn head(&mut self) -> Result<Head, ArchiveError> {
        Head::read(&mut EntryContent { tar: &mut *self.tar, left: &mut self.content, offset: &mut self.offset })
            .map_err(ArchiveError::from)
    }

    /// The entries of the archive that is the content of the entry that was given last.
    pub fn inner(&mut self, head: Head) -> Result<Entries<'_>, ArchiveError> {
        let content = EntryContent { tar: &mut *self.tar, left: &mut self.content, offset: &mut self.offset };
        Entries::of(head, content, self.meter)
    }

    /// The whole content that begins with this head.
    pub fn document(&mut self, head: Head) -> Result<Vec<u8>, ArchiveError> {
        let mut document = head.into_bytes();
        self.meter.keep(document.len() as u64 + self.content)?;
        document.extend(self.rest_of_content()?);
        Ok(document)
    }

    /// Reads what follows the end of the archive, if it is compressed or comes through a pipe: so checksums are compared,
    /// and who writes into the pipe can write all of it.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        self.tar.drain().map_err(ArchiveError::from)
    }

    fn entry(&mut self, header: &Header, extension: &Extension, offset: u64) -> Result<Entry, ArchiveError> {
        let kind = kind_of(header, extension);
        let stored = match extension.size {
            _ if !has_content(header, &kind) => 0,
            Some(size) => size,
            None => size_in(header).ok_or_else(|| no_number(offset))?,
        };
        let (sparse, whole) = self.sparse(header, extension, offset)?;
        self.expect_content(stored);
        let seconds = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(i64::MAX);
        let number = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX);
        Ok(Entry {
            path: plain_path(&extension.path_of(header)),
            kind,
            modified: extension.modified.unwrap_or(Timestamp::new(seconds, 0)),
            owner: number(extension.owner.or_else(|| header.uid().ok())),
            mode: header.mode().unwrap_or(u32::MAX),
            offset,
            sparse,
            whole,
        })
    }

    /// Of a sparse file the map, and its size when it is whole.
    fn sparse(
        &mut self,
        header: &Header,
        extension: &Extension,
        offset: u64,
    ) -> Result<(Option<Sparse>, Option<u64>), ArchiveError> {
        if header.entry_type() != EntryType::GNUSparse {
            return Ok(extension.sparse().map_or((None, None), |(map, size)| (Some(map), size)));
        }
        let size = header.as_gnu().and_then(|gnu| gnu.real_size().ok());
        let size = size.ok_or_else(|| invalid(offset, "describes a sparse file without its size"))?;
        Ok((Some(Sparse::Pieces(self.gnu_pieces(header, offset)?)), Some(size)))
    }

    /// The map of a sparse file in GNU's format: four pieces in the header, 21 in each of the blocks that follow it.
    fn gnu_pieces(&mut self, header: &Header, offset: u64) -> Result<Pieces, ArchiveError> {
        let no_sense = || invalid(offset, "has an invalid sparse map");
        let gnu = header.as_gnu().ok_or_else(no_sense)?;
        let mut pieces = Pieces::default();
        let mut is_right = pieces.add_gnu(&gnu.sparse);
        let mut has_more = gnu.is_extended();
        while has_more {
            let mut block = GnuExtSparseHeader::new();
            self.meter.count_entry()?;
            self.read_block(block.as_mut_bytes())?;
            is_right &= pieces.add_gnu(block.sparse());
            has_more = block.is_extended();
        }
        if is_right { Ok(pieces) } else { Err(no_sense()) }
    }

    /// The header at this place; `None` for the block of zeros that ends an archive.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let offset = self.offset;
        let mut header = Header::new_old();
        self.read_block(header.as_mut_bytes())?;
        if is_zero(header.as_bytes()) {
            return Ok(None);
        }
        if !has_right_sum(&header) {
            return Err(invalid(offset, "has a wrong checksum"));
        }
        Ok(Some(header))
    }

    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<(), ArchiveError> {
        self.tar.read_exact(block).map_err(|error| cut(error, "without the blocks of zeros that end an archive"))?;
        self.offset += BLOCK as u64;
        Ok(())
    }

    fn expect_content(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Goes on to the next header.
    fn pass_over(&mut self) -> Result<(), ArchiveError> {
        let count = self.content.checked_add(self.padding);
        let count = count.ok_or_else(|| invalid(self.offset, "describes a file that is too large"))?;
        self.tar.skip(count).map_err(|error| cut(error, "in the middle of a file"))?;
        self.offset = self.offset.saturating_add(count);
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn rest_of_content(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let expected = self.content;
        // Not allocated beforehand: the size is somebody's word.
        let mut content = Vec::new();
        let read = (&mut self.tar).take(expected).read_to_end(&mut content)?;
        (self.content, self.offset) = (0, self.offset + read as u64);
        if read as u64 == expected { Ok(content) } else { Err(ArchiveError::Cut { place: "in the middle of a file" }) }
    }
}

/// What is left of an entry's content.
struct EntryContent<'e, 'a> {
    tar: &'e mut (dyn Skip + 'a),
    left: &'e mut u64,
    offset: &'e mut u64,
}

impl EntryContent<'_, '_> {
    fn take(&mut self, count: u64) {
        *self.left -= count;
        *self.offset += count;
    }
}

impl Read for EntryContent<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(*self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.tar.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.take(count as u64);
        Ok(count)
    }
}

impl Skip for EntryContent<'_, '_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if count > *self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.tar.skip(count)?;
        self.take(count);
        Ok(())
    }
}

fn kind_of(header: &Header, extension: &Extension) -> EntryKind {
    let kind = header.entry_type();
    if kind.is_dir() || (kind.is_file() && header.path_bytes().ends_with(b"/")) {
        EntryKind::Directory
    } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        EntryKind::File
    } else if kind.is_hard_link() {
        let target = extension.link.clone().or_else(|| Some(header.link_name_bytes()?.into_owned()));
        EntryKind::HardLink(plain_path(&target.unwrap_or_default()))
    } else {
        EntryKind::Other
    }
}

/// Links, devices and directories have a size sometimes, and no content ever. What is not known here may have some.
fn has_content(header: &Header, kind: &EntryKind) -> bool {
    let known = header.entry_type();
    let has_none = known.is_symlink() || known.is_character_special() || known.is_block_special() || known.is_fifo();
    match kind {
        EntryKind::File => true,
        EntryKind::Directory | EntryKind::HardLink(_) => false,
        EntryKind::Other => !has_none,
    }
}

/// A path without what means nothing: slashes at the ends and double ones, and `.`.
fn plain_path(path: &[u8]) -> Vec<u8> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.collect::<Vec<_>>().join(&b'/')
}

fn no_number(offset: u64) -> ArchiveError {
    invalid(offset, "has a size that is not a number")
}

fn invalid(offset: u64, text: &'static str) -> ArchiveError {
    ArchiveError::Header { offset, text }
}

fn cut(error: io::Error, place: &'static str) -> ArchiveError {
    let error = ArchiveError::from(error);
    if matches!(error, ArchiveError::Cut { .. }) { ArchiveError::Cut { place } } else { error }
}
