// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The content of headers and of the extension headers before them: GNU's long names, and PAX records (POSIX.1-2001).

use tar::{EntryType, Header, PaxExtensions};

use super::BLOCK;
use super::sparse::{Pieces, Sparse, decimal};
use crate::time::Timestamp;

/// Whether a tar archive begins so: with a header, or with the block of zeros that ends an empty one.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.len() == BLOCK && (is_zero(head) || has_right_sum(Header::from_byte_slice(head)))
}

pub(super) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// The checksum counts itself as spaces.
pub(super) fn has_right_sum(header: &Header) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let bytes = header.as_bytes();
    let others = bytes[..FIELD.start].iter().chain(&bytes[FIELD.end..]);
    let sum = others.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    header.cksum().is_ok_and(|claimed| claimed == sum)
}

/// The size in a header; `None` if it is no number. An empty field is zero, as in what Go's programs read.
pub(super) fn size_in(header: &Header) -> Option<u64> {
    const FIELD: std::ops::Range<usize> = 124..136;
    let is_empty = header.as_bytes()[FIELD].iter().all(|byte| matches!(byte, 0 | b' '));
    if is_empty { Some(0) } else { header.entry_size().ok() }
}

/// Of what PAX records tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of the next entry.
    Entry,
    /// Of every entry that follows.
    All,
}

/// What extension headers say of the next entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) owner: Option<u64>,
    pub(super) modified: Option<Timestamp>,
    sparse: SparseRecords,
}

/// The records of a sparse file, in the three formats of GNU tar.
#[derive(Debug, Clone, Default)]
struct SparseRecords {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_in_content: bool,
    pieces: Option<Pieces>,
    offset: Option<u64>,
}

impl Extension {
    /// Adds a long name of GNU's, which ends with a NUL.
    pub(super) fn add_gnu(&mut self, kind: EntryType, content: &[u8]) {
        let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
        let name = Some(content[..end].to_owned());
        if kind.is_gnu_longlink() { self.link = name } else { self.path = name }
    }

    /// Adds PAX records; `None` if they are invalid.
    pub(super) fn add_pax(&mut self, content: &[u8], scope: Scope) -> Option<()> {
        for record in PaxExtensions::new(content) {
            let record = record.ok()?;
            let key = record.key_bytes();
            if scope == Scope::Entry || !is_of_one_entry(key) {
                self.add_record(key, record.value_bytes())?;
            }
        }
        Some(())
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let sparse = &mut self.sparse;
        match key {
            b"path" => self.path = Some(value.to_owned()),
            b"linkpath" => self.link = Some(value.to_owned()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.owner = Some(decimal(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            b"GNU.sparse.name" => sparse.name = Some(value.to_owned()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => sparse.size = Some(decimal(value)?),
            b"GNU.sparse.major" => sparse.is_in_content = decimal(value)? > 0,
            b"GNU.sparse.map" => sparse.pieces = Some(Pieces::of_list(value)?),
            b"GNU.sparse.offset" => sparse.offset = Some(decimal(value)?),
            b"GNU.sparse.numbytes" => {
                sparse.pieces.get_or_insert_default().push(sparse.offset.take()?, decimal(value)?);
            }
            _ => {}
        }
        Some(())
    }

    /// The path of the entry.
    pub(super) fn path_of(&self, header: &Header) -> Vec<u8> {
        let own = self.sparse.name.as_ref().or(self.path.as_ref());
        own.cloned().unwrap_or_else(|| header.path_bytes().into_owned())
    }

    /// Of a sparse file the map, and its size when it is whole.
    pub(super) fn sparse(&self) -> Option<(Sparse, Option<u64>)> {
        let SparseRecords { size, is_in_content, ref pieces, .. } = self.sparse;
        match pieces {
            _ if is_in_content => Some((Sparse::InContent, size)),
            Some(pieces) => Some((Sparse::Pieces(pieces.clone()), size)),
            None => None,
        }
    }
}

/// Names and the map of a sparse file mean nothing of several entries, and can be large.
fn is_of_one_entry(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath") || key.starts_with(b"GNU.sparse.")
}

/// A time such as `1795580981.123456789`, of which decimals beyond nanoseconds are cut off.
fn time(text: &[u8]) -> Option<Timestamp> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let decimals = parts.next().unwrap_or_default();
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| decimals.get(at).map_or(0, |digit| u32::from(digit - b'0'));
    Some(Timestamp::new(seconds, (0..9).fold(0, |number, at| number * 10 + digit(at))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, expected) in [
            ("1795580981", Some((1_795_580_981, 0))),
            ("1795580981.5", Some((1_795_580_981, 500_000_000))),
            ("1795580981.123456789123", Some((1_795_580_981, 123_456_789))),
            ("0.000000001", Some((0, 1))),
            ("", None),
            ("1.x", None),
            ("1 .5", None),
            ("99999999999999999999", None),
        ] {
            let expected = expected.map(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds));
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }
}
