// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sparse files: the pieces of a file in an archive. Zeros fill the gaps between them.

use tar::GnuSparseHeader;

use super::error::{ArchiveError, Limit};

/// The map of a sparse file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sparse {
    /// Offsets and lengths, known from the headers (GNU's own format, and PAX formats 0.0 and 0.1).
    Pieces(Pieces),
    /// The content begins with the map (PAX format 1.0).
    InContent,
}

/// The pieces of a sparse file, in the order in which the archive has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    list: Vec<(u64, u64)>,
    /// There are more than are kept. That matters only if the file has to be read.
    are_too_many: bool,
}

impl Pieces {
    pub(super) fn push(&mut self, offset: u64, length: u64) {
        if self.list.len() == Limit::PIECES {
            self.are_too_many = true;
        } else {
            self.list.push((offset, length));
        }
    }

    /// Adds those of a header of GNU's; `false` if one is invalid.
    pub(super) fn add_gnu(&mut self, headers: &[GnuSparseHeader]) -> bool {
        for header in headers.iter().filter(|header| !header.is_empty()) {
            let (Ok(offset), Ok(length)) = (header.offset(), header.length()) else { return false };
            self.push(offset, length);
        }
        true
    }

    /// The pieces of `0.1`: `offset,length,offset,length,…`.
    pub(super) fn of_list(text: &[u8]) -> Option<Self> {
        let mut pieces = Pieces::default();
        let mut numbers = text.split(|byte| *byte == b',').map(decimal);
        while let Some(offset) = numbers.next() {
            pieces.push(offset?, numbers.next()??);
        }
        Some(pieces)
    }

    /// The map at the beginning of the content (`1.0`): how many pieces, then offset and length of each, a line for each
    /// number, filled up to whole blocks. Gives the pieces, and where the data begin.
    pub(super) fn in_content(content: &[u8], block: usize) -> Result<Option<(Self, usize)>, ArchiveError> {
        let mut position = 0;
        let mut number = || {
            let line = content[position..].split(|byte| *byte == b'\n').next()?;
            position = (position + line.len() + 1).min(content.len());
            decimal(line)
        };
        let Some(count) = number() else { return Ok(None) };
        if count > Limit::PIECES as u64 {
            return Err(Limit::Pieces.into());
        }
        let mut pieces = Pieces::default();
        for _ in 0..count {
            let (Some(offset), Some(length)) = (number(), number()) else { return Ok(None) };
            pieces.push(offset, length);
        }
        Ok(Some((pieces, position.next_multiple_of(block))))
    }

    /// The whole file of `size` bytes, of the pieces that `data` holds one after another. `None` where they contradict
    /// each other or the size.
    pub(super) fn whole(&self, data: &[u8], size: usize) -> Result<Option<Vec<u8>>, ArchiveError> {
        if self.are_too_many {
            return Err(Limit::Pieces.into());
        }
        let mut whole = vec![0; size];
        let (mut end, mut taken) = (0_usize, 0_usize);
        for (offset, length) in &self.list {
            let (Ok(offset), Ok(length)) = (usize::try_from(*offset), usize::try_from(*length)) else {
                return Ok(None);
            };
            if offset < end {
                return Ok(None);
            }
            let piece = taken.checked_add(length).and_then(|until| data.get(taken..until));
            let place = offset.checked_add(length).and_then(|until| whole.get_mut(offset..until));
            let (Some(piece), Some(place)) = (piece, place) else { return Ok(None) };
            place.copy_from_slice(piece);
            (end, taken) = (offset + length, taken + length);
        }
        Ok(Some(whole))
    }
}

/// A number in decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let is_decimal = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_decimal.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}
