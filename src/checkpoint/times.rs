// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When the images were written: the evidence that distinguishes what a dump left from what came later.
//!
//! CRIU writes an entry after it has created what the entry names. So the time of the images that name an object
//! counts, and of several the earliest. A time in the future does not count: a clock was set back, or the file was
//! touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::evidence::Evidence;
use crate::locate::Written;
use crate::system::dir::FileIdentity;
use crate::time::Timestamp;

/// From the beginning of a dump to the end of its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpSpan {
    /// When the dump began.
    pub began: Timestamp,
    /// When its images had been written.
    pub ended: Timestamp,
}

impl DumpSpan {
    /// Whether the dump can have made this link, in this directory. Making it changed both, and one of the two may have
    /// been changed since.
    pub fn made(&self, link: &FileIdentity, directory: &FileIdentity) -> bool {
        let has = |time: Timestamp| self.began <= time && time <= self.ended;
        has(link.changed) || has(directory.changed)
    }

    /// Whether a directory in which there is no link can be one where the dump made it: whoever took it away has changed
    /// the directory, which was there before.
    pub fn can_have_changed(&self, directory: &FileIdentity) -> bool {
        directory.changed >= self.began && directory.born.is_none_or(|born| born <= self.ended)
    }
}

/// The times of those images that name residue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageTimes {
    images: BTreeMap<Arc<str>, Timestamp>,
    last: Option<Written>,
    /// When the first of all images was made or written, those that name nothing among them.
    first_of_all: Option<Timestamp>,
    /// Whether a time among them has not come yet.
    pub has_future: bool,
}

impl ImageTimes {
    /// Adds an image's; `now` is the present.
    pub(super) fn add(&mut self, image: &str, written: Option<Written>, now: Timestamp) {
        let Some(written) = written else { return };
        self.has_future |= written.said > now;
        self.images.insert(image.into(), written.said);
        self.last = Some(self.last.map_or(written, |last| Written {
            said: last.said.max(written.said),
            until: last.until.max(written.until),
        }));
    }

    /// Notes when an image was made and written, whatever it names. A copy is younger than what it says of itself.
    pub(super) fn note_first(&mut self, written: Option<Written>, born: Option<Timestamp>) {
        let written = written.map(|written| written.said);
        self.first_of_all = [self.first_of_all, written, born].into_iter().flatten().min();
    }

    /// When the first of all images was made or written.
    pub fn first_of_all(&self) -> Option<Timestamp> {
        self.first_of_all.filter(|_| !self.has_future)
    }

    /// When the last of them was written; `None` where that is not known.
    pub(super) fn last(&self) -> Option<Written> {
        self.last.filter(|_| !self.has_future)
    }

    /// When the first of them was written.
    pub fn first(&self) -> Option<Timestamp> {
        self.images.values().min().copied().filter(|_| !self.has_future)
    }

    /// When the first of those was written that name an object by these entries.
    pub fn of(&self, evidence: &[Evidence]) -> Option<Timestamp> {
        let times = evidence.iter().filter_map(|each| self.images.get(&each.image));
        times.min().copied().filter(|_| !self.has_future)
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::evidence;
    use super::*;

    fn times(images: &[(&str, i64)]) -> ImageTimes {
        let mut times = ImageTimes::default();
        for (image, seconds) in images {
            let time = Timestamp::new(*seconds, 0);
            times.add(image, Some(Written { said: time, until: time }), Timestamp::new(100, 0));
        }
        times
    }

    #[test]
    fn the_earliest_image_that_names_an_object_counts() {
        let times = times(&[("inventory.img", 30), ("files.img", 20), ("remap-fpath.img", 10)]);
        let of = |images: &[&str]| {
            let evidence: Vec<Evidence> = images.iter().map(|image| evidence(image, 0)).collect();
            times.of(&evidence).map(Timestamp::seconds)
        };
        assert_eq!(of(&["files.img", "remap-fpath.img"]), Some(10));
        assert_eq!(of(&["files.img", "mountpoints-1.img"]), Some(20));
        assert_eq!(of(&["mountpoints-1.img"]), None);
        assert_eq!(times.last().map(|written| written.said.seconds()), Some(30));
        assert_eq!(times.first().map(Timestamp::seconds), Some(10));
    }

    #[test]
    fn a_time_that_has_not_come_yet_is_none() {
        let times = times(&[("inventory.img", 101), ("files.img", 20)]);
        assert!(times.has_future);
        assert_eq!((times.last(), times.first(), times.of(&[evidence("files.img", 0)])), (None, None, None));
    }
}
