// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The images of one checkpoint, wherever they are.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criu_images::ImageKind;
use rustix::io::Errno;

use super::LocateError;
use super::folder::{self, Folder, ImageFile};
use super::layout::Layout;
use crate::archive::Source;
use crate::record::RecordFile;
use crate::system::author::Author;
use crate::system::dir::{self, Directory, FileError, InodeId};
use crate::system::reads::{FirstRead, TimesSetBy};

/// What runtimes, and the manual of CRIU, call the log of a restore.
pub const RESTORE_LOG: &str = "restore.log";
/// How much of a file shows that it is a log, in bytes.
const LOG_START: u64 = 16;

/// The images of a checkpoint, and CRIU's files next to them.
#[derive(Debug)]
pub struct Images {
    folder: Folder,
    /// The names in it, sorted.
    names: Vec<Vec<u8>>,
    work: Work,
    archive: Option<Arc<Source>>,
    /// The inode of the directory.
    inode: Option<InodeId>,
    /// How they are held.
    layout: Layout,
    /// The log of the dump, where the user named it.
    dump_log: Option<PathBuf>,
}

/// Where CRIU's logs and statistics are.
#[derive(Debug)]
pub(super) enum Work {
    /// Where the images are.
    Images,
    /// Where the user says (`-W`), and nowhere else.
    Named(Directory),
    /// Where the runtime puts them, or else where the images are.
    Beside(Folder),
}

/// What others are kept off while the images are worked on.
#[derive(Debug, Clone, Copy)]
pub enum Lockable<'a> {
    /// The images directory, and which inode it is.
    Directory(&'a Directory, InodeId),
    /// The archive.
    Archive(&'a Source),
    /// The record, where the images are gone.
    Record(&'a RecordFile),
}

impl Lockable<'_> {
    /// Its path, for people.
    pub fn path(&self) -> &Path {
        match self {
            Lockable::Directory(directory, _) => directory.path(),
            Lockable::Archive(archive) => archive.path(),
            Lockable::Record(record) => record.path(),
        }
    }

    /// Which inode it is.
    pub fn inode(&self) -> InodeId {
        match self {
            Lockable::Directory(_, inode) => *inode,
            Lockable::Archive(archive) => archive.inode(),
            Lockable::Record(record) => record.inode(),
        }
    }
}

impl AsFd for Lockable<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Lockable::Directory(directory, _) => directory.as_fd(),
            Lockable::Archive(archive) => archive.as_fd(),
            Lockable::Record(record) => record.as_fd(),
        }
    }
}

impl Images {
    /// The images in a directory, whatever is around it; CRIU's log and statistics are in `work_dir`, or with them.
    pub fn open(path: &Path, work_dir: Option<&Path>) -> Result<Self, LocateError> {
        let directory = Directory::open(path)?;
        if !directory.names()?.iter().any(|name| ImageKind::from_file_name(OsStr::from_bytes(name)).is_some()) {
            return Err(LocateError::NoImages { path: path.to_owned() });
        }
        let work = work_dir.map(Directory::open).transpose()?.map_or(Work::Images, Work::Named);
        Ok(Images::new(Folder::Host(directory), work)?)
    }

    /// Whether there is a log of CRIU's under the name that it gives to that of a dump.
    pub(super) fn has_dump_log(&self) -> Result<bool, FileError> {
        let Some(file) = self.work_file("dump.log")? else { return Ok(false) };
        let mut start = Vec::new();
        let read = file.take(LOG_START).read_to_end(&mut start);
        Ok(read.is_ok() && is_log(&start))
    }

    /// The images in a directory.
    pub(super) fn new(folder: Folder, work: Work) -> Result<Self, FileError> {
        let names = folder.names()?;
        // Asked now, because later the filesystem may not answer any more.
        let inode = folder.host().map(|directory| Ok::<_, FileError>(directory.identity()?.id())).transpose()?;
        Ok(Images { folder, names, work, archive: None, inode, layout: Layout::ImagesDirectory, dump_log: None })
    }

    /// The same in a layout.
    pub(super) fn in_layout(self, layout: Layout) -> Self {
        Images { layout, ..self }
    }

    /// The same, with the log of the dump that the user named.
    pub fn with_dump_log(self, path: PathBuf) -> Self {
        Images { dump_log: Some(path), ..self }
    }

    /// Opens the log of the dump that the user named, by the path that this gives too.
    pub fn named_dump_log(&self) -> Result<Option<(&Path, ImageFile)>, FileError> {
        let Some(path) = self.dump_log.as_deref() else { return Ok(None) };
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let file = folder::open_in(&Directory::open(parent)?, name)?;
        file.map(|file| Some((path, file))).ok_or_else(|| dir::failed("open", path)(Errno::NOENT))
    }

    /// How they are held.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The same, with the archive that they came from.
    pub(super) fn of_archive(self, archive: Arc<Source>) -> Self {
        Images { archive: Some(archive), ..self }
    }

    /// A path for people: of the directory, or of the archive with the directory in it. With an image's name joined to
    /// it, it is one for that image.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The directory of the images, unless they came from an archive.
    pub fn directory(&self) -> Option<&Directory> {
        self.folder.host()
    }

    /// The directory of the images with its inode, unless they came from an archive.
    pub fn directory_and_inode(&self) -> Option<(&Directory, InodeId)> {
        self.folder.host().zip(self.inode)
    }

    /// The archive that they came from.
    pub fn archive(&self) -> Option<&Source> {
        self.archive.as_deref()
    }

    /// What to lock; `None` where there is nothing that another run could work on at the same time.
    pub fn lockable(&self) -> Option<Lockable<'_>> {
        let directory = self.directory_and_inode().map(|(directory, inode)| Lockable::Directory(directory, inode));
        directory.or_else(|| self.archive.as_deref().filter(|archive| archive.is_file()).map(Lockable::Archive))
    }

    /// What tells these images from others, by whatever path they were found: an inode, and for an archive the place in
    /// it. `None` if they came through a pipe.
    pub fn identity(&self) -> Option<(InodeId, PathBuf)> {
        let lockable = self.lockable()?;
        let place = self.path().strip_prefix(lockable.path()).unwrap_or(self.path());
        let place = match lockable {
            Lockable::Directory(..) | Lockable::Record(_) => PathBuf::new(),
            Lockable::Archive(_) => place.to_owned(),
        };
        Some((lockable.inode(), place))
    }

    /// The ids for which there is an image of this kind, ascending.
    pub fn ids(&self, kind: ImageKind) -> Vec<u32> {
        let of_kind = |name: &Vec<u8>| match ImageKind::from_file_name(OsStr::from_bytes(name)) {
            Some((found, Some(id))) if found == kind => Some(id),
            _ => None,
        };
        let mut ids: Vec<u32> = self.names.iter().filter_map(of_kind).collect();
        ids.sort_unstable();
        ids
    }

    /// The names in the directory that are text, as those of images are.
    pub fn names(&self) -> Vec<String> {
        self.names.iter().filter_map(|name| String::from_utf8(name.clone()).ok()).collect()
    }

    /// Opens the image `name`; `None` if there is none. The kernel is asked only for names that the directory had
    /// when it was listed: it would remember each that it has not, and images can name any number of tasks.
    pub fn image(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        match self.names.binary_search_by(|known| known.as_slice().cmp(name.as_bytes())) {
            Ok(_) => {
                let image = self.folder.open(name)?;
                Ok(if self.layout == Layout::Docker { image.map(ImageFile::unpacked) } else { image })
            }
            Err(_) => Ok(None),
        }
    }

    /// When the image `name` was first read after it was written.
    pub fn first_read(&self, name: &str) -> FirstRead {
        let image = self.image(name).ok().flatten();
        // Docker unpacks the images once, into its own store.
        let times = if self.layout == Layout::Docker { TimesSetBy::Unpacking } else { TimesSetBy::Writing };
        image.map_or(FirstRead::Unknown, |image| image.first_read(times))
    }

    /// The names of possible CRIU logs, whatever `-o` called them, the usual name first; at most a few. Beside
    /// the images a runtime keeps what its container wrote too, so there only the usual name counts.
    pub fn logs(&self, usual: &str) -> Vec<String> {
        const MOST: usize = 16;
        let names = match &self.work {
            Work::Images | Work::Beside(_) => self.names.clone(),
            Work::Named(directory) => directory.names().unwrap_or_default(),
        };
        let names = names.into_iter().filter_map(|name| String::from_utf8(name).ok());
        let mut others: Vec<String> = names.filter(|name| name != usual && may_be_log(name)).collect();
        // Those that say what they are first.
        others.sort_by_key(|name| !name.ends_with(".log"));
        [usual.to_owned()].into_iter().chain(others).take(MOST).collect()
    }

    /// Who may have taken a file away from where the images, and CRIU's logs and statistics, are. Of an archive that is
    /// who may have written it, which each of its files tells.
    pub fn absence(&self) -> Author {
        let of = |directory: &Directory| directory.author().unwrap_or(Author::Anybody);
        self.work_directories().into_iter().map(of).fold(Author::Trusted, Author::or)
    }

    /// The directory of the images, and that of CRIU's logs and statistics if it is another one; none of an archive.
    pub fn work_directories(&self) -> Vec<&Directory> {
        let beside = match &self.work {
            Work::Images => None,
            Work::Named(directory) => Some(directory),
            Work::Beside(folder) => folder.host(),
        };
        self.folder.host().into_iter().chain(beside).collect()
    }

    /// Opens CRIU's log or statistics; `None` if there is none.
    pub fn work_file(&self, name: &str) -> Result<Option<ImageFile>, FileError> {
        let beside = match &self.work {
            Work::Images => None,
            Work::Named(directory) => return folder::open_in(directory, name),
            Work::Beside(folder) => folder.open(name)?,
        };
        match beside {
            Some(file) => Ok(Some(file)),
            None => self.folder.open(name),
        }
    }
}

/// Whether a log of CRIU starts so: with a time in seconds, or where only errors are logged with their level.
pub fn is_log(start: &[u8]) -> bool {
    let is_timed = start.first() == Some(&b'(') && start.get(1).is_some_and(u8::is_ascii_digit);
    is_timed || start.starts_with(b"Error (") || start.starts_with(b"Warn  (")
}

/// Whether CRIU's log may have this name: it is not that of another file of a checkpoint.
fn may_be_log(name: &str) -> bool {
    const ENDS: [&str; 6] = [".img", ".json", ".dump", ".tar", ".gz", ".zst"];
    const STARTS: [&str; 4] = ["stats-", "pages-", "restore.log", "irmap-cache"];
    !ENDS.iter().any(|end| name.ends_with(end)) && !STARTS.iter().any(|start| name.starts_with(start))
}
