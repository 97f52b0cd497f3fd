// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

const PAGE: usize = 4096;

/// What a bucket of a handmade file holds.
pub(in crate::locate::engines) enum Item {
    Text(&'static str, &'static str),
    Bucket(&'static str, Vec<Item>),
}

/// Writes files of bolt as bbolt documents them.
#[derive(Default)]
struct Writer {
    pages: Vec<Vec<u8>>,
}

fn page(id: usize, flags: u16, elements: &[Vec<u8>], contents: &[Vec<u8>]) -> Vec<u8> {
    let mut page = [id.to_ne_bytes().to_vec(), flags.to_ne_bytes().to_vec()].concat();
    page.extend(u16::try_from(elements.len()).unwrap().to_ne_bytes());
    page.extend(0u32.to_ne_bytes());
    page.extend(elements.concat());
    page.extend(contents.concat());
    page
}

/// A leaf page of these keys; with `inline` as it stands in the value of its bucket.
fn leaf(id: usize, entries: &[(Vec<u8>, Vec<u8>, bool)]) -> Vec<u8> {
    let (mut elements, mut contents) = (Vec::new(), Vec::new());
    let mut position = entries.len() * ELEMENT;
    for (at, (key, value, is_bucket)) in entries.iter().enumerate() {
        let number = |number: usize| u32::try_from(number).unwrap().to_ne_bytes().to_vec();
        let flags = u32::from(*is_bucket).to_ne_bytes().to_vec();
        elements.push([flags, number(position - at * ELEMENT), number(key.len()), number(value.len())].concat());
        contents.push([key.clone(), value.clone()].concat());
        position += key.len() + value.len();
    }
    page(id, LEAF, &elements, &contents)
}

impl Writer {
    /// Adds the pages of a bucket, two keys a leaf, and gives the value that leads to it.
    fn bucket(&mut self, items: &[Item]) -> Vec<u8> {
        let entries: Vec<(Vec<u8>, Vec<u8>, bool)> = items
            .iter()
            .map(|item| match item {
                Item::Text(key, value) => (key.as_bytes().to_vec(), value.as_bytes().to_vec(), false),
                Item::Bucket(key, items) => (key.as_bytes().to_vec(), self.bucket(items), true),
            })
            .collect();
        if entries.len() < 2 && entries.iter().all(|(.., is_bucket)| !is_bucket) {
            return [vec![0; BUCKET_HEADER], leaf(0, &entries)].concat();
        }
        let leaves: Vec<(Vec<u8>, usize)> =
            entries.chunks(2).map(|chunk| (chunk[0].0.clone(), self.add(|id| leaf(id, chunk)))).collect();
        let root = if let [(_, only)] = leaves[..] { only } else { self.add(|id| branch(id, &leaves)) };
        [(root as u64).to_ne_bytes().to_vec(), vec![0; 8]].concat()
    }

    fn add(&mut self, page: impl FnOnce(usize) -> Vec<u8>) -> usize {
        let id = self.pages.len() + 2;
        self.pages.push(page(id));
        id
    }
}

fn branch(id: usize, below: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let (mut elements, mut keys) = (Vec::new(), Vec::new());
    let mut position = below.len() * ELEMENT;
    for (at, (key, page)) in below.iter().enumerate() {
        let number = |number: usize| u32::try_from(number).unwrap().to_ne_bytes().to_vec();
        elements
            .push([number(position - at * ELEMENT), number(key.len()), (*page as u64).to_ne_bytes().to_vec()].concat());
        keys.push(key.clone());
        position += key.len();
    }
    page(id, BRANCH, &elements, &keys)
}

fn meta(root: u64, transaction: u64) -> Vec<u8> {
    let mut meta = [MAGIC, VERSION, PAGE as u32, 0].map(u32::to_ne_bytes).concat();
    meta.extend([root, 0, 0, 0, transaction].map(u64::to_ne_bytes).concat());
    let sum = fnv1a(&meta);
    meta.extend(sum.to_ne_bytes());
    [vec![0; PAGE_HEADER], meta].concat()
}

/// A file with this root bucket, written by the second of two transactions.
pub(in crate::locate::engines) fn file(items: &[Item]) -> Vec<u8> {
    let mut writer = Writer::default();
    let root = writer.bucket(items);
    let root = u64::from_ne_bytes(root[..8].try_into().unwrap());
    let pages = [meta(99, 4), meta(root, 5)].into_iter().chain(writer.pages);
    let padded = pages.map(|mut page| {
        assert!(page.len() <= PAGE);
        page.resize(PAGE, 0);
        page
    });
    padded.collect::<Vec<_>>().concat()
}

fn example() -> Vec<u8> {
    let small = Item::Bucket("small", vec![Item::Text("a", "1")]);
    let keys = [("k1", "v1"), ("k2", "v2"), ("k3", "v3"), ("k4", "v4"), ("k5", "v5")];
    let large = Item::Bucket("large", keys.map(|(key, value)| Item::Text(key, value)).into());
    file(&[Item::Bucket("v1", vec![large, small]), Item::Text("version", "3")])
}

#[test]
fn buckets_and_values_are_found_whatever_page_they_are_on() {
    let bytes = example();
    let bolt = Bolt::new(&bytes).unwrap();
    assert_eq!(bolt.transaction, 5);
    let top = bolt.root().bucket("v1").unwrap().unwrap();
    let small = top.bucket("small").unwrap().unwrap();
    assert_eq!(small.texts().unwrap(), [("a", "1")]);
    let large = top.bucket("large").unwrap().unwrap();
    assert_eq!(large.texts().unwrap().len(), 5);
    assert_eq!(large.text("k4").unwrap(), Some("v4"));
    assert_eq!(top.buckets().unwrap().len(), 2);
    assert!(top.bucket("none").unwrap().is_none() && bolt.root().bucket("version").unwrap().is_none());
}

#[test]
fn the_newer_state_whose_checksum_is_right_counts() {
    let mut bytes = example();
    bytes[PAGE + PAGE_HEADER + 48] ^= 1;
    assert_eq!(Bolt::new(&bytes).unwrap().transaction, 4);
    bytes[PAGE_HEADER] ^= 1;
    assert!(Bolt::new(&bytes).is_err() && Bolt::new(b"").is_err());
}

/// Whatever byte is wrong: an answer or an error, and an end.
#[test]
fn a_damaged_file_is_an_error_at_most() {
    let whole = example();
    for at in (2 * PAGE)..whole.len() {
        if whole[at] == 0 && at % 61 != 0 {
            continue;
        }
        for change in [0xff, 0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let top = Bolt::new(&bytes).and_then(|bolt| bolt.root().bucket("v1"));
            let _ = top.map(|top| top.map(|top| top.bucket("large").map(|large| large.map(|large| large.texts()))));
        }
    }
    for length in [0, 100, PAGE, 2 * PAGE, 3 * PAGE - 1] {
        let _ = Bolt::new(&whole[..length]).map(|bolt| bolt.root().buckets());
    }
}

/// A branch that leads to itself.
#[test]
fn a_circle_of_pages_ends() {
    let mut bytes = file(&[Item::Bucket("x", (0..5).map(|_| Item::Text("k", "v")).collect())]);
    let branch = (2..bytes.len() / PAGE).find(|page| bytes[page * PAGE + 8] == 1).unwrap();
    let own = (branch as u64).to_ne_bytes();
    for at in 0..3 {
        let element = branch * PAGE + PAGE_HEADER + at * ELEMENT;
        bytes[element + 8..element + 16].copy_from_slice(&own);
    }
    let found = Bolt::new(&bytes).unwrap().root().bucket("x").unwrap().unwrap();
    assert_eq!(found.texts().unwrap_err(), Damaged);
}
