// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file that a remap stands for, shared by the kinds that CRIU creates next to it.

use std::collections::HashMap;

use super::Contradiction;
use crate::carrier::name::FileMount;
use crate::checkpoint::{Checkpoint, Completeness, FileRecord, MountRecord};
use crate::evidence::Evidence;
use crate::mounts;

/// The file that a remap stands in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Original {
    /// Its name, absolute, as the tree saw it.
    pub(super) name: Vec<u8>,
    /// The mount that it and its stand-in are on.
    pub(super) mount: FileMount,
    /// The entries that say so.
    pub(super) evidence: Vec<Evidence>,
}

impl Original {
    /// The file of this entry, whose stand-in, a `what`, has the name `stand_in`. An entry that CRIU would not have written
    /// so is a contradiction.
    pub(super) fn of(
        checkpoint: &Checkpoint,
        points: &MountPoints,
        file: &FileRecord,
        what: &str,
        stand_in: &[u8],
    ) -> Result<Self, Contradiction> {
        let name = absolute(&file.entry.name);
        let wrong = |text: String| Contradiction { evidence: file.evidence.clone(), text };
        if file.entry.ext {
            return Err(wrong(format!("is an external file, but has a {what}")));
        }
        if !mounts::is_plain_path(&name) {
            return Err(wrong("has a name that is not a plain path".into()));
        }
        if !is_same_or_below(split(&name).0, split(stand_in).0) {
            return Err(wrong(format!("has its {what} outside its own directories, at {}", lossy(stand_in))));
        }
        let mut original =
            Original { name, mount: mount_of(points, file, stand_in), evidence: vec![file.evidence.clone()] };
        if let FileMount::Id(id) = original.mount {
            let Some(mount) = checkpoint.mounts.get(&id) else {
                if checkpoint.completeness == Completeness::Complete {
                    return Err(wrong(format!("is on mount {id}, which the images do not contain")));
                }
                original.mount = FileMount::Unknown;
                return Ok(original);
            };
            if !mounts::has_plain_root(&mount.entry) {
                return Err(wrong(format!("is on mount {id}, whose root is {}", lossy(&mount.entry.root))));
            }
            if mounts::relative_to(stand_in, &mount.entry).is_none() {
                let mountpoint = lossy(mounts::mountpoint(&mount.entry));
                return Err(wrong(format!("has its {what} outside its mount, {mountpoint}")));
            }
            original.evidence.push(mount.evidence.clone());
        }
        Ok(original)
    }
}

/// The mount of the name of a Unix socket.
pub(super) fn mount_of_socket(points: &MountPoints, id: Option<u32>, path: &[u8]) -> FileMount {
    match id {
        _ if !points.are_own => FileMount::Shared,
        Some(id) => FileMount::Id(id),
        None if points.has_lost => FileMount::Unknown,
        None => points.above(path).map_or(FileMount::Unknown, FileMount::Id),
    }
}

/// The mount of a file, as `get_nsid_mnt_id` and its users in CRIU find it: by `mnt_id`, or by the longest mount point
/// where a kernel before 3.15 told no id.
fn mount_of(points: &MountPoints, original: &FileRecord, link: &[u8]) -> FileMount {
    if let Some(id) = original.entry.mount_id() {
        return FileMount::Id(id);
    }
    if !points.are_own {
        return FileMount::Shared;
    }
    if points.has_lost {
        return FileMount::Unknown;
    }
    points.above(link).map_or(FileMount::Unknown, FileMount::Id)
}

/// The mounts of the root task's namespace by their mount points: there may be as many of them as there are files.
pub(super) struct MountPoints {
    ids: HashMap<Vec<u8>, u32>,
    /// Whether the tree had mount namespaces of its own.
    are_own: bool,
    /// Whether some are missing.
    has_lost: bool,
}

impl MountPoints {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        let root = checkpoint.root_mount_namespace();
        // Those of an interrupted dump's living tree are all of one namespace.
        let is_own =
            |mount: &&MountRecord| Some(mount.namespace) == root || root.is_none() && checkpoint.is_interrupted();
        let own = checkpoint.mounts.values().filter(is_own);
        // In the order of their ids: of two on one mount point the last counts.
        let points = own.flat_map(|mount| {
            let readings = mounts::readings_of_mountpoint(&mount.entry).into_iter();
            readings.map(|point| (point, mount.entry.mnt_id))
        });
        MountPoints {
            ids: points.collect(),
            are_own: checkpoint.has_own_mount_namespace(),
            has_lost: checkpoint.odd.has_lost_mounts,
        }
    }

    /// Whether the tree had mount namespaces of its own.
    pub(super) fn are_own(&self) -> bool {
        self.are_own
    }

    /// The mount with the longest mount point above a path.
    pub(super) fn above(&self, path: &[u8]) -> Option<u32> {
        directories_above(path).find_map(|directory| self.ids.get(directory)).copied()
    }
}

/// CRIU writes names with a leading slash; some old versions left it out.
pub(super) fn absolute(name: &[u8]) -> Vec<u8> {
    if name.starts_with(b"/") { name.to_vec() } else { [b"/", name].concat() }
}

/// The directory (without a trailing slash, empty for the root) and the last name of an absolute path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    (&path[..slash], path.get(slash + 1..).unwrap_or_default())
}

/// The directories above an absolute path, the nearest first.
pub(super) fn directories_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.map(|at| if at == 0 { &b"/"[..] } else { &path[..at] })
}

fn is_same_or_below(directory: &[u8], ancestor: &[u8]) -> bool {
    let ancestor = ancestor.strip_suffix(b"/").unwrap_or(ancestor);
    directory.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
