// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The framing of an image: magic numbers, then records, each with its length before it.
//!
//! The bytes may be anybody's. So one record is in memory at a time, none longer than [`RECORD_LIMIT`], and memory grows
//! with the bytes that have arrived, never with a length that a file gives for itself, other than a short one.

use std::io::Read;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use crate::{ByteOrder, Entry, Error, ErrorKind};

/// The maximum length of a record, in bytes.
///
/// CRIU itself has no limit. The longest records of the images that this crate reads are the lists of mappings of large
/// processes and mounts with long options, which stay far below this one.
pub const RECORD_LIMIT: u32 = 16 * 1024 * 1024;

/// Up to this, the memory for a record is there before its bytes have arrived.
const SHORT: u64 = 4096;

/// Reads one image: an iterator over its records of type `E`, from `R`.
///
/// It makes two small reads a record, so wrap a file in a [`BufReader`](std::io::BufReader).
///
/// The iterator ends where the image ends after a whole record. A [malformed](ErrorKind::Malformed) record is an error,
/// and the records after it follow. After any other error, and after the one record of an image that has the content of
/// a file or of a queue behind it, the iterator ends.
///
/// ```
/// use std::fs::File;
/// use std::io::BufReader;
///
/// use criu_images::{FileEntry, ImageReader};
///
/// let image = BufReader::new(File::open("images/criu-4.3/files.img")?);
/// for record in ImageReader::<_, FileEntry>::open(image)? {
///     let record = record?;
///     let Some(file) = record.entry.reg else { continue };
///     println!("file {} at offset {}: {}", file.id, record.offset, file.name.escape_ascii());
/// #   if file.id == 7 { assert_eq!((file.name.as_slice(), record.index), (&b"/mnt/data/link_remap.7"[..], 5)); }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageReader<R, E> {
    source: R,
    byte_order: ByteOrder,
    offset: u64,
    index: u64,
    buffer: Vec<u8>,
    finished: bool,
    entry: PhantomData<fn() -> E>,
}

/// A record of an image: an entry, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<E> {
    /// The number of records before it.
    pub index: u64,
    /// The offset of its length in the file.
    pub offset: u64,
    /// What it holds.
    pub entry: E,
}

impl<R: Read, E: Entry> ImageReader<R, E> {
    /// Begins to read an image, and checks that it is one of [`E::KIND`](Entry::KIND).
    ///
    /// Both [forms](crate::Framing) are read, in both byte orders.
    pub fn open(source: R) -> Result<Self, Error> {
        let mut reader = ImageReader {
            source,
            byte_order: ByteOrder::Little,
            offset: 0,
            index: 0,
            buffer: Vec::new(),
            finished: false,
            entry: PhantomData,
        };
        reader.byte_order = reader.read_magic()?;
        Ok(reader)
    }

    /// The byte order of the host that dumped, which the addresses of sockets depend on too.
    pub fn byte_order(&self) -> ByteOrder {
        self.byte_order
    }

    /// The source, with nothing read from it beyond the last record: what follows in the image of a ghost file is the
    /// content of that file.
    pub fn into_inner(self) -> R {
        self.source
    }

    fn read_record(&mut self) -> Result<Option<Record<E>>, Error> {
        let offset = self.offset;
        let Some(length) = self.read_word()? else { return Ok(None) };
        let length = self.byte_order.u32(length);
        if length > RECORD_LIMIT {
            return Err(Error::new(offset, ErrorKind::RecordTooLarge { length, limit: RECORD_LIMIT }));
        }
        let found = self.fill(u64::from(length))?;
        if found < u64::from(length) {
            return Err(Error::truncated(offset, u64::from(length), found));
        }
        let index = self.index;
        self.index += 1;
        let entry = E::decode(&self.buffer).map_err(|reason| Error::malformed(offset, reason))?;
        Ok(Some(Record { index, offset, entry }))
    }

    /// Reads the magic numbers; which way round they are is the byte order.
    fn read_magic(&mut self) -> Result<ByteOrder, Error> {
        let Some(first) = self.read_word()? else {
            return Err(Error::new(0, ErrorKind::Empty));
        };
        let (magic, head_magic) = (E::KIND.magic(), E::KIND.head_magic());
        let has_magic = |order: &ByteOrder| order.u32(first) == magic;
        if let Some(order) = ByteOrder::ALL.into_iter().find(has_magic) {
            return Ok(order);
        }
        let has_head = |order: &ByteOrder| Some(order.u32(first)) == head_magic;
        let Some(order) = ByteOrder::ALL.into_iter().find(has_head) else {
            return Err(foreign_magic(0, ByteOrder::Little.u32(first), head_magic.unwrap_or(magic)));
        };
        let offset = self.offset;
        let second = self.read_word()?.ok_or(Error::truncated(offset, 4, 0))?;
        let found = order.u32(second);
        if found != magic {
            return Err(foreign_magic(offset, found, magic));
        }
        Ok(order)
    }

    /// The next four bytes, or `None` at the end of the file.
    fn read_word(&mut self) -> Result<Option<[u8; 4]>, Error> {
        let offset = self.offset;
        let found = self.fill(4)?;
        if found == 0 {
            return Ok(None);
        }
        let word = self.buffer.first_chunk().ok_or(Error::truncated(offset, 4, found))?;
        Ok(Some(*word))
    }

    /// Reads up to `length` bytes into the buffer, fewer only at the end of the file, and says how many.
    fn fill(&mut self, length: u64) -> Result<u64, Error> {
        self.buffer.clear();
        if length <= SHORT {
            return self.fill_short(length);
        }
        // Not `read_exact`, which needs the memory for `length` bytes before the first has arrived.
        let result = self.source.by_ref().take(length).read_to_end(&mut self.buffer);
        let found = result.map_err(|error| Error::read(self.offset, error))? as u64;
        self.offset += found;
        Ok(found)
    }
}

impl<R: Read, E: Entry> ImageReader<R, E> {
    /// The same for a length that may be believed: most records are short, and this is the fastest way to read them.
    fn fill_short(&mut self, length: u64) -> Result<u64, Error> {
        let mut found = 0;
        self.buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
        while found < self.buffer.len() {
            match self.source.read(&mut self.buffer[found..]) {
                Ok(0) => break,
                Ok(more) => found += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(found);
                    return Err(Error::read(self.offset, error));
                }
            }
        }
        self.buffer.truncate(found);
        self.offset += found as u64;
        Ok(found as u64)
    }
}

impl<R: Read, E: Entry> Iterator for ImageReader<R, E> {
    type Item = Result<Record<E>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let result = self.read_record();
        let is_at_border = match &result {
            Ok(record) => record.is_some(),
            Err(error) => matches!(error.kind(), ErrorKind::Malformed { .. }),
        };
        self.finished = !is_at_border || E::KIND.has_payload();
        result.transpose()
    }
}

impl<R: Read, E: Entry> FusedIterator for ImageReader<R, E> {}

fn foreign_magic(offset: u64, found: u32, expected: u32) -> Error {
    Error::new(offset, ErrorKind::ForeignMagic { found, expected })
}

#[cfg(test)]
mod tests;
