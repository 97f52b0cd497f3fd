// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The records that outlive their images: a directory of root's, with one file for each dump.
//!
//! Only root may write in it, and no link leads there that others could replace. A file appears whole or not at all.
//! The store is bounded: a new record replaces the oldest ones if there is no room.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::Record;
use super::document::Document;
use super::read::{self, ImagesId, Unusable};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError, FileIdentity, Name, Reach};
use crate::system::replace;
use crate::system::way::{self, WayError};
use crate::time::Timestamp;

/// Where the program stores records.
const PATH: &str = "/var/lib/criu-gc/records";
/// The most records that it holds.
const MOST: usize = 2_000;
/// The most bytes that all records take together.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// What the name of a record ends with.
const EXTENSION: &str = ".json";
/// What the name of a record begins with if the dump has no run id.
const BY_TIME: &str = "images-";

/// A directory of records that outlive their images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordStore {
    path: PathBuf,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    records: usize,
    bytes: u64,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory could not be opened or created.
    #[error(transparent)]
    Way(#[from] WayError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others could have written the records.
    #[error("users other than root and the one who runs criu-gc can write to {}", .0.display())]
    OthersWrite(PathBuf),
    /// It is relative, or too short.
    #[error("{} is not an absolute path of at least two directories", .0.display())]
    NotAbsolute(PathBuf),
    /// Nothing distinguishes the dump from others.
    #[error("the dump has neither a run id nor images with a time")]
    NoName,
    /// It is larger than any that would be read.
    #[error("the record has {0} bytes, more than fit in the store")]
    TooLarge(u64),
    /// A stored record cannot be used.
    #[error("{} is not used", path.display())]
    Unusable {
        /// The record.
        path: PathBuf,
        /// Why.
        source: Unusable,
    },
}

/// A record that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// How many older ones had to go.
    pub dropped: usize,
}

impl Default for RecordStore {
    /// The store of the program: `/var/lib/criu-gc/records`.
    fn default() -> Self {
        RecordStore::at(PATH)
    }
}

impl RecordStore {
    /// A store in this directory, which is created when something is stored in it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        RecordStore { path: path.into(), limits: Limits { records: MOST, bytes: MOST_BYTES } }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The paths of the records in it, by name. One that is damaged or foreign is among them.
    pub(crate) fn list(&self) -> Result<Vec<PathBuf>, StoreError> {
        let Some(directory) = self.open()? else { return Ok(Vec::new()) };
        let names = directory.names()?.into_iter().filter(|name| is_record_name(name));
        Ok(names.map(|name| self.path.join(OsStr::from_bytes(&name))).collect())
    }

    /// Stores what the dump left.
    pub(crate) fn put(&self, document: &Document, text: &[u8]) -> Result<Stored, StoreError> {
        let name = name_of(document).ok_or(StoreError::NoName)?;
        let size = text.len() as u64;
        if size > self.limits.bytes.min(read::LIMIT) {
            return Err(StoreError::TooLarge(size));
        }
        let directory = self.open_or_make()?;
        let dropped = self.make_room(&directory, &name, size)?;
        replace::replace(&directory, OsStr::new(&name), text)?;
        Ok(Stored { path: self.path.join(name), dropped })
    }

    /// The document of these images with its path; `None` if there is none.
    pub(crate) fn find(&self, images: ImagesId<'_>) -> Result<Option<(PathBuf, Document)>, StoreError> {
        let Some(directory) = self.open()? else { return Ok(None) };
        for name in names_for(&directory, images)? {
            let path = self.path.join(&name);
            let unusable = |source: Unusable| StoreError::Unusable { path: path.clone(), source };
            let Some(file) = directory.read_file(&name)? else { continue };
            if read::author(&directory, &file) != Author::Trusted {
                return Err(StoreError::OthersWrite(path));
            }
            let document = read::parse(file).map_err(unusable)?;
            if read::check_dump(&document.dump, images).is_ok() {
                return Ok(Some((path, document)));
            }
        }
        Ok(None)
    }

    /// The record of these images, if it was made on this machine. It is believed no more than their author.
    pub(crate) fn record(&self, images: ImagesId<'_>, author: Author) -> Result<Option<Record>, StoreError> {
        let Some((path, document)) = self.find(images)? else { return Ok(None) };
        let boot = match read::boot_of(&document.machine) {
            Ok(boot) => boot,
            Err(source) => return Err(StoreError::Unusable { path, source }),
        };
        Ok(Some(Record { name: path.display().to_string(), ..Record::new(document, read::trust(author), boot) }))
    }

    /// Removes the record of these images. `false` if there is none.
    pub(crate) fn remove(&self, images: ImagesId<'_>) -> Result<bool, StoreError> {
        let (Some((path, _)), Some(directory)) = (self.find(images)?, self.open()?) else { return Ok(false) };
        match path.file_name().and_then(|name| Name::checked(name, is_record_name)) {
            Some(name) => Ok(directory.unlink(name)?),
            None => Ok(false),
        }
    }

    /// `None` where it does not exist.
    fn open(&self) -> Result<Option<Directory>, StoreError> {
        let (base, [parent, own]) = self.way()?;
        let found = way::open(base).and_then(|base| {
            let directory = base.below(&Path::new(parent).join(own), Reach::AcrossMounts)?;
            Ok(directory.reopened()?)
        });
        match found {
            Ok(directory) => self.checked(directory).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory and the one that it is in are created where they do not exist.
    fn open_or_make(&self) -> Result<Directory, StoreError> {
        let (base, names) = self.way()?;
        let mut directory = way::open(base)?;
        for name in names {
            directory = self.checked(way::make_below(&directory, name, &self.path)?)?;
        }
        Ok(directory)
    }

    /// What exists on every host, which may be behind links of root's, and the two directories below it, which may not.
    fn way(&self) -> Result<(&Path, [&OsStr; 2]), StoreError> {
        let not_absolute = || StoreError::NotAbsolute(self.path.clone());
        let (Some(own), Some(parent)) = (self.path.file_name(), self.path.parent()) else { return Err(not_absolute()) };
        let (Some(name), Some(base)) = (parent.file_name(), parent.parent()) else { return Err(not_absolute()) };
        if self.path.is_absolute() { Ok((base, [name, own])) } else { Err(not_absolute()) }
    }

    /// Whoever can write in the directory, or in one above it, could replace records.
    fn checked(&self, directory: Directory) -> Result<Directory, StoreError> {
        let refused = || StoreError::OthersWrite(self.path.clone());
        if directory.author() != Ok(Author::Trusted) {
            return Err(refused());
        }
        let mut above = directory.parent()?;
        while let Some(parent) = above {
            let FileIdentity { owner, mode, .. } = parent.identity()?;
            if Author::of_owner(owner, mode) != Author::Trusted {
                return Err(refused());
            }
            above = parent.parent()?;
        }
        Ok(directory)
    }

    /// Removes the oldest records until one more of this size fits; gives how many.
    fn make_room(&self, directory: &Directory, new: &str, size: u64) -> Result<usize, StoreError> {
        let mut stored: Vec<(Timestamp, u64, OsString)> = Vec::new();
        for name in directory.names()?.into_iter().filter(|name| is_ours(name) && name != new.as_bytes()) {
            let name = OsStr::from_bytes(&name).to_owned();
            let Some(entry) = directory.entry(&name)? else { continue };
            if entry.file_type() == FileType::RegularFile {
                stored.push((entry.modified, entry.size, name));
            }
        }
        stored.sort();
        let (mut count, mut bytes) = (stored.len(), stored.iter().map(|(_, size, _)| size).sum::<u64>());
        let mut dropped = 0;
        for (_, freed, name) in &stored {
            if count < self.limits.records && bytes + size <= self.limits.bytes {
                break;
            }
            if let Some(name) = Name::checked(name, is_ours) {
                directory.unlink(name)?;
            }
            (count, bytes, dropped) = (count - 1, bytes - freed, dropped + 1);
        }
        Ok(dropped)
    }
}

/// The run id is unique. Without one the time of the images is, to the nanosecond, with the root task's pid.
fn name_of(document: &Document) -> Option<String> {
    if let Some(run_id) = &document.dump.run_id {
        return is_uuid(run_id.as_bytes()).then(|| format!("{run_id}{EXTENSION}"));
    }
    let written = document.dump.images_written?;
    let pid = document.facts.as_ref().and_then(|facts| facts.tasks.first()).map_or(0, |task| task.pid);
    Some(format!("{BY_TIME}{}-{pid}{EXTENSION}", written.0))
}

/// The names that the record of these images may have. Of images without a run id, a copy may have kept the time to the
/// second only.
fn names_for(directory: &Directory, images: ImagesId<'_>) -> Result<Vec<OsString>, StoreError> {
    if let Some(run_id) = images.run_id {
        let name = is_uuid(run_id.as_bytes()).then(|| OsString::from(format!("{run_id}{EXTENSION}")));
        return Ok(name.into_iter().collect());
    }
    let Some(written) = images.written else { return Ok(Vec::new()) };
    let prefix = match written.nanoseconds() {
        0 => format!("{BY_TIME}{}.", written.seconds()),
        _ => format!("{BY_TIME}{written}-"),
    };
    let names = directory.names()?.into_iter();
    let found = names.filter(|name| name.starts_with(prefix.as_bytes()) && is_record_name(name));
    Ok(found.map(|name| OsStr::from_bytes(&name).to_owned()).collect())
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether a name is one that the store gives to a record.
fn is_record_name(name: &[u8]) -> bool {
    let Some(stem) = name.strip_suffix(EXTENSION.as_bytes()) else { return false };
    let is_numeric = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let is_by_time = stem.strip_prefix(BY_TIME.as_bytes()).is_some_and(|rest| rest.iter().all(is_numeric));
    is_uuid(stem) || is_by_time
}

/// The same, or one that a killed run has not finished.
fn is_ours(name: &[u8]) -> bool {
    is_record_name(name.strip_suffix(replace::UNFINISHED.as_bytes()).unwrap_or(name))
}

#[cfg(test)]
mod tests;
