// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of an archive's tree that is held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::system::author::Author;
use crate::time::Timestamp;

/// The part of an archive's tree that matters.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// By directory and name.
    files: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Kept>>,
    /// Every directory that holds something.
    directories: BTreeSet<Vec<u8>>,
}

/// What is kept of an entry.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// That it is there.
    Name,
    /// All of it.
    File(KeptFile),
    /// It has the name of a file that is read, and is none.
    NoFile,
}

/// A file in memory.
#[derive(Debug, Clone)]
pub(super) struct KeptFile {
    pub(super) content: Arc<[u8]>,
    pub(super) written: Written,
    pub(super) author: Author,
}

/// When a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// By what the file itself says. In an archive this is the word of whoever made the archive.
    pub said: Timestamp,
    /// No later than this, by the clock of a host: of an archive when it was last changed here.
    pub until: Timestamp,
}

/// In the layer of an image: what has the rest of this name in the layers below is gone (OCI image specification,
/// "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// The same for all that the layers below have in this directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

impl Tree {
    pub(super) fn insert(&mut self, place: &[u8], name: &[u8], kept: Kept) {
        self.files.entry(place.to_owned()).or_default().insert(name.to_owned(), kept);
    }

    pub(super) fn add_directory(&mut self, place: &[u8]) {
        self.directories.insert(place.to_owned());
    }

    /// Lays the layer of an image over this one.
    pub(super) fn lay_over(&mut self, layer: &Tree) {
        for (place, files) in &layer.files {
            for name in files.keys().filter(|name| is_whiteout(name)) {
                if name == OPAQUE {
                    self.remove(place);
                } else {
                    self.remove(&joined(place, &name[WHITEOUT.len()..]));
                }
            }
        }
        for (place, files) in &layer.files {
            for (name, kept) in files.iter().filter(|(name, _)| !is_whiteout(name)) {
                self.insert(place, name, kept.clone());
            }
        }
        self.directories.extend(layer.directories.iter().cloned());
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, place: &[u8]) -> Vec<Vec<u8>> {
        let files = self.files.get(place).into_iter().flatten().map(|(name, _)| name.clone());
        let children = self.directories.range(below(place)).filter(|directory| split(directory).0 == place);
        let directories = children.map(|directory| split(directory).1.to_owned());
        files.chain(directories).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn has(&self, place: &[u8], name: &[u8]) -> bool {
        self.file(place, name).is_some() || self.has_directory(&joined(place, name))
    }

    pub(super) fn file(&self, place: &[u8], name: &[u8]) -> Option<&Kept> {
        self.files.get(place)?.get(name)
    }

    pub(super) fn has_directory(&self, place: &[u8]) -> bool {
        place.is_empty() || self.directories.contains(place)
    }

    /// The directories that hold a file of such a name, in order.
    pub(super) fn directories_with(&self, is_such: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = &[u8]> {
        let with = self.files.iter().filter(move |(_, files)| files.keys().any(|name| is_such(name)));
        with.map(|(place, _)| place.as_slice())
    }

    /// The directory and those above it, as far as they are not known yet.
    pub(super) fn new_directories<'a>(&self, directory: &'a [u8]) -> Vec<&'a [u8]> {
        let above = std::iter::successors(Some(directory), |directory: &&'a [u8]| Some(split(directory).0));
        above.take_while(|above| !self.has_directory(above)).collect()
    }

    /// Removes what is at this place, and all below.
    fn remove(&mut self, place: &[u8]) {
        let (above, name) = split(place);
        if let Some(files) = self.files.get_mut(above) {
            files.remove(name);
        }
        let gone: Vec<Vec<u8>> = self.directories.range(below(place)).cloned().collect();
        for directory in gone.iter().map(Vec::as_slice).chain([place]) {
            self.directories.remove(directory);
            self.files.remove(directory);
        }
    }
}

/// Whether a name in a layer says that another one is gone.
pub(super) fn is_whiteout(name: &[u8]) -> bool {
    name.starts_with(WHITEOUT)
}

/// The place of what has this name in the directory at `place`.
pub(super) fn joined(place: &[u8], name: &[u8]) -> Vec<u8> {
    if place.is_empty() { name.to_owned() } else { [place, name].join(&b'/') }
}

/// The directory and the name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The range of the places below this one.
fn below(place: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    // What comes after a slash in the order of bytes.
    const AFTER_SLASH: u8 = b'/' + 1;
    if place.is_empty() {
        return (Bound::Unbounded, Bound::Unbounded);
    }
    let with = |byte: u8| [place, &[byte]].concat();
    (Bound::Excluded(with(b'/')), Bound::Excluded(with(AFTER_SLASH)))
}
