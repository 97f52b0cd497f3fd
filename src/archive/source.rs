// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the bytes of an archive come from: a file, a pipe, or standard input.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::system::author::Author;
use crate::system::dir::{self, FileError, InodeId};
use crate::system::machine;
use crate::system::reads::{self, FirstRead, TimesSetBy};
use crate::time::Timestamp;

/// How far the reading of an archive has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The archive.
    pub path: &'a Path,
    /// Bytes of it that were read or passed over.
    pub read: u64,
    /// How many it has, where that is known.
    pub size: Option<u64>,
}

/// An open archive.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    kind: SourceKind,
    author: Author,
    changed: Timestamp,
    born: Option<Timestamp>,
    first_read: FirstRead,
    inode: InodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceKind {
    /// What can be read again, and has an end that is known.
    Regular { size: u64 },
    /// What passes once.
    Pipe,
}

impl Source {
    /// Standard input.
    pub fn standard_input() -> Result<Self, FileError> {
        let path = Path::new("standard input");
        let input = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 0).map_err(dir::failed("read", path))?;
        Source::of(File::from(input), path)
    }

    /// An open file; `path` is for messages. Only regular files and pipes can hold an archive.
    pub fn of(file: File, path: &Path) -> Result<Self, FileError> {
        let identity = dir::identity_of(&file, path)?;
        let file_type = identity.file_type();
        let kind = if file_type == FileType::RegularFile {
            SourceKind::Regular { size: identity.size }
        } else if matches!(file_type, FileType::Fifo | FileType::Socket) {
            SourceKind::Pipe
        } else {
            let refused = dir::failed("read, because it is not a directory, a file or a pipe:", path);
            return Err(refused(rustix::io::Errno::INVAL));
        };
        let (author, changed, first_read) = match kind {
            SourceKind::Regular { .. } => {
                let author = Author::of(&file).unwrap_or(Author::Anybody);
                (author, identity.changed, reads::first_read(&file, TimesSetBy::Writing))
            }
            // Nobody knows who wrote the data in a pipe, and when.
            SourceKind::Pipe => (Author::Anybody, machine::now(), FirstRead::Unknown),
        };
        let (born, inode) = (identity.born, identity.id());
        Ok(Source { file, path: path.to_owned(), kind, author, changed, born, first_read, inode })
    }

    /// Its name in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a file, which others can be kept off.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, SourceKind::Regular { .. })
    }

    /// Which inode it is.
    pub fn inode(&self) -> InodeId {
        self.inode
    }

    /// Who may have written it.
    pub fn author(&self) -> Author {
        self.author
    }

    /// When it was last changed; of a pipe now. What is in it was written no later.
    pub fn changed(&self) -> Timestamp {
        self.changed
    }

    /// When it was made, where that can be told.
    pub fn born(&self) -> Option<Timestamp> {
        self.born
    }

    /// When it was first read after it was written, before it was read here.
    pub fn first_read(&self) -> FirstRead {
        self.first_read
    }

    /// The bytes, from where the file stands.
    pub(super) fn bytes(&self) -> Bytes<'_> {
        let position = match self.kind {
            SourceKind::Regular { .. } => (&self.file).stream_position().unwrap_or(0),
            SourceKind::Pipe => 0,
        };
        Bytes { source: self, position }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The bytes of a source.
#[derive(Debug)]
pub(super) struct Bytes<'a> {
    source: &'a Source,
    position: u64,
}

impl Bytes<'_> {
    pub(super) fn progress(&self) -> Progress<'_> {
        let size = match self.source.kind {
            SourceKind::Regular { size } => Some(size),
            SourceKind::Pipe => None,
        };
        Progress { path: &self.source.path, read: self.position, size }
    }

    pub(super) fn are_of_a_file(&self) -> bool {
        self.source.is_file()
    }

    /// Passes over so many bytes, without reading them where that is possible. `false` where it is not, and nothing was
    /// done.
    pub(super) fn seek_over(&mut self, count: u64) -> io::Result<bool> {
        let SourceKind::Regular { size } = self.source.kind else { return Ok(false) };
        let position = self.position.saturating_add(count);
        if position > size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (&self.source.file).seek(SeekFrom::Start(position))?;
        self.position = position;
        Ok(true)
    }
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.source.file).read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}
