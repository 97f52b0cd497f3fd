// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which checkpoint near the failed one names a link: people and runtimes keep checkpoints side by side.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::checkpoint::{self, Checkpoint};
use crate::json;
use crate::kind::{self, LinkRemap, Residue};
use crate::locate::Images;
use crate::record::document::Document;
use crate::system::author::Author;
use crate::system::dir::{Directory, FileIdentity};

/// No more directories are read.
const DIRECTORIES: usize = 200;
/// No more records are read, and none that is larger.
const RECORDS: usize = 2_000;
const RECORD_SIZE: u64 = 4 * 1024 * 1024;
/// Records that outlive their images.
const STORE: &str = "/var/lib/criu-gc/records";

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
pub(super) fn claimants(link: &[u8], file: &FileIdentity, images: Option<&Path>) -> Vec<Claimant> {
    let places = images.map(places).unwrap_or_default();
    let beside = places.into_iter().filter_map(|path| Some(Claimant { claims: claims(&path, link, file)?, path }));
    let mut claimants: Vec<Claimant> = beside.chain(recorded(file)).collect();
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
    let named = kind::claims(&checkpoint).residues.into_iter().find_map(|residue| {
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

/// The record in the store that has the inode.
fn recorded(file: &FileIdentity) -> Option<Claimant> {
    let store = Directory::open_exactly(Path::new(STORE)).ok()?.reopened().ok()?;
    if store.author() != Ok(Author::Trusted) {
        return None;
    }
    let has_inode = |name: &OsStr| {
        let mut text = Vec::new();
        let open = store.read_file(name).ok()??;
        open.take(RECORD_SIZE).read_to_end(&mut text).ok()?;
        let document: Document = json::decode(&text).ok()?;
        document.links.iter().any(|link| (link.device.0, link.inode) == (file.device, file.inode)).then_some(())
    };
    let names = store.names().ok()?.into_iter().take(RECORDS);
    let name = names.map(|name| OsStr::from_bytes(&name).to_owned()).find(|name| has_inode(name).is_some())?;
    Some(Claimant { claims: Claims::Store, path: Path::new(STORE).join(name) })
}
