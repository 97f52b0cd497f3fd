// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A record that the user names instead of images.
//!
//! It is trusted as images are: whoever may have written the file, or may have put it into its directory, is its author.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::document::Document;
use super::facts::Facts;
use super::read::{self, ImagesId, Unusable};
use super::{Boot, Company, Record, Trust};
use crate::system::author::Author;
use crate::system::dir::{self, Directory, InodeId};

/// How a record begins: the version is its first field.
const BEGINNING: &[u8] = b"{\"criu_gc_record\":";

/// A record without its images.
#[derive(Debug)]
pub struct RecordFile {
    file: File,
    path: PathBuf,
    inode: InodeId,
    /// Who may have written it.
    pub author: Author,
    /// When it was made.
    pub boot: Boot,
    /// What stands in it, without the facts.
    pub document: Document,
    /// What it repeats of the images.
    pub facts: Facts,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the record {}", path.display())]
pub struct RecordFileError {
    path: PathBuf,
    source: Unusable,
}

/// Whether an open file is a record, by its first bytes. A pipe is not asked.
pub fn is_record(file: &File) -> bool {
    let mut beginning = [0; 64];
    let Ok(read) = file.read_at(&mut beginning, 0) else { return false };
    let is_blank = |byte: &&u8| byte.is_ascii_whitespace();
    let text: Vec<u8> = beginning[..read].iter().filter(|byte| !is_blank(byte)).copied().collect();
    text.starts_with(BEGINNING)
}

impl RecordFile {
    /// Reads an open file; `path` is the one that the user typed.
    pub fn read(file: File, path: &Path) -> Result<Self, RecordFileError> {
        let failed = |source: Unusable| RecordFileError { path: path.to_owned(), source };
        let identity = dir::identity_of(&file, path).map_err(|error| failed(Unusable(error.source.to_string())))?;
        let author = author(&file, identity.id());
        let readable = file.try_clone().map_err(|error| failed(Unusable(error.to_string())))?;
        let mut document = read::parse(readable).map_err(failed)?;
        let boot = read::boot_of(&document.machine).map_err(failed)?;
        let facts = document.facts.take().ok_or_else(|| {
            let why = "it was made by a criu-gc that did not yet record what the images say: name the images";
            failed(Unusable(why.to_owned()))
        })?;
        Ok(RecordFile { file, path: path.to_owned(), inode: identity.id(), author, boot, document, facts })
    }

    /// The path that the user typed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which inode it is.
    pub fn inode(&self) -> InodeId {
        self.inode
    }

    /// Where the images were, if they may be looked for there: a path of somebody else's leads nowhere.
    pub fn images_directory(&self) -> Option<PathBuf> {
        let path = PathBuf::from(OsString::from_vec(self.document.dump.images_directory.0.clone()));
        (self.author == Author::Trusted && path.is_absolute()).then_some(path)
    }

    /// Whether it belongs to these images.
    pub fn is_of(&self, images: ImagesId<'_>) -> bool {
        read::check_dump(&self.document.dump, images).is_ok()
    }

    /// The record, which names the objects itself.
    pub fn record(&self) -> Record {
        let record = Record::new(self.document.clone(), self.trust(), self.boot).with_age(&self.facts);
        Record { name: self.path.display().to_string(), company: Company::Alone, ..record }
    }

    fn trust(&self) -> Trust {
        read::trust(self.author)
    }
}

impl std::os::fd::AsFd for RecordFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Who may have written an open record. A file that is no longer where the kernel says may be anybody's.
fn author(file: &File, inode: InodeId) -> Author {
    match directory_of(file, inode) {
        Some(directory) => read::author(&directory, file),
        None => Author::Anybody,
    }
}

/// The directory that holds an open file, by the way without symbolic links.
fn directory_of(file: &File, inode: InodeId) -> Option<Directory> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = std::fs::read_link(link).ok()?;
    let (parent, name): (&Path, &OsStr) = (path.parent()?, path.file_name()?);
    let directory = Directory::open_exactly(parent).ok()?;
    let entry = directory.entry(name).ok()??;
    (entry.id() == inode).then_some(directory)
}
