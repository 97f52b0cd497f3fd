// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The images of one checkpoint, wherever they are: in a directory held open, or kept in memory from an archive.
//!
//! A directory is opened once, and each image by its name in it, so that nobody can put another directory in its place
//! while it is read. What came from an archive is never on disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criu_images::ImageKind;

use super::LocateError;
use crate::system::author::Author;
use crate::system::dir::{self, Directory, FileError};
use crate::time::Timestamp;

/// The images of a checkpoint, and the files of CRIU's that go with them.
#[derive(Debug)]
pub struct Images {
    path: PathBuf,
    files: Files,
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
    Beside(Files),
}

/// Files by their names.
#[derive(Debug)]
#[allow(dead_code, reason = "archives, which come next, are kept")]
pub(super) enum Files {
    /// Those of a directory.
    Directory(Directory),
    /// Those of a directory in an archive.
    Kept(Kept),
}

/// Files of an archive's directory that are kept in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// Their content; `None` for a file of which only the name matters.
    pub(super) files: BTreeMap<Vec<u8>, Option<KeptFile>>,
}

/// A file that is kept in memory.
#[derive(Debug, Clone)]
pub(super) struct KeptFile {
    pub(super) content: Arc<[u8]>,
    pub(super) written: Written,
}

/// When a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// By what the file itself says. In an archive this is the word of whoever made the archive.
    pub said: Timestamp,
    /// No later than this, by this host's own clock.
    pub until: Timestamp,
}

/// An open file of a checkpoint.
#[derive(Debug)]
pub struct ImageFile {
    content: Content,
    /// When it was written, where that can be told.
    pub written: Option<Written>,
    /// Who may have written it.
    pub author: Author,
}

#[derive(Debug)]
enum Content {
    File(File),
    Kept(Cursor<Arc<[u8]>>),
}

impl Read for ImageFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::File(file) => file.read(buffer),
            Content::Kept(content) => content.read(buffer),
        }
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
        Ok(Images::new(path, Files::Directory(directory), work)?)
    }

    /// The images in `files`. `path` is what people are told.
    pub(super) fn new(path: &Path, files: Files, work: Work) -> Result<Self, FileError> {
        let names = files.names()?;
        Ok(Images { path: path.to_owned(), files, names, work })
    }

    /// A path for people: of the directory, or of the archive with the directory in it. With an image's name joined to
    /// it, it is one for that image.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the images, unless they came from an archive.
    pub fn directory(&self) -> Option<&Directory> {
        self.files.directory()
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
        self.files.open(name)
    }

    /// Opens a log or statistics of CRIU's; `None` where there is none.
    pub fn work_file(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        let beside = match &self.work {
            Work::Images => None,
            Work::Named(directory) => return open_in(directory, name),
            Work::Beside(files) => files.open(name)?,
        };
        match beside {
            Some(file) => Ok(Some(file)),
            None => self.files.open(name),
        }
    }
}

impl Files {
    pub(super) fn open(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        match self {
            Files::Directory(directory) => open_in(directory, name),
            Files::Kept(kept) => Ok(kept.files.get(name.as_bytes()).cloned().flatten().map(ImageFile::of_kept)),
        }
    }

    /// The directory, unless the files came from an archive.
    pub(super) fn directory(&self) -> Option<&Directory> {
        match self {
            Files::Directory(directory) => Some(directory),
            Files::Kept(_) => None,
        }
    }

    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, FileError> {
        match self {
            Files::Directory(directory) => directory.names(),
            Files::Kept(kept) => Ok(kept.files.keys().cloned().collect()),
        }
    }
}

impl ImageFile {
    /// The open file, unless it came from an archive.
    pub(super) fn file(&self) -> Option<&File> {
        match &self.content {
            Content::File(file) => Some(file),
            Content::Kept(_) => None,
        }
    }

    fn of_kept(kept: KeptFile) -> Self {
        ImageFile {
            content: Content::Kept(Cursor::new(kept.content)),
            written: Some(kept.written),
            author: Author::Anybody,
        }
    }
}

fn open_in(directory: &Directory, name: &str) -> Result<Option<ImageFile>, FileError> {
    let Some(file) = directory.read_file(OsStr::from_bytes(name.as_bytes()))? else { return Ok(None) };
    let written = dir::last_written(&file).ok().map(|time| Written { said: time, until: time });
    let author = Author::of(&file).unwrap_or(Author::Anybody);
    Ok(Some(ImageFile { content: Content::File(file), written, author }))
}
