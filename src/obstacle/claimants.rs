// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which checkpoint near the failed one names a link: people and runtimes keep checkpoints side by side.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::checkpoint::{self, Checkpoint};
use crate::kind::{self, LinkRemap, Residue};
use crate::locate::Images;
use crate::record::RecordFile;
use crate::record::store::RecordStore;
use crate::system::author::Author;
use crate::system::dir::{self, Directory, FileIdentity, Opened};

/// No more directories are read.
const DIRECTORIES: usize = 200;

/// Where checkpoints are looked for.
#[derive(Debug, Clone)]
pub(super) struct Around {
    /// The images directory of the dump that failed.
    pub(super) images: Option<PathBuf>,
    /// The records that outlive their images.
    pub(super) store: RecordStore,
}

/// A checkpoint, or a record, that names the link.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claimant {
    /// What speaks for it.
    pub(super) claims: Claims,
    /// The images directory or the record.
    pub(super) path: PathBuf,
}

/// What ties a link to a checkpoint, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claims {
    /// Its record has the inode.
    Recorded,
    /// A record without images has it.
    Store,
    /// Its images name the link, and it has not changed since they were written.
    Named,
    /// Its images name the link.
    PathOnly,
}

/// What names this link, the likeliest first.
pub(super) fn claimants(link: &[u8], file: &FileIdentity, around: &Around) -> Vec<Claimant> {
    let places = around.images.as_deref().map(places).unwrap_or_default();
    let beside = places.into_iter().filter_map(|path| Some(Claimant { claims: claims(&path, link, file)?, path }));
    let mut claimants: Vec<Claimant> = beside.chain(recorded(&around.store, file)).collect();
    claimants.sort();
    claimants
}

/// Directories beside the images, and those of the same name beside their parent: `dumps/1`, `dumps/2`; `1/images`,
/// `2/images`.
fn places(images: &Path) -> Vec<PathBuf> {
    let Ok(images) = Directory::open(images).and_then(|directory| directory.location()) else { return Vec::new() };
    let Some(parent) = images.parent() else { return Vec::new() };
    let name = images.file_name().unwrap_or_default();
    let beside = entries(parent).into_iter().map(|entry| parent.join(entry));
    let above = parent.parent().filter(|above| above.parent().is_some());
    let of_above = above.map(|above| entries(above).into_iter().map(|entry| above.join(entry).join(name)).collect());
    let of_above: Vec<PathBuf> = of_above.unwrap_or_default();
    beside.chain(of_above).filter(|path| *path != images).take(DIRECTORIES).collect()
}

fn entries(directory: &Path) -> Vec<std::ffi::OsString> {
    let names = Directory::open(directory).and_then(|directory| directory.names()).unwrap_or_default();
    names.into_iter().map(|name| OsStr::from_bytes(&name).to_owned()).collect()
}

/// What ties the link to the checkpoint in a directory, which only root can have written.
fn claims(path: &Path, link: &[u8], file: &FileIdentity) -> Option<Claims> {
    let directory = Directory::open_exactly(path).ok()?;
    if directory.author() != Ok(Author::Trusted) {
        return None;
    }
    let checkpoint = checkpoint::read(&Images::open(path, None).ok()?).ok()?;
    let named = kind::named_by_images(&checkpoint).residues.into_iter().find_map(|residue| {
        let Residue::LinkRemap(named) = residue else { return None };
        (named.link == link).then_some(named)
    })?;
    Some(judge(&checkpoint, &named, file))
}

fn judge(checkpoint: &Checkpoint, named: &LinkRemap, file: &FileIdentity) -> Claims {
    let recorded = checkpoint.record.record().and_then(|record| record.link(named.id, &named.link));
    if recorded.is_some_and(|recorded| (recorded.device.0, recorded.inode) == (file.device, file.inode)) {
        return Claims::Recorded;
    }
    let is_older = checkpoint.times.of(&named.evidence).is_some_and(|written| file.changed <= written.latest());
    if is_older { Claims::Named } else { Claims::PathOnly }
}

/// The stored record that has the inode.
fn recorded(store: &RecordStore, file: &FileIdentity) -> Option<Claimant> {
    let has_inode = |path: &PathBuf| {
        let Ok(Opened::File(opened)) = dir::open_named(path) else { return false };
        let Ok(record) = RecordFile::read(opened, path) else { return false };
        record.author == Author::Trusted
            && record.document.links.iter().any(|link| (link.device.0, link.inode) == (file.device, file.inode))
    };
    let path = store.list().ok()?.into_iter().find(has_inode)?;
    Some(Claimant { claims: Claims::Store, path })
}
