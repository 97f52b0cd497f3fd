// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong with the images or the log, and which part of the residue that concerns; and why they cannot be used at all.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use criu_images::ImageKind;

use crate::evidence::Evidence;
use crate::part::Part;
use crate::system::dir::FileError;

/// Why the images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image is not what its name says, or holds what CRIU never writes.
    #[error("{}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong, and where.
        source: criu_images::Error,
    },
    /// What the user named as the log of the dump is none.
    #[error("{} is not a log of CRIU", path.display())]
    NotALog {
        /// Its path.
        path: PathBuf,
    },
    /// The images name more than any dump leaves.
    #[error("the images name more objects than criu-gc holds in {limit} MiB of memory; no real dump leaves that many")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
}

/// Something about one image file that the user should know.
#[derive(Debug)]
pub struct ImageProblem {
    /// The file.
    pub image: String,
    /// What is the matter.
    pub kind: ImageProblemKind,
}

/// What is the matter with an image file.
#[derive(Debug)]
pub enum ImageProblemKind {
    /// It ends too early; what stands before that is used.
    Cut(criu_images::Error),
    /// It is not there, and CRIU always writes it in a dump that finishes.
    Missing,
    /// It is of a version of the format that is not known.
    UnknownVersion(u32),
    /// It cannot be read, and its images are of a version of the format that is not known.
    Unreadable(criu_images::Error),
    /// It has records that are not entries of its kind.
    OddRecords {
        /// The first of them.
        first: criu_images::Error,
        /// How many.
        count: usize,
    },
    /// It has entries that CRIU would not have written so. What they name is kept.
    OddEntries {
        /// The first of them.
        first: Evidence,
        /// How many.
        count: usize,
        /// What is wrong.
        oddity: Oddity,
    },
    /// It does not name link remaps that the images of open files have.
    LacksLinkRemaps {
        /// How many.
        count: usize,
    },
    /// The queues of TCP connections have images, but their sockets are not in it.
    LacksSockets {
        /// How many.
        count: usize,
    },
    /// The log is of another run than the inventory: the directory was used twice.
    OtherRun,
    /// The log may not be read.
    NotPermitted,
    /// It is a record without images, and does not name this.
    NotRecorded(String),
}

/// Entries that CRIU would not have written so. What depends on them is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Odd {
    /// The ids of files with such an entry.
    pub files: HashSet<u32>,
    /// Whether the images of open files have records that are no entries: any file may be missing.
    pub has_lost_files: bool,
    /// Whether mounts are missing for that reason.
    pub has_lost_mounts: bool,
}

/// What is wrong with an entry that CRIU would not have written so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// A file has another id than its entry.
    TwoIds,
    /// An entry of a regular file has no file.
    NoFile,
    /// An entry of a socket has no socket.
    NoSocket,
    /// Two files have one id.
    SameFileId,
    /// Two mounts have one id.
    SameMountId,
    /// A TCP connection has no valid addresses.
    NoAddresses,
}

impl Oddity {
    /// In words, as the end of a sentence that begins with the entry.
    pub fn words(self) -> &'static str {
        match self {
            Oddity::TwoIds => "has different ids inside and outside; a link remap that uses one of them is kept",
            Oddity::NoFile => "is of a file, and describes none; a link remap that uses it is kept",
            Oddity::NoSocket => "is of a socket, and describes none; its rules, if any, are kept",
            Oddity::SameFileId => "has the id of another file; a link remap that uses it is kept",
            Oddity::SameMountId => "has the id of another mount; a link remap on it is kept",
            Oddity::NoAddresses => "is a TCP connection with invalid addresses; its rules, if any, are kept",
        }
    }

    fn part(self) -> Part {
        match self {
            Oddity::TwoIds | Oddity::NoFile | Oddity::SameFileId | Oddity::SameMountId => Part::Files,
            Oddity::NoSocket | Oddity::NoAddresses => Part::Network,
        }
    }
}

impl ImageProblem {
    /// The part of what the checkpoint left that it concerns; `None` for both.
    pub fn part(&self) -> Option<Part> {
        match &self.kind {
            ImageProblemKind::LacksLinkRemaps { .. } => Some(Part::Files),
            ImageProblemKind::LacksSockets { .. } => Some(Part::Network),
            ImageProblemKind::OddEntries { oddity, .. } => Some(oddity.part()),
            ImageProblemKind::Cut(_) | ImageProblemKind::Unreadable(_) | ImageProblemKind::OddRecords { .. } => {
                part_of_image(&self.image)
            }
            ImageProblemKind::Missing
            | ImageProblemKind::UnknownVersion(_)
            | ImageProblemKind::OtherRun
            | ImageProblemKind::NotRecorded(_)
            | ImageProblemKind::NotPermitted => None,
        }
    }
}

/// Images that are about files only.
const OF_FILES: [ImageKind; 3] = [ImageKind::RemapFilePath, ImageKind::RegFiles, ImageKind::Mountpoints];
/// Images that are about the network only.
const OF_NETWORK: [ImageKind; 3] = [ImageKind::InetSockets, ImageKind::NetDevices, ImageKind::NetNs];

fn part_of_image(image: &str) -> Option<Part> {
    let (kind, _) = ImageKind::from_file_name(OsStr::new(image))?;
    if OF_FILES.contains(&kind) { Some(Part::Files) } else { OF_NETWORK.contains(&kind).then_some(Part::Network) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_concerns_the_part_that_it_is_about() {
        for (image, expected) in [
            ("remap-fpath.img", Some(Part::Files)),
            ("mountpoints-9.img", Some(Part::Files)),
            ("inetsk.img", Some(Part::Network)),
            ("netns-9.img", Some(Part::Network)),
            ("files.img", None),
            ("inventory.img", None),
            ("dump.log", None),
        ] {
            assert_eq!(part_of_image(image), expected, "{image}");
        }
    }
}
