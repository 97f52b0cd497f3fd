// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps by the shape of their entries in `files.img`, for images whose `remap-fpath.img` ends too early.
//!
//! CRIU writes the entry of a link, then that of the file that it stands for, and then the remap that connects the two
//! (`dump_linked_remap` in `criu/files-reg.c`). The remap is in another image, which is the last to be flushed: a dump that
//! was killed mostly leaves it empty. Nothing else writes an entry without mode, size and mount, with its own id at the end
//! of its name, right before the entry of a file in the same directory or below.

use std::collections::HashSet;

use criu_images::{RegFileEntry, Remap, RemapFilePathEntry};

use crate::checkpoint::{FileRecord, Record, RemapRecord};

/// The entries of files, read one after the other.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// The links that remaps name.
    linked: HashSet<u32>,
    /// The files that remaps name.
    originals: HashSet<u32>,
    /// The last entry, if it is of a link that no remap names.
    last: Option<FileRecord>,
}

impl Pairs {
    pub(super) fn new(remaps: &[RemapRecord]) -> Self {
        let originals = remaps.iter().map(|remap| remap.entry.orig_id).collect();
        Pairs { linked: linked(remaps).collect(), originals, last: None }
    }

    /// Notes the entry of a regular file. Gives the link before it, if this is the file that the link stands for.
    pub(super) fn note(&mut self, file: &FileRecord) -> Option<FileRecord> {
        let link = self.last.take();
        if is_link(&file.entry) {
            self.last = (!self.linked.contains(&file.entry.id)).then(|| file.clone());
            return None;
        }
        link.filter(|link| is_original_of(&file.entry, &link.entry) && !self.originals.contains(&file.entry.id))
    }
}

/// The remap that CRIU would have written for the two.
pub(super) fn remap(link: &FileRecord, original: &FileRecord) -> RemapRecord {
    let entry = RemapFilePathEntry::default().with(|remap| {
        remap.orig_id = original.entry.id;
        remap.remap_id = link.entry.id;
        remap.remap_type = Some(0);
    });
    Record { entry, evidence: link.evidence.clone() }
}

/// The ids of the links that remaps name.
pub(super) fn linked(remaps: &[RemapRecord]) -> impl Iterator<Item = u32> {
    remaps.iter().filter_map(|remap| match remap.entry.remap() {
        Remap::Linked { file_id } => Some(file_id),
        Remap::Ghost { .. } | Remap::Procfs { .. } | Remap::Unknown { .. } | _ => None,
    })
}

/// Whether the file is the link of a link remap: only for those CRIU writes neither mode nor size nor mount.
pub(super) fn is_link(file: &RegFileEntry) -> bool {
    let has_attributes = file.mode.is_some() || file.size.is_some() || file.mount_id().is_some() || file.ext;
    !has_attributes && file.name.ends_with(format!("/link_remap.{}", file.id).as_bytes())
}

/// Whether a link can stand for the file: it is a file of its own, in the directory of the link or below.
fn is_original_of(file: &RegFileEntry, link: &RegFileEntry) -> bool {
    let directory = link.name.iter().rposition(|byte| *byte == b'/').map(|slash| &link.name[..=slash]);
    let is_below = directory.is_some_and(|directory| file.name.starts_with(directory));
    link.flags == 0 && file.mode.is_some() && !file.ext && file.id != link.id && is_below
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::example::evidence;

    fn record(entry: RegFileEntry) -> FileRecord {
        let evidence = evidence("files.img", u64::from(entry.id));
        Record { entry, evidence }
    }

    fn link(id: u32, name: &str) -> FileRecord {
        record(RegFileEntry::default().with(|file| (file.id, file.name) = (id, name.into())))
    }

    fn original(id: u32, name: &str) -> FileRecord {
        let mut file = link(id, name);
        (file.entry.mode, file.entry.size) = (Some(0o100_640), Some(8));
        file
    }

    #[track_caller]
    fn check(files: &[FileRecord], expected: &[u32]) {
        let mut pairs = Pairs::default();
        let found: Vec<u32> = files.iter().filter_map(|file| pairs.note(file)).map(|link| link.entry.id).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_link_before_the_file_that_it_stands_for_is_a_pair() {
        check(&[link(6, "/srv/link_remap.6"), original(5, "/srv/data")], &[6]);
        check(&[link(6, "/link_remap.6"), original(5, "/srv/data")], &[6]);
        check(&[link(6, "/link_remap.6"), original(5, "/a"), link(8, "/link_remap.8"), original(7, "/b")], &[6, 8]);
    }

    #[test]
    fn other_entries_are_no_pair() {
        let with = |change: fn(&mut RegFileEntry)| {
            let mut file = link(6, "/srv/link_remap.6");
            change(&mut file.entry);
            file
        };
        let file = || original(5, "/srv/data");
        for odd in [
            link(6, "/srv/link_remap.7"),
            link(6, "/srv/a.link_remap.6"),
            with(|link| link.mode = Some(0o100_640)),
            with(|link| link.size = Some(8)),
            with(|link| link.mnt_id = Some(20)),
            with(|link| link.ext = true),
            with(|link| link.flags = 2),
        ] {
            check(&[odd, file()], &[]);
        }
        check(&[file(), link(6, "/srv/link_remap.6")], &[]);
        check(&[link(6, "/srv/link_remap.6"), original(4, "/other/file"), file()], &[]);
        check(&[link(6, "/srv/link_remap.6"), link(5, "/srv/data")], &[]);
        check(&[link(6, "/srv/link_remap.6"), original(6, "/srv/data")], &[]);
    }

    #[test]
    fn a_link_that_a_remap_names_needs_no_shape() {
        let mut pairs = Pairs::new(&[remap(&link(6, "/link_remap.6"), &original(5, "/a"))]);
        assert_eq!(pairs.note(&link(6, "/link_remap.6")), None);
        assert_eq!(pairs.note(&original(5, "/a")), None);
        // One file has one link.
        assert_eq!(pairs.note(&link(8, "/link_remap.8")), None);
        assert_eq!(pairs.note(&original(5, "/a")), None);
    }
}
