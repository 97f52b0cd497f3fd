// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the record next to the images, and decides whether it belongs to them and can be trusted.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;

use super::document::{Document, Dump, Machine, VERSION};
use super::{Beside, Boot, FILE_NAME, Record, Trust};
use crate::causes::with_causes;
use crate::json::{self, DecodeError};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError};
use crate::system::machine;
use crate::time::Timestamp;

/// A hundred thousand link remaps make a record of less than this.
pub(super) const LIMIT: u64 = 64 * 1024 * 1024;

/// Why a record is not used, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub(super) String);

/// Which images these are.
#[derive(Debug, Clone, Copy)]
pub struct ImagesId<'a> {
    /// The run id of the dump, where it is known.
    pub run_id: Option<&'a str>,
    /// When the images that name residue were last written.
    pub written: Option<Timestamp>,
}

/// Reads the record of an images directory. Whatever is wrong with it, the images can be used without it.
pub fn read(directory: &Directory, images: ImagesId<'_>) -> Beside {
    match find(directory, images) {
        Ok(None) => Beside::Nothing,
        Ok(Some(record)) => Beside::Found(Box::new(record)),
        Err(Unusable(why)) => Beside::Ignored(why),
    }
}

fn find(directory: &Directory, images: ImagesId<'_>) -> Result<Option<Record>, Unusable> {
    let unreadable = |error: FileError| Unusable(with_causes(&error));
    let Some(file) = directory.read_file(OsStr::new(FILE_NAME)).map_err(unreadable)? else { return Ok(None) };
    let trust = trust(author(directory, &file));
    let document = parse(file)?;
    check_dump(&document.dump, images)?;
    let boot = boot_of(&document.machine)?;
    Ok(Some(Record::new(document, trust, boot)))
}

/// The document of the record next to these images, if only root can have written it, on this machine.
pub fn trusted_document(directory: &Directory, images: ImagesId<'_>) -> Option<Document> {
    let file = directory.read_file(OsStr::new(FILE_NAME)).ok()??;
    if author(directory, &file) != Author::Trusted {
        return None;
    }
    let document = parse(file).ok()?;
    let is_of_here = check_dump(&document.dump, images).is_ok() && boot_of(&document.machine).is_ok();
    is_of_here.then_some(document)
}

/// In which life of this machine a record was made.
pub(super) fn boot_of(recorded: &Machine) -> Result<Boot, Unusable> {
    let here = Machine {
        boot_id: machine::boot_id(),
        machine_id: machine::machine_id(),
        name: machine::host_name(),
        pid_namespace: None,
    };
    boot(recorded, &here)
}

/// Who may have written a record: both it and the directory, in which it could be replaced, count.
pub(super) fn author(directory: &Directory, file: &File) -> Author {
    let of_directory = directory.author().unwrap_or(Author::Anybody);
    of_directory.or(directory.author_of(file).unwrap_or(Author::Anybody))
}

pub(super) fn trust(author: Author) -> Trust {
    match author {
        Author::Trusted => Trust::Full,
        Author::User(_) | Author::Anybody => Trust::KeepOnly,
    }
}

pub(super) fn parse(file: File) -> Result<Document, Unusable> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        criu_gc_record: u32,
    }
    let mut text = Vec::new();
    let read = file.take(LIMIT + 1).read_to_end(&mut text).map_err(|error| Unusable(error.to_string()))?;
    if read as u64 > LIMIT {
        return Err(unusable("it is too large for a record"));
    }
    let wrong = |error: DecodeError| Unusable(format!("it is not a record: {error}"));
    let Versioned { criu_gc_record: version } = json::decode(&text).map_err(wrong)?;
    if version != VERSION {
        return Err(Unusable(format!("it has version {version}, which this criu-gc does not support")));
    }
    json::decode(&text).map_err(wrong)
}

/// A run id belongs to one dump only. Without one the times of the images have to be those of the record; an archive
/// may have kept them to the second only.
pub(super) fn check_dump(recorded: &Dump, images: ImagesId<'_>) -> Result<(), Unusable> {
    match (recorded.run_id.as_deref(), images.run_id) {
        (Some(recorded), Some(found)) if recorded == found => Ok(()),
        (Some(recorded), Some(found)) => {
            Err(Unusable(format!("it belongs to the dump with run id {recorded:.40}, and the images to {found}")))
        }
        (None, None) => match (recorded.images_written, images.written) {
            (Some(recorded), Some(found)) if is_same_time(recorded.0, found) => Ok(()),
            _ => Err(unusable("it belongs to images that were written at another time")),
        },
        _ => Err(unusable("it belongs to a dump by another version of CRIU")),
    }
}

fn is_same_time(recorded: Timestamp, found: Timestamp) -> bool {
    recorded == found || (found.nanoseconds() == 0 && found.seconds() == recorded.seconds())
}

fn boot(recorded: &Machine, here: &Machine) -> Result<Boot, Unusable> {
    let is_same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
    if is_same(&recorded.boot_id, &here.boot_id) {
        return Ok(Boot::This);
    }
    if is_same(&recorded.machine_id, &here.machine_id) {
        return Ok(Boot::Earlier);
    }
    Err(Unusable(format!("it was made on another machine, {:.64}", recorded.name)))
}

fn unusable(why: &str) -> Unusable {
    Unusable(why.to_owned())
}

#[cfg(test)]
mod tests;
