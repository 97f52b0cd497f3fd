// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the user's paths to images: directories and archives, in the layouts of people and of runtimes.
//!
//! The content decides what something is, never its file name extension. Nothing is unpacked, written or followed: in a
//! runtime's directory only files with known names are opened, relative to open directories.

mod archive;
mod blobs;
pub mod containerd;
mod contents;
pub mod context;
mod folder;
mod given;
mod images;
mod layout;
mod metadata;
mod oci;
mod podman;
mod search;
mod surroundings;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use self::folder::Folder;
use crate::archive::{ArchiveError, Compression, Progress, Source};
use crate::json::DecodeError;
use crate::record::{self, RecordFile, RecordFileError};
use crate::system::dir::{self, Directory, FileError, Opened};

pub use context::Context;
pub use folder::ImageFile;
pub use given::Given;
pub use images::{Images, Lockable, RESTORE_LOG, is_log};
pub use layout::Layout;
pub use metadata::MetadataError;
pub use podman::PodmanError;
pub use tree::Written;

/// A checkpoint that was found.
#[derive(Debug)]
pub struct Located {
    /// Its images.
    pub images: Images,
    /// How they are held.
    pub layout: Layout,
    /// What the metadata beside them says.
    pub context: Context,
    /// How the archive is compressed that they are in; `None` where they are in a directory.
    pub archive: Option<Compression>,
}

/// What the user named.
#[derive(Debug)]
pub enum Found {
    /// Something with checkpoints; at least one.
    Checkpoints(Vec<Located>),
    /// The record of a dump.
    Record(Box<RecordFile>),
}

/// Why what the user named cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// A directory could not be opened or read.
    #[error(transparent)]
    Directory(#[from] FileError),
    /// There is not one image in the directory or archive, nor where known layouts have them.
    #[error("no CRIU image in {}: it has no inventory.img, pstree.img, files.img or similar", path.display())]
    NoImages {
        /// The directory or archive.
        path: PathBuf,
    },
    /// There are only memory pages.
    #[error(
        "{} holds only memory pages, as criu page-server writes them; the other images are in the images directory of the \
         dump, on the host where the tree ran",
        path.display()
    )]
    OnlyPages {
        /// The directory.
        path: PathBuf,
    },
    /// Several directories in it have images.
    #[error("{} holds several checkpoints; name those that you mean: criu-gc {found}", path.display())]
    Several {
        /// The directory.
        path: PathBuf,
        /// Theirs.
        found: Paths,
    },
    /// There are no images, but files that look like archives.
    #[error("no CRIU image in {}, but archives; name those that you mean: criu-gc {found}", path.display())]
    Archives {
        /// The directory.
        path: PathBuf,
        /// Their paths.
        found: Paths,
    },
    /// An archive could not be used.
    #[error("cannot use the archive {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: ArchiveError,
    },
    /// What leads to the layers of an image is invalid.
    #[error("cannot use the image: {} is invalid", path.display())]
    Document {
        /// The document.
        path: PathBuf,
        /// What is wrong.
        source: DecodeError,
    },
    /// A record could not be used.
    #[error(transparent)]
    Record(#[from] RecordFileError),
    /// A podman container could not be used.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// There are too many.
    #[error("more than {limit} checkpoints in {}: name the directory of one", path.display())]
    TooManyCheckpoints {
        /// The directory.
        path: PathBuf,
        /// How many are too many.
        limit: usize,
    },
    /// No image of a checkpoint has so many.
    #[error("the images in {} have more than {limit} layers", path.display())]
    TooManyLayers {
        /// The layout.
        path: PathBuf,
        /// How many are too many.
        limit: usize,
    },
}

/// Paths as one types them.
#[derive(Debug)]
pub struct Paths(pub Vec<PathBuf>);

/// So many are shown.
const SHOWN: usize = 10;

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().take(SHOWN).enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}-D {}", path.display())?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " … ({more} more)"),
        }
    }
}

/// What the user types for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Finds what the user named: checkpoints, or a record. CRIU's log and statistics are looked for in `work_dir` (`-W`), by
/// default where the layout has them. While an archive is read, `progress` is called.
pub fn locate(named: &Path, work_dir: Option<&Path>, progress: &dyn Fn(Progress<'_>)) -> Result<Found, LocateError> {
    if named == Path::new(STANDARD_INPUT) {
        return archive::locate(Source::standard_input()?, work_dir, progress).map(Found::Checkpoints);
    }
    if let Some(name) = podman::name_in(named) {
        return locate_podmans(name, work_dir).map(Found::Checkpoints);
    }
    match dir::open_named(named)? {
        Opened::File(file) if record::is_record(&file) => Ok(Found::Record(Box::new(RecordFile::read(file, named)?))),
        Opened::File(file) => archive::locate(Source::of(file, named)?, work_dir, progress).map(Found::Checkpoints),
        Opened::Directory(directory) => {
            // What lies there plainly comes first, whatever else is beside it.
            let found = match search::locate(Folder::Host(directory.reopened()?), work_dir) {
                Err(LocateError::NoImages { .. }) if oci::is_layout(&directory) => {
                    oci::locate_in_directory(&directory, work_dir, progress)
                }
                found => found,
            };
            found.map(Found::Checkpoints)
        }
    }
}

/// Finds the checkpoints in and below an open directory.
pub fn locate_in(directory: Directory, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    search::locate(Folder::Host(directory), work_dir)
}

/// The checkpoint whose images are in this very directory; `None` if there are none.
pub fn locate_here(directory: Directory) -> Result<Option<Located>, LocateError> {
    search::here(Folder::Host(directory))
}

/// The names of the containers in a storage of podman, by their ids; none of a list that others can write.
pub fn podman_names(store: &Path) -> BTreeMap<String, String> {
    podman::names(store)
}

/// The checkpoints in an archive that is not compressed; `None` if it is: then it would have to be read whole.
pub fn locate_in_plain_archive(file: File, path: &Path) -> Result<Option<Vec<Located>>, LocateError> {
    let source = Source::of(file, path)?;
    if !source.is_file() || !archive::is_plain(&source)? {
        return Ok(None);
    }
    match archive::locate(source, None, &|_| {}) {
        Err(LocateError::NoImages { .. } | LocateError::OnlyPages { .. }) => Ok(Some(Vec::new())),
        found => found.map(Some),
    }
}

/// Where root's podman stores its containers.
pub fn podman_stores() -> Result<Vec<PathBuf>, PodmanError> {
    podman::stores()
}

/// Whether what the user named is a pipe or the like: who writes into it may take any time.
pub fn is_pipe(named: &Path) -> bool {
    let is_stream = |file: std::fs::Metadata| file.file_type().is_fifo() || file.file_type().is_socket();
    named == Path::new(STANDARD_INPUT) || std::fs::metadata(named).is_ok_and(is_stream)
}

/// Whether what the user named is nothing at all: a mistyped name, or a word that was meant as something else (`show`,
/// `--dry-run`). Whoever mistypes one thing may not mean the others either.
pub fn is_missing(named: &Path) -> bool {
    let is_path = named != Path::new(STANDARD_INPUT) && podman::name_in(named).is_none();
    is_path && std::fs::symlink_metadata(named).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn locate_podmans(name: &OsStr, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    let container = podman::container(name)?;
    let mut found = match search::locate(Folder::Host(container.directory), work_dir) {
        Err(LocateError::NoImages { path }) => {
            let name = name.to_string_lossy().into_owned();
            return Err(PodmanError::NoCheckpoint { name, path: path.join("checkpoint") }.into());
        }
        found => found?,
    };
    for each in &mut found {
        each.context.container.complete(container.name.clone(), Some(container.id.clone()));
    }
    Ok(found)
}
