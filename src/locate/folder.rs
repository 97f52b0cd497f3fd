// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A directory with images and metadata: an open directory of this host, or one in an archive.
//!
//! A directory of the host is opened once, and each entry in it by one name, so nobody can substitute another
//! directory. The content of an archive is in memory and never on disk.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::tree::{Kept, KeptFile, Tree, Written, joined, split};
use crate::system::author::Author;
use crate::system::dir::{self, Directory, FileError, Reach};
use crate::system::reads::{self, FirstRead, TimesSetBy};
use crate::time::Timestamp;

/// A directory of either kind.
#[derive(Debug)]
pub(super) enum Folder {
    Host(Directory),
    Archived(ArchivedFolder),
}

/// A directory in an archive.
#[derive(Debug, Clone)]
pub(super) struct ArchivedFolder {
    tree: Arc<Tree>,
    /// Where it is in the archive.
    place: Vec<u8>,
    /// The path of the archive with that behind it, for people.
    path: PathBuf,
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

impl ImageFile {
    /// When it was first read after it was written.
    pub fn first_read(&self, times: TimesSetBy) -> FirstRead {
        match &self.content {
            Content::File(file) => reads::first_read(file, times),
            Content::Kept(_) => FirstRead::Unknown,
        }
    }

    /// When it was made, where that can be told.
    pub fn born(&self) -> Option<Timestamp> {
        match &self.content {
            Content::File(file) => dir::born(file),
            Content::Kept(_) => None,
        }
    }

    /// How old it was when it was written last, where that can be told.
    pub fn age_when_written(&self) -> Option<Duration> {
        match &self.content {
            Content::File(file) => dir::age_when_written(file),
            Content::Kept(_) => None,
        }
    }

    /// Whether it is as it was when it was written last: nobody has copied it, or set its times or attributes.
    pub fn is_untouched(&self) -> bool {
        match &self.content {
            Content::File(file) => dir::is_untouched(file),
            Content::Kept(_) => false,
        }
    }

    /// The same, if an engine has unpacked it and set its time, in whole seconds: it was written before.
    pub(super) fn unpacked(self) -> Self {
        let born = self.born();
        let bounded = |written: Written| match born {
            Some(born) if born >= written.said => Written { until: written.until.latest().min(born), ..written },
            Some(_) | None => written,
        };
        ImageFile { written: self.written.map(bounded), ..self }
    }

    fn of_kept(KeptFile { content, written, author }: KeptFile) -> Self {
        ImageFile { content: Content::Kept(Cursor::new(content)), written: Some(written), author }
    }
}

impl Folder {
    /// The top of an archive, `path` is its name in messages.
    pub(super) fn of_archive(tree: Tree, path: &Path) -> Self {
        Folder::Archived(ArchivedFolder { tree: Arc::new(tree), place: Vec::new(), path: path.to_owned() })
    }

    /// Its path, for people.
    pub(super) fn path(&self) -> &Path {
        match self {
            Folder::Host(directory) => directory.path(),
            Folder::Archived(folder) => &folder.path,
        }
    }

    /// The directory of the host, if it is one.
    pub(super) fn host(&self) -> Option<&Directory> {
        match self {
            Folder::Host(directory) => Some(directory),
            Folder::Archived(_) => None,
        }
    }

    /// The names in it, sorted; of an archive those that matter.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, FileError> {
        match self {
            Folder::Host(directory) => directory.names(),
            Folder::Archived(folder) => Ok(folder.tree.names(&folder.place)),
        }
    }

    /// Whether there is an entry of this name. What cannot be looked at is not.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Folder::Host(directory) => directory.entry(OsStr::new(name)).is_ok_and(|entry| entry.is_some()),
            Folder::Archived(folder) => folder.tree.has(&folder.place, name.as_bytes()),
        }
    }

    /// Opens a regular file, with when and by whom it was written; `None` if there is none.
    pub(super) fn open(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        match self {
            Folder::Host(directory) => open_in(directory, name),
            Folder::Archived(folder) => match folder.tree.file(&folder.place, name.as_bytes()) {
                Some(Kept::File(file)) => Ok(Some(ImageFile::of_kept(file.clone()))),
                Some(Kept::NoFile) => {
                    let refused = dir::failed("read, because it is not a regular file:", &folder.path.join(name));
                    Err(refused(Errno::INVAL))
                }
                Some(Kept::Name) | None => Ok(None),
            },
        }
    }

    /// The directory at a path below this one; `None` if there is none, or something else has its name.
    pub(super) fn below(&self, relative: &str) -> Result<Option<Self>, FileError> {
        match self {
            Folder::Host(directory) => match directory.below(Path::new(relative), Reach::AcrossMounts) {
                Ok(directory) => Ok(Some(Folder::Host(directory.reopened()?))),
                Err(error) if error.is_no_directory() => Ok(None),
                Err(error) => Err(error),
            },
            Folder::Archived(folder) => Ok(folder.below(relative.as_bytes()).map(Folder::Archived)),
        }
    }

    /// The directory that holds this one. One that may not be looked at adds nothing.
    pub(super) fn parent(&self) -> Option<Self> {
        match self {
            Folder::Host(directory) => directory.parent().ok().flatten().map(Folder::Host),
            Folder::Archived(folder) => folder.parent().map(Folder::Archived),
        }
    }

    /// Whether this directory is what `parent` has under this name.
    pub(super) fn is_entry(&self, name: &str, parent: &Folder) -> bool {
        match (self, parent) {
            (Folder::Host(directory), Folder::Host(parent)) => {
                let entry = parent.entry(OsStr::new(name));
                let (Ok(Some(entry)), Ok(identity)) = (entry, directory.identity()) else { return false };
                entry.is_same_inode(&identity)
            }
            (Folder::Archived(folder), Folder::Archived(parent)) => {
                folder.place == joined(&parent.place, name.as_bytes())
            }
            _ => false,
        }
    }

    /// The same directory once more.
    pub(super) fn again(&self) -> Result<Self, FileError> {
        match self {
            Folder::Host(directory) => directory.reopened().map(Folder::Host),
            Folder::Archived(folder) => Ok(Folder::Archived(folder.clone())),
        }
    }
}

impl ArchivedFolder {
    /// The directories in the archive that hold images and lie in no other such directory; no more than `most`.
    pub(super) fn topmost(&self, is_image: impl Fn(&[u8]) -> bool, most: usize) -> Vec<Folder> {
        let mut places: Vec<&[u8]> = Vec::new();
        for place in self.tree.directories_with(is_image) {
            // In their order one comes after those that it lies in.
            if places.len() < most
                && !places.iter().any(|above| place.starts_with(above) && place.get(above.len()) == Some(&b'/'))
            {
                places.push(place);
            }
        }
        places.into_iter().filter_map(|place| self.below(place)).map(Folder::Archived).collect()
    }

    fn below(&self, relative: &[u8]) -> Option<Self> {
        let place = joined(&self.place, relative);
        let path = self.path.join(OsStr::from_bytes(relative));
        self.tree.has_directory(&place).then(|| ArchivedFolder { tree: Arc::clone(&self.tree), place, path })
    }

    fn parent(&self) -> Option<Self> {
        if self.place.is_empty() {
            return None;
        }
        let (place, _) = split(&self.place);
        let path = self.path.parent()?.to_owned();
        Some(ArchivedFolder { tree: Arc::clone(&self.tree), place: place.to_owned(), path })
    }
}

/// Opens a file of a directory, with when and by whom it was written.
pub(super) fn open_in(directory: &Directory, name: &str) -> Result<Option<ImageFile>, FileError> {
    let Some(file) = directory.read_file(OsStr::from_bytes(name.as_bytes()))? else { return Ok(None) };
    let written = dir::last_written(&file).ok().map(|time| Written { said: time, until: time });
    let author = directory.author_of(&file).unwrap_or(Author::Anybody);
    Ok(Some(ImageFile { content: Content::File(file), written, author }))
}
