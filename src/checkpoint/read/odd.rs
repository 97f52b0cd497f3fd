// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What CRIU would not have written so, in images that are otherwise its own: it is left out and noted, and the rest is
//! used.

use std::ffi::OsStr;

use criu_images::{ErrorKind, ImageKind};

use super::Reader;
use crate::checkpoint::{ImageProblem, ImageProblemKind, Oddity};
use crate::evidence::Evidence;

impl Reader<'_> {
    /// Notes an entry that CRIU would not have written so.
    pub(super) fn note_odd(&mut self, oddity: Oddity, evidence: Evidence) {
        let is_it = |problem: &&mut ImageProblem| matches!(&problem.kind, ImageProblemKind::OddEntries { oddity: known, .. } if *known == oddity);
        match self.problems.iter_mut().find(is_it).map(|problem| &mut problem.kind) {
            Some(ImageProblemKind::OddEntries { count, .. }) => *count += 1,
            _ => {
                let image = evidence.image.to_string();
                let kind = ImageProblemKind::OddEntries { first: evidence, count: 1, oddity };
                self.problems.push(ImageProblem { image, kind });
            }
        }
    }

    /// Whether images of these kinds have something that was left out.
    pub(super) fn has_odd(&self, kinds: &[ImageKind]) -> bool {
        let is_of =
            |image: &str| ImageKind::from_file_name(OsStr::new(image)).is_some_and(|(kind, _)| kinds.contains(&kind));
        let is_odd = |problem: &&ImageProblem| match problem.kind {
            ImageProblemKind::OddRecords { .. } | ImageProblemKind::Unreadable(_) => true,
            ImageProblemKind::OddEntries { oddity, .. } => oddity == Oddity::SameMountId,
            ImageProblemKind::Cut(_)
            | ImageProblemKind::Missing
            | ImageProblemKind::UnknownVersion(_)
            | ImageProblemKind::LacksLinkRemaps { .. }
            | ImageProblemKind::LacksSockets { .. }
            | ImageProblemKind::OtherRun
            | ImageProblemKind::NotRecorded(_)
            | ImageProblemKind::NotPermitted => false,
        };
        self.problems.iter().filter(is_odd).any(|problem| is_of(&problem.image))
    }
}

/// Records of an image that are no entries of its kind.
pub(super) struct OddRecords {
    kind: ImageKind,
    pub(super) first: Option<criu_images::Error>,
    pub(super) count: usize,
}

impl OddRecords {
    pub(super) fn new(kind: ImageKind) -> Self {
        OddRecords { kind, first: None, count: 0 }
    }

    /// Counts a record that can be left out: its end is known, and it names one object. One without which the tree is not
    /// known cannot be left out.
    pub(super) fn add(&mut self, error: criu_images::Error) -> Result<(), criu_images::Error> {
        let names_one_object = matches!(
            self.kind,
            ImageKind::Files
                | ImageKind::RegFiles
                | ImageKind::InetSockets
                | ImageKind::RemapFilePath
                | ImageKind::Mountpoints
                | ImageKind::NetDevices
                | ImageKind::NetNs
        );
        if !names_one_object || !matches!(error.kind(), ErrorKind::Malformed { .. }) {
            return Err(error);
        }
        self.count += 1;
        self.first.get_or_insert(error);
        Ok(())
    }
}
