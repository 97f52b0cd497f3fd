// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The framing of an image: magic numbers, then records, each with its length before it.
//!
//! The bytes may be anybody's. So one record is in memory at a time, none longer than [`RECORD_LIMIT`], and memory grows
//! with the bytes that have arrived, never with a length that a file gives for itself.

use std::io::Read;

use crate::{ByteOrder, ImageKind, Problem, ProblemKind};

/// The most bytes a record may have.
///
/// CRIU itself has no limit, but of the images this crate reads the longest records are executables' long lists of
/// mappings and mounts with long options, which are far below this one.
pub const RECORD_LIMIT: u32 = 16 * 1024 * 1024;

/// Reads the records of one image from `R`.
///
/// It makes two small reads a record, so a file is best given in a [`BufReader`](std::io::BufReader).
#[derive(Debug)]
pub struct ImageReader<R: Read> {
    source: R,
    kind: ImageKind,
    byte_order: ByteOrder,
    offset: u64,
    index: u64,
    buffer: Vec<u8>,
    finished: bool,
}

/// A record of an image: what it says, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<M> {
    /// How many records come before it.
    pub index: u64,
    /// Where its length field begins in the file.
    pub offset: u64,
    /// What it says.
    pub message: M,
}

impl<R: Read> ImageReader<R> {
    /// Begins to read an image of this kind, and checks that it is one.
    ///
    /// Both forms are read: that of CRIU 1.6 and later, with a common magic number in front of the kind's own, and that
    /// before, without it.
    pub fn open(kind: ImageKind, source: R) -> Result<Self, Problem> {
        let mut reader = ImageReader {
            source,
            kind,
            byte_order: ByteOrder::Little,
            offset: 0,
            index: 0,
            buffer: Vec::new(),
            finished: false,
        };
        reader.byte_order = reader.read_magic()?;
        Ok(reader)
    }

    /// The byte order of the host that dumped, which addresses of sockets depend on too.
    pub fn byte_order(&self) -> ByteOrder {
        self.byte_order
    }

    /// The next record, or `None` where the image ends as it should, after a whole record.
    ///
    /// A [malformed](ProblemKind::Malformed) record does not hide those behind it: the call after it gives the next one.
    /// After any other problem, and after the one record of an image that carries the content of a file or of a queue
    /// behind it, there is nothing more to give, and every further call gives `None`.
    pub fn next_record<M: prost::Message + Default>(&mut self) -> Result<Option<Record<M>>, Problem> {
        if self.finished {
            return Ok(None);
        }
        let result = self.read_record();
        let is_at_border = match &result {
            Ok(record) => record.is_some(),
            Err(problem) => matches!(problem.kind, ProblemKind::Malformed { .. }),
        };
        self.finished = !is_at_border || self.kind.has_payload();
        result
    }

    fn read_record<M: prost::Message + Default>(&mut self) -> Result<Option<Record<M>>, Problem> {
        let offset = self.offset;
        let Some(length) = self.read_word()? else { return Ok(None) };
        let length = self.byte_order.u32(length);
        if length > RECORD_LIMIT {
            return Err(Problem { offset, kind: ProblemKind::RecordTooLarge { length, limit: RECORD_LIMIT } });
        }
        let found = self.fill(u64::from(length))?;
        if found < u64::from(length) {
            return Err(Problem::truncated(offset, u64::from(length), found));
        }
        let index = self.index;
        self.index += 1;
        let message =
            M::decode(self.buffer.as_slice()).map_err(|error| Problem::malformed(offset, error.to_string()))?;
        Ok(Some(Record { index, offset, message }))
    }

    /// Reads the magic numbers; which way round they are is the byte order.
    fn read_magic(&mut self) -> Result<ByteOrder, Problem> {
        let Some(first) = self.read_word()? else {
            return Err(Problem { offset: 0, kind: ProblemKind::Empty });
        };
        let has_magic = |order: &ByteOrder| order.u32(first) == self.kind.magic();
        if let Some(order) = ByteOrder::ALL.into_iter().find(has_magic) {
            return Ok(order);
        }
        let has_head = |order: &ByteOrder| Some(order.u32(first)) == self.kind.head_magic();
        let Some(order) = ByteOrder::ALL.into_iter().find(has_head) else {
            let expected = self.kind.head_magic().unwrap_or(self.kind.magic());
            return Err(foreign_magic(0, ByteOrder::Little.u32(first), expected));
        };
        let offset = self.offset;
        let second = self.read_word()?.ok_or(Problem::truncated(offset, 4, 0))?;
        let found = order.u32(second);
        if found != self.kind.magic() {
            return Err(foreign_magic(offset, found, self.kind.magic()));
        }
        Ok(order)
    }

    /// The next four bytes, or `None` at the end of the file.
    fn read_word(&mut self) -> Result<Option<[u8; 4]>, Problem> {
        let offset = self.offset;
        let found = self.fill(4)?;
        if found == 0 {
            return Ok(None);
        }
        let word = self.buffer.first_chunk().ok_or(Problem::truncated(offset, 4, found))?;
        Ok(Some(*word))
    }

    /// Reads up to `length` bytes into the buffer, fewer only at the end of the file, and says how many.
    fn fill(&mut self, length: u64) -> Result<u64, Problem> {
        self.buffer.clear();
        // Not `read_exact`, which needs the memory for `length` bytes before the first has arrived.
        let result = self.source.by_ref().take(length).read_to_end(&mut self.buffer);
        let found = result.map_err(|error| Problem { offset: self.offset, kind: ProblemKind::Read(error) })? as u64;
        self.offset += found;
        Ok(found)
    }
}

fn foreign_magic(offset: u64, found: u32, expected: u32) -> Problem {
    Problem { offset, kind: ProblemKind::ForeignMagic { found, expected } }
}

#[cfg(test)]
mod tests;
