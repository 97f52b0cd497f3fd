// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filesystems that do not answer: criu-gc does not try their objects again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::host::MountPoints;
use crate::mounts::{Base, Place};

/// What did not answer: a base, and below it the mount of this mount namespace, for there may be many.
type SilentMount = (Base, Option<PathBuf>);

/// The mounts that did not answer.
#[derive(Debug, Default)]
pub struct SilentMounts {
    /// Those on the way to the places that are asked about; not read before one is silent.
    points: MountPoints,
    silent: HashSet<SilentMount>,
}

impl SilentMounts {
    /// Notes that what is at some of all the places did not answer.
    pub fn add<'a>(&mut self, silent: &[&Place], all: impl Iterator<Item = &'a Place>) {
        let paths: Vec<PathBuf> = all.map(Place::path).collect();
        self.points = MountPoints::above(paths.iter().map(PathBuf::as_path));
        let mounts: Vec<SilentMount> = silent.iter().map(|place| self.mount_of(place)).collect();
        self.silent.extend(mounts);
    }

    /// Whether a place is on one of them.
    pub fn has(&self, place: &Place) -> bool {
        !self.is_empty() && self.silent.contains(&self.mount_of(place))
    }

    /// Whether everything has answered.
    pub fn is_empty(&self) -> bool {
        self.silent.is_empty()
    }

    /// That what is at a place does not answer.
    pub fn does_not_answer(&self, place: &Place) -> String {
        self.points.does_not_answer(&place.path())
    }

    fn mount_of(&self, place: &Place) -> SilentMount {
        (place.base.clone(), self.points.point_of(&place.path()).map(Path::to_owned))
    }
}
