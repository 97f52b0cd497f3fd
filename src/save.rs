// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Saves the files of link remaps in the directory of `--save` before their links are removed.
//!
//! The name of a saved file consists of two numbers, so images do not choose it. Nothing in the directory is ever replaced.
//! criu-gc writes the manifest line after the file is complete and before it removes the link: an interrupted run leaves at
//! worst the link and a file that the manifest does not name. To wait for the disk takes longer than all the rest, so
//! several files wait for it together; the type [`Unsynced`] keeps their links until then.

mod manifest;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::evidence::Evidence;
use crate::json::{Bytes, EvidenceReport};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError, FileIdentity, InodeId, Name, Pinned};
use crate::system::ledger::{self, Ledger, LedgerError};
use crate::system::machine;
use crate::system::save::{self, Attributes};
use crate::system::way::{self, WayError};
use crate::time::Timestamp;
use manifest::{Entry, Facts, MANIFEST, RefusedAttribute, VERSION};

pub use crate::system::save::Method;

/// The last change of inodes.
pub type Changes = HashMap<InodeId, Timestamp>;

/// Why nothing can be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory could not be opened, or somebody else decides which one it is.
    #[error(transparent)]
    Way(#[from] WayError),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] LedgerError),
    /// Somebody else could replace the saved files.
    #[error("{} is writable by users other than root and the one who runs criu-gc", .0.display())]
    OthersWrite(PathBuf),
}

/// The directory of `--save`, before criu-gc creates anything there.
#[derive(Debug, Clone)]
pub struct Destination {
    path: PathBuf,
    own_changes: Changes,
}

impl Destination {
    /// Checks whether files can be saved in `path`, which need not exist if its parent does.
    pub fn check(path: &Path) -> Result<Self, SaveError> {
        let own_changes = match way::open(path).map_err(SaveError::from).and_then(checked) {
            Ok(directory) => read_own_changes(&directory)?,
            Err(SaveError::Way(error)) if error.is_not_found() => {
                let parent = path.parent().ok_or(error)?;
                let parent = if parent == Path::new("") { Path::new(".") } else { parent };
                let _ = way::open(parent)?;
                Changes::new()
            }
            Err(error) => return Err(error),
        };
        Ok(Destination { path: path.to_owned(), own_changes })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The changes that earlier runs made to inodes by linking them here. An interrupted run may have changed the inode of
    /// a link that it did not remove; this distinguishes that change from others.
    pub fn own_changes(&self) -> &Changes {
        &self.own_changes
    }

    /// Creates the directory if necessary, and locks it for this run.
    pub fn open(&self) -> Result<SaveDirectory, SaveError> {
        let directory = checked(way::open_or_make(&self.path)?)?;
        let manifest = Ledger::open(&directory, OsStr::new(MANIFEST))?;
        let next = first_free_number(&directory.names()?);
        Ok(SaveDirectory { directory, manifest, next })
    }
}

/// The directory, if nobody else can replace the files in it.
fn checked(directory: Directory) -> Result<Directory, SaveError> {
    match directory.author() {
        Ok(Author::Trusted) => Ok(directory),
        _ => Err(SaveError::OthersWrite(directory.path().to_owned())),
    }
}

fn read_own_changes(directory: &Directory) -> Result<Changes, SaveError> {
    let Some(file) = ledger::read(directory, OsStr::new(MANIFEST))? else { return Ok(Changes::new()) };
    let changes = manifest::own_changes(BufReader::new(file));
    Ok(changes.map_err(|source| LedgerError::failed("read", &directory.path().join(MANIFEST), source))?)
}

/// A directory in which only this run saves files.
#[derive(Debug)]
pub struct SaveDirectory {
    directory: Directory,
    manifest: Ledger,
    /// The number with which the name of the next file begins.
    next: u64,
}

/// Saves the files of one checkpoint.
#[derive(Debug)]
pub struct Saver {
    /// Where.
    pub directory: SaveDirectory,
    /// The images directory, as the user named it; `None` if no images are known.
    pub images: Option<PathBuf>,
    /// The dump's run id, where it is known.
    pub run_id: Option<String>,
}

/// A name whose file is to be saved.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// What the names of all files of its kind have in common: `link_remap`.
    pub(crate) stem: &'static str,
    /// The number in the name.
    pub(crate) id: u32,
    /// The name, as the tree saw it.
    pub(crate) link: &'a [u8],
    /// The file that it stands for, as the tree saw it.
    pub(crate) original: Option<&'a [u8]>,
    /// The name, as this host sees it.
    pub(crate) path: PathBuf,
    /// The file, as it was found.
    pub(crate) identity: &'a FileIdentity,
    /// The entries of the images behind it.
    pub(crate) evidence: &'a [Evidence],
}

/// A saved file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Where.
    pub path: PathBuf,
    /// How.
    pub method: Method,
}

/// A file that was saved, and that the manifest names; but not on the disk yet, so its link may not go.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unsynced(Saved);

impl Unsynced {
    /// How it was saved.
    pub(crate) fn method(&self) -> Method {
        self.0.method
    }
}

impl Saver {
    /// Saves the open file.
    pub(crate) fn save(&mut self, what: &Subject<'_>, file: &Pinned) -> Result<Unsynced, SaveError> {
        let before = Attributes::of(file, file.path())?;
        let name = self.directory.new_name(what);
        let saved = save::save(file, &self.directory.directory, OsStr::new(&name))?;
        let after = Attributes::of(file, file.path())?;
        let path = self.directory.directory.path().join(&name);
        let entry = Entry {
            manifest: VERSION,
            file: &name,
            method: saved.method,
            link: Bytes(what.link.to_vec()),
            original: what.original.map(|original| Bytes(original.to_vec())),
            path: Bytes::of_path(&what.path),
            facts: Facts::of(what.identity, &before),
            changed_by_saving: (saved.method == Method::HardLink).then_some(after.changed),
            refused_attributes: saved.refused.iter().map(RefusedAttribute::of).collect(),
            images_directory: self.images.as_deref().map(absolute),
            run_id: self.run_id.as_deref(),
            evidence: what.evidence.iter().map(EvidenceReport::new).collect(),
            saved: machine::now(),
            tool: concat!("criu-gc ", env!("CARGO_PKG_VERSION")),
        };
        self.directory.note(&name, what.stem, &entry)?;
        Ok(Unsynced(Saved { path, method: saved.method }))
    }

    /// Waits until the files and their lines are on disk.
    pub(crate) fn sync(&self, files: Vec<Unsynced>) -> Result<Vec<Saved>, SaveError> {
        self.directory.manifest.sync()?;
        save::sync(&self.directory.directory)?;
        Ok(files.into_iter().map(|file| file.0).collect())
    }
}

impl SaveDirectory {
    fn new_name(&mut self, what: &Subject<'_>) -> String {
        let name = format!("{}-{}.{}", self.next, what.stem, what.id);
        self.next = self.next.saturating_add(1);
        name
    }

    /// Appends the line of the file saved as `name` to the manifest.
    fn note(&mut self, name: &str, stem: &str, entry: &Entry<'_>) -> Result<(), SaveError> {
        let line = serde_json::to_vec(entry)
            .map_err(|error| LedgerError::failed("append to", &self.directory.path().join(MANIFEST), error.into()));
        let noted = line.and_then(|line| self.manifest.append(&line));
        if noted.is_err() {
            // A file that the manifest does not name is useless, but harmless if it stays.
            let is_saved_file = |name: &[u8]| name.windows(stem.len()).any(|part| part == stem.as_bytes());
            let _ = Name::checked(OsStr::new(name), is_saved_file).map(|name| self.directory.unlink(name));
        }
        Ok(noted?)
    }
}

/// One more than the highest number at the start of a name, including names of incomplete files.
fn first_free_number(names: &[Vec<u8>]) -> u64 {
    let number = |name: &Vec<u8>| -> Option<u64> {
        let digits = name.split(|byte| *byte == b'-').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    names.iter().filter_map(number).max().map_or(1, |highest| highest.saturating_add(1))
}

/// A relative path means nothing to a later reader of the manifest.
fn absolute(path: &Path) -> Bytes {
    Bytes::of_path(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

#[cfg(test)]
mod tests;
