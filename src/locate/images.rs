// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The images of one checkpoint, in a directory held open.
//!
//! The directory is opened once, and each image by its name in it, so that nobody can put another directory in its place
//! while it is read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criu_images::ImageKind;

use super::LocateError;
use crate::system::author::Author;
use crate::system::dir::{self, Directory, FileError};
use crate::time::Timestamp;

/// The images of a checkpoint, and the files of CRIU's that go with them.
#[derive(Debug)]
pub struct Images {
    path: PathBuf,
    directory: Directory,
    names: Vec<Vec<u8>>,
    work: Work,
}

/// Where CRIU's logs and statistics are.
#[derive(Debug)]
pub(super) enum Work {
    /// Where the images are.
    Images,
    /// Where the user says (`-W`), and nowhere else.
    Named(Directory),
    /// Where the runtime puts them, or else where the images are.
    Beside(Directory),
}

/// An open file of a checkpoint.
#[derive(Debug)]
pub struct ImageFile {
    file: File,
    /// When it was written, where that can be told.
    pub written: Option<Timestamp>,
    /// Who may have written it.
    pub author: Author,
}

impl Read for ImageFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Images {
    /// The images in a directory, whatever is around it; CRIU's log and statistics are in `work_dir`, or with them.
    pub fn open(path: &Path, work_dir: Option<&Path>) -> Result<Self, LocateError> {
        let directory = Directory::open(path)?;
        if !directory.names()?.iter().any(|name| ImageKind::of_file_name(name).is_some()) {
            return Err(LocateError::NoImages { path: path.to_owned() });
        }
        let work = work_dir.map(Directory::open).transpose()?.map_or(Work::Images, Work::Named);
        Ok(Images::new(path, directory, work)?)
    }

    /// The images in `directory`. `path` is what people are told.
    pub(super) fn new(path: &Path, directory: Directory, work: Work) -> Result<Self, FileError> {
        let names = directory.names()?;
        Ok(Images { path: path.to_owned(), directory, names, work })
    }

    /// The path of the directory, for people. With an image's name joined to it, it is one for that image.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the images.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The ids for which there is an image of this kind, ascending.
    pub fn ids(&self, kind: ImageKind) -> Vec<u32> {
        let of_kind = |name: &Vec<u8>| match ImageKind::of_file_name(name) {
            Some((found, Some(id))) if found == kind => Some(id),
            _ => None,
        };
        let mut ids: Vec<u32> = self.names.iter().filter_map(of_kind).collect();
        ids.sort_unstable();
        ids
    }

    /// Opens the image `name`; `None` where there is none.
    pub fn image(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        open_in(&self.directory, name)
    }

    /// Opens a log or statistics of CRIU's; `None` where there is none.
    pub fn work_file(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        let beside = match &self.work {
            Work::Images => None,
            Work::Named(directory) => return open_in(directory, name),
            Work::Beside(directory) => open_in(directory, name)?,
        };
        match beside {
            Some(file) => Ok(Some(file)),
            None => open_in(&self.directory, name),
        }
    }
}

impl ImageFile {
    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Opens a file of a directory, with when and by whom it was written.
pub(super) fn open_in(directory: &Directory, name: &str) -> Result<Option<ImageFile>, FileError> {
    let Some(file) = directory.read_file(OsStr::from_bytes(name.as_bytes()))? else { return Ok(None) };
    let written = dir::last_written(&file).ok();
    let author = Author::of(&file).unwrap_or(Author::Anybody);
    Ok(Some(ImageFile { file, written, author }))
}
