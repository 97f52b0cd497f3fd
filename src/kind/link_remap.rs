// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps: hard links `link_remap.N` that a dump creates for deleted files that still have another name
//! (`criu/files-reg.c`, since v0.3).
//!
//! An image entry is trusted only if it has exactly the shape that CRIU writes. What an entry of another shape names is
//! kept, and the report says so. A dump that was killed mostly leaves no remap entries. Then the entries of the link and of
//! its file, which CRIU writes one after the other, name the link, and the link must have been made during the dump.

use std::collections::BTreeMap;

use criu_images::Remap;

use super::basis::differences;
use super::original::{MountPoints, Original, absolute, lossy, split};
use super::{Answer, Basis, Claims, Contradiction, Description, Kind, LeftBy, Signs, Unknown};
use crate::carrier::name::{FileMount, NameAct, NameShape};
use crate::carrier::{FoundFile, NameQuery, Query};
use crate::checkpoint::{Checkpoint, FileRecord, LoggedLink, Odd, RemapRecord};
use crate::evidence::Evidence;
use crate::mounts;
use crate::part::Part;
use crate::reason::KeepReason;
use crate::system::author::Author;
use crate::time::Timestamp;

/// A link remap that the images name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRemap {
    /// N of `link_remap.N`: the file id that the dump gave the link.
    pub id: u32,
    /// The link, absolute, as the tree saw it.
    pub link: Vec<u8>,
    /// The file that it stands for, absolute, as the tree saw it; `None` where the images were cut before that entry.
    pub original: Option<Vec<u8>>,
    /// `st_mode` of the file when it was dumped (recorded since v2.4).
    pub mode: Option<u32>,
    /// Size of the file in bytes when it was dumped (since v1.3; not for files opened for appending only).
    pub size: Option<u64>,
    /// The mount of the file, which is that of the link.
    pub mount: FileMount,
    /// What calls it a link remap.
    pub naming: Naming,
    /// The entries that name it.
    pub evidence: Vec<Evidence>,
}

/// What calls a file a link remap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// A remap entry.
    Remap,
    /// The shape of its entry and the next: the remap entries end too early.
    Shape,
    /// Only the log of an interrupted dump leads to it: the number of the inode, and its last change.
    Log(u64, Timestamp),
}

impl LinkRemap {
    /// Whether the file has the name that an NFS client gives an open file that is deleted, and takes away when it is
    /// closed: `.nfs` and at least 24 hexadecimal digits (`is_sillyrename_name` in `criu/files-reg.c`, since v1.1).
    pub fn is_silly_rename(&self) -> bool {
        const DIGITS: usize = 24;
        let name = self.original.as_deref().map_or(&b""[..], |original| split(original).1);
        name.strip_prefix(b".nfs")
            .is_some_and(|rest| rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count() >= DIGITS)
    }
}

impl Kind for LinkRemap {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::Dump;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        let mut links: BTreeMap<u32, Vec<LinkRemap>> = BTreeMap::new();
        let points = MountPoints::of(checkpoint);
        let named = checkpoint.remaps.iter().map(|record| (Naming::Remap, record));
        let shaped = checkpoint.shaped.iter().map(|record| (Naming::Shape, record));
        for (naming, record) in named.chain(shaped) {
            let Remap::Linked { file_id } = record.entry.remap() else { continue };
            let Some(file) = checkpoint.files.get(&file_id) else {
                claims.add_unknown(Self::PART, nameless(checkpoint, record, file_id));
                continue;
            };
            match link_remap(checkpoint, &points, record, naming, file) {
                Ok(link) => links.entry(file_id).or_default().push(link),
                Err(odd) => claims.add_unknown(Self::PART, kept(&odd, &absolute(&file.entry.name))),
            }
        }
        claims.residues.extend(checkpoint.logged_links.iter().map(|logged| logged_link(&points, logged).into()));
        for (file_id, mut links) in links {
            match (links.pop(), links.first()) {
                (Some(link), None) => claims.add(link),
                (Some(second), Some(first)) => claims.add_unknown(Self::PART, used_twice(file_id, first, &second)),
                (None, _) => {}
            }
        }
        claims.unknown.extend(checkpoint.remaps.iter().filter_map(unknown_remap));
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        Query::Name(NameQuery {
            path: self.link.clone(),
            original: self.original.clone(),
            mount: self.mount,
            size: self.size,
            shape: NameShape { stem: "link_remap", id: self.id, is_own: is_link_name },
            act: NameAct::Unlink,
            beside: None,
        })
    }

    fn objections(&self, file: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        if basis.is_held(self.original.as_deref(), file) && !matches!(self.naming, Naming::Log(..)) {
            return Vec::new();
        }
        let Some(mut reasons) = differences(self.mode, self.size, file) else { return vec![KeepReason::Directory] };
        if let Naming::Log(inode, changed) = self.naming {
            reasons.push(KeepReason::LogOnly);
            if (inode, changed) != (file.identity.inode, file.identity.changed) && !basis.is_own_change {
                reasons.push(KeepReason::ChangedSince);
            }
            return reasons;
        }
        if basis.is_made_anew(&self.evidence, file) && !basis.is_own_change {
            reasons.push(KeepReason::ChangedSince);
        }
        let must_be_of_span = self.naming == Naming::Shape && !basis.is_recorded();
        if basis.is_older_than_dump(file) || must_be_of_span && !basis.is_made_by_dump(file) {
            reasons.push(KeepReason::OlderThanDump);
        }
        // A restore takes the link away; and while the restored tree lives, no newer dump can have killed it.
        if basis.checkpoint.restores.succeeded.is_some() && !basis.tree.is_restored() && !basis.is_recorded() {
            reasons.push(KeepReason::RestoredSince);
        }
        reasons
    }

    fn signs(&self, file: &FoundFile, basis: &Basis<'_>) -> Signs {
        if let Naming::Log(..) = self.naming {
            return Signs::default();
        }
        let directory = Author::of_owner(file.directory.owner, file.directory.mode);
        Signs {
            of_newer_dump: basis.record == Some(Answer::Other) || basis.is_made_anew(&self.evidence, file),
            of_no_restore: directory == Author::Trusted && self.objections(file, basis).is_empty(),
        }
    }

    fn describe(&self, _: Option<&FoundFile>) -> Description {
        let is_silly_rename = self.is_silly_rename();
        Description {
            kind: "link-remap",
            fields: vec![
                ("id", self.id.into()),
                ("link", self.link.clone().into()),
                ("original", self.original.clone().into()),
                ("is_silly_rename", is_silly_rename.into()),
            ],
            label: "Link remap",
            name: self.link.clone(),
            target: self.original.clone().into(),
            remark: is_silly_rename.then_some("an NFS silly rename"),
            recognised: None,
        }
    }
}

/// What is said of an entry that CRIU would not have written so.
fn kept(odd: &Contradiction, link: &[u8]) -> String {
    format!("{odd}; {} is kept", lossy(link))
}

/// What is said of a link that stands for two files.
fn used_twice(file_id: u32, first: &LinkRemap, second: &LinkRemap) -> String {
    let text = format!("uses file {file_id} for a second remap (the first: {})", first.evidence[0]);
    kept(&Contradiction { evidence: second.evidence[0].clone(), text }, &second.link)
}

/// What is said of a link remap whose name is missing in the images.
fn nameless(checkpoint: &Checkpoint, record: &RemapRecord, file_id: u32) -> String {
    let evidence = &record.evidence;
    match may_be_cut(checkpoint, file_id) {
        true => format!("{evidence} is a link remap, but the images are truncated before its name"),
        false => format!("{evidence} names file {file_id}, which the images do not contain; its link is kept"),
    }
}

/// Whether the entry of a file may be missing because the images end too early.
fn may_be_cut(checkpoint: &Checkpoint, file_id: u32) -> bool {
    let Odd { files, has_lost_files, .. } = &checkpoint.odd;
    checkpoint.may_lack_files() && !has_lost_files && !files.contains(&file_id)
}

fn unknown_remap(record: &RemapRecord) -> Option<Unknown> {
    let Remap::Unknown { remap_type, .. } = record.entry.remap() else { return None };
    let evidence = &record.evidence;
    let sentence = format!("{evidence} is a remap of type {remap_type}, which this criu-gc does not support");
    Some(Unknown { part: LinkRemap::PART, sentence })
}

fn link_remap(
    checkpoint: &Checkpoint,
    points: &MountPoints,
    record: &RemapRecord,
    naming: Naming,
    file: &FileRecord,
) -> Result<LinkRemap, Contradiction> {
    let id = file.entry.id;
    let link = absolute(&file.entry.name);
    check_link_entry(id, file, &link)?;
    let mut remap = LinkRemap {
        id,
        link,
        original: None,
        mode: None,
        size: None,
        mount: FileMount::Unknown,
        naming,
        evidence: match naming {
            Naming::Remap => vec![record.evidence.clone(), file.evidence.clone()],
            Naming::Shape | Naming::Log(..) => vec![file.evidence.clone()],
        },
    };
    match checkpoint.files.get(&record.entry.orig_id) {
        Some(original) => add_original(checkpoint, points, &mut remap, original)?,
        None if !may_be_cut(checkpoint, record.entry.orig_id) => {
            let text = format!("remaps file {}, which the images do not contain", record.entry.orig_id);
            return Err(contradiction(record, text));
        }
        None if !points.are_own() => remap.mount = FileMount::Shared,
        None => {}
    }
    Ok(remap)
}

/// What was found by the log, and compared with what the tree has open.
fn logged_link(points: &MountPoints, logged: &LoggedLink) -> LinkRemap {
    let mount = match points.are_own() {
        true => points.above(&logged.path).map_or(FileMount::Unknown, FileMount::Id),
        false => FileMount::Shared,
    };
    LinkRemap {
        id: logged.id,
        link: logged.path.clone(),
        original: logged.original.clone(),
        mode: None,
        size: None,
        mount,
        naming: Naming::Log(logged.inode, logged.changed),
        evidence: vec![logged.evidence.clone()],
    }
}

fn add_original(
    checkpoint: &Checkpoint,
    points: &MountPoints,
    remap: &mut LinkRemap,
    original: &FileRecord,
) -> Result<(), Contradiction> {
    let Original { name, mount, evidence } = Original::of(checkpoint, points, original, "link remap", &remap.link)?;
    remap.mode = original.entry.mode;
    remap.size = original.entry.size;
    remap.original = Some(name);
    remap.mount = mount;
    remap.evidence.extend(evidence);
    Ok(())
}

fn check_link_entry(id: u32, file: &FileRecord, link: &[u8]) -> Result<(), Contradiction> {
    let wrong = |text: &str| Contradiction {
        evidence: file.evidence.clone(),
        text: format!("is an entry for link remap {id}, but {text}"),
    };
    let entry = &file.entry;
    if entry.ext {
        return Err(wrong("is an external file"));
    }
    if entry.mount_id().is_some() || entry.size.is_some() || entry.mode.is_some() {
        return Err(wrong("has a mount, size or mode, which CRIU never writes there"));
    }
    if !mounts::is_plain_path(link) {
        return Err(wrong("its name is not a plain path"));
    }
    if !is_link_name(split(link).1, id) {
        return Err(wrong(&format!("its name is {}", lossy(&entry.name))));
    }
    Ok(())
}

/// Whether a name is `link_remap.N`, or `link_remap.N.HEX` as a proposed change to CRIU (pull request 2681) would have it.
pub(crate) fn is_link_name(name: &[u8], id: u32) -> bool {
    let Some(rest) = name.strip_prefix(format!("link_remap.{id}").as_bytes()) else { return false };
    match rest.split_first() {
        None => true,
        Some((b'.', suffix)) => {
            (1..=16).contains(&suffix.len())
                && suffix.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
        }
        Some(_) => false,
    }
}

fn contradiction(record: &RemapRecord, text: String) -> Contradiction {
    Contradiction { evidence: record.evidence.clone(), text }
}

#[cfg(test)]
mod tests;
