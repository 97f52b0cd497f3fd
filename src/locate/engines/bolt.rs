// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the file of bolt (go.etcd.io/bbolt) in which containerd keeps its metadata: buckets of keys, whose values are bytes
//! or buckets, in a tree of pages. Only bytes are read here; nothing is locked or written.
//!
//! A page is `id, flags, count, overflow`, then `count` elements. A transaction writes other pages than the ones before it,
//! and then one of the two meta pages: the newer one whose checksum is right leads to the whole tree.

/// What is at the beginning of a meta page.
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const PAGE_HEADER: usize = 16;
const META: usize = 64;
const ELEMENT: usize = 16;
const BUCKET_HEADER: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// The flag of a leaf whose value is a bucket.
const IS_BUCKET: u32 = 1;
/// No tree of pages is deeper.
const DEPTH: usize = 32;
/// No more pages are visited for one bucket.
const PAGES: usize = 100_000;

/// The file, and the page in it that is newest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bolt<'a> {
    bytes: &'a [u8],
    page_size: usize,
    root: u64,
    /// The number of the last transaction: if it has changed, the file was written to meanwhile.
    pub(super) transaction: u64,
}

/// Some of a file of bolt makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no file of bolt, or a damaged one")]
pub(super) struct Damaged;

/// A bucket: where its tree of pages begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket<'a> {
    bolt: Bolt<'a>,
    top: Top<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Top<'a> {
    Page(u64),
    /// A small bucket stands whole in its own value.
    Inline(&'a [u8]),
}

/// What a key leads to.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Bytes(&'a [u8]),
    Bucket(Bucket<'a>),
}

impl<'a> Bolt<'a> {
    /// The file's newest state.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let first = Self::meta(bytes, 0);
        // The size of a page stands in the first meta page, or the second is at one of the usual places.
        let sizes = first.map(|bolt| bolt.page_size).into_iter().chain([4096, 16_384, 65_536]);
        let second = sizes.into_iter().find_map(|size| Self::meta(bytes, size));
        first.into_iter().chain(second).max_by_key(|bolt| bolt.transaction).ok_or(Damaged)
    }

    fn meta(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let meta = bytes.get(offset.checked_add(PAGE_HEADER)?..)?.get(..META)?;
        let is_right = u32_at(meta, 0)? == MAGIC && u32_at(meta, 4)? == VERSION;
        if !is_right || u64_at(meta, 56)? != fnv1a(&meta[..56]) {
            return None;
        }
        let page_size = usize::try_from(u32_at(meta, 8)?).ok()?;
        (page_size >= 512).then_some(Bolt { bytes, page_size, root: u64_at(meta, 16)?, transaction: u64_at(meta, 48)? })
    }

    /// The bucket that holds all others.
    pub(super) fn root(self) -> Bucket<'a> {
        Bucket { bolt: self, top: Top::Page(self.root) }
    }

    fn page(self, id: u64) -> Result<&'a [u8], Damaged> {
        let start = usize::try_from(id).ok().and_then(|id| id.checked_mul(self.page_size)).ok_or(Damaged)?;
        self.bytes.get(start..).ok_or(Damaged)
    }
}

impl<'a> Bucket<'a> {
    /// The bucket with this key; `None` if there is none.
    pub(super) fn bucket(&self, key: &str) -> Result<Option<Bucket<'a>>, Damaged> {
        Ok(self.all()?.into_iter().find_map(|(name, value)| match value {
            Value::Bucket(bucket) if name == key.as_bytes() => Some(bucket),
            Value::Bucket(_) | Value::Bytes(_) => None,
        }))
    }

    /// All buckets in it whose keys are text.
    pub(super) fn buckets(&self) -> Result<Vec<(&'a str, Bucket<'a>)>, Damaged> {
        let of_text = |(key, value)| match value {
            Value::Bucket(bucket) => Some((std::str::from_utf8(key).ok()?, bucket)),
            Value::Bytes(_) => None,
        };
        Ok(self.all()?.into_iter().filter_map(of_text).collect())
    }

    /// All values in it that are text, as are their keys.
    pub(super) fn texts(&self) -> Result<Vec<(&'a str, &'a str)>, Damaged> {
        let of_text = |(key, value)| match value {
            Value::Bytes(value) => Some((std::str::from_utf8(key).ok()?, std::str::from_utf8(value).ok()?)),
            Value::Bucket(_) => None,
        };
        Ok(self.all()?.into_iter().filter_map(of_text).collect())
    }

    /// The text of this key; `None` if there is none.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Damaged> {
        Ok(self.texts()?.into_iter().find_map(|(name, value)| (name == key).then_some(value)))
    }

    fn all(&self) -> Result<Vec<(&'a [u8], Value<'a>)>, Damaged> {
        let mut found = Vec::new();
        match self.top {
            Top::Inline(page) => self.read(page, DEPTH, &mut 0, &mut found)?,
            Top::Page(id) => self.read(self.bolt.page(id)?, DEPTH, &mut 0, &mut found)?,
        }
        Ok(found)
    }

    fn read(
        &self,
        page: &'a [u8],
        depth: usize,
        pages: &mut usize,
        found: &mut Vec<(&'a [u8], Value<'a>)>,
    ) -> Result<(), Damaged> {
        *pages += 1;
        if depth == 0 || *pages > PAGES {
            return Err(Damaged);
        }
        let (flags, count) = (u16_at(page, 8).ok_or(Damaged)?, u16_at(page, 10).ok_or(Damaged)?);
        for at in 0..usize::from(count) {
            let element = page.get(PAGE_HEADER + at * ELEMENT..).ok_or(Damaged)?;
            match flags {
                BRANCH => {
                    let below = self.bolt.page(u64_at(element, 8).ok_or(Damaged)?)?;
                    self.read(below, depth - 1, pages, found)?;
                }
                LEAF => found.push(self.leaf(element).ok_or(Damaged)?),
                _ => return Err(Damaged),
            }
        }
        Ok(())
    }

    fn leaf(&self, element: &'a [u8]) -> Option<(&'a [u8], Value<'a>)> {
        let number = |at| usize::try_from(u32_at(element, at)?).ok();
        let (position, key, value) = (number(4)?, number(8)?, number(12)?);
        let content = element.get(position..)?;
        let (key, rest) = (content.get(..key)?, content.get(key..)?);
        let value = rest.get(..value)?;
        if u32_at(element, 0)? & IS_BUCKET == 0 {
            return Some((key, Value::Bytes(value)));
        }
        let top = match u64_at(value, 0)? {
            0 => Top::Inline(value.get(BUCKET_HEADER..)?),
            page => Top::Page(page),
        };
        Some((key, Value::Bucket(Bucket { bolt: self.bolt, top })))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..)?.get(..2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..)?.get(..4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..)?.get(..8)?.try_into().ok()?))
}

/// The checksum of a meta page: FNV-1a with 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub(super) mod tests;
