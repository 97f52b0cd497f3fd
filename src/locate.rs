// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the user's paths to images: directories and archives, in the layouts of people and of runtimes.
//!
//! The content decides what something is, never its file name extension. Nothing is unpacked, written or followed: in a
//! runtime's directory only files with known names are opened, relative to open directories.

mod archive;
mod blobs;
mod collection;
mod container;
mod container_of_images;
pub mod containerd;
mod contents;
pub mod context;
pub mod engines;
mod folder;
mod given;
mod images;
mod layout;
mod metadata;
mod oci;
pub mod own;
mod pod;
mod podman;
mod search;
mod surroundings;
mod tree;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use self::collection::Reading;
use self::folder::Folder;
use self::own::OwnError;
use self::pod::Pod;
use crate::archive::{ArchiveError, Compression, Progress, Source};
use crate::json::DecodeError;
use crate::record::{self, RecordFile, RecordFileError};
use crate::system::dir::{self, Directory, FileError, Opened};

pub use context::Context;
pub use engines::NameError;
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
    Checkpoints(Collection),
    /// The record of a dump.
    Record(Box<RecordFile>),
}

/// The checkpoints in what the user named.
#[derive(Debug, Default)]
pub struct Collection {
    /// Those that were found.
    pub located: Vec<Located>,
    /// Those that cannot be used.
    pub unusable: Vec<Unusable>,
}

/// Something in a directory of checkpoints that cannot be used.
#[derive(Debug)]
pub struct Unusable {
    /// Its path.
    pub path: PathBuf,
    /// Why.
    pub error: LocateError,
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
    /// The manifest of a pod's checkpoint is invalid.
    #[error("cannot use the checkpoint of the pod: {} is invalid", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        source: MetadataError,
    },
    /// It names no containers, or too many, or files elsewhere.
    #[error("cannot use the checkpoint of the pod: the archives that {} names are not files below it", path.display())]
    Containers {
        /// The manifest.
        path: PathBuf,
    },
    /// It names an archive that is not there.
    #[error("cannot use the checkpoint of the pod: {} is not there", path.display())]
    NoArchive {
        /// The archive.
        path: PathBuf,
    },
    /// A record could not be used.
    #[error(transparent)]
    Record(#[from] RecordFileError),
    /// The name of a container could not be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A directory of an engine could not be used.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// There are too many.
    #[error("more than {limit} checkpoints in {}: name the directory of one", path.display())]
    TooManyCheckpoints {
        /// The directory.
        path: PathBuf,
        /// How many are too many.
        limit: usize,
    },
    /// There are more names than are looked at.
    #[error("more than {limit} names in {}: name the directory of one checkpoint", path.display())]
    TooManyNames {
        /// The directory.
        path: PathBuf,
        /// How many are looked at.
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

/// What the user types for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Finds what the user named: checkpoints, or a record. CRIU's log and statistics are looked for in `work_dir` (`-W`), by
/// default where the layout has them. While an archive is read, `progress` is called.
pub fn locate(named: &Path, work_dir: Option<&Path>, progress: &dyn Fn(Progress<'_>)) -> Result<Found, LocateError> {
    let checkpoints = |found: Vec<Located>| Found::Checkpoints(Collection::of(found));
    if named == Path::new(STANDARD_INPUT) {
        return archive::locate(Source::standard_input()?, work_dir, progress).map(checkpoints);
    }
    let reading = Reading { work_dir, progress };
    if let Some((engine, name)) = engines::name_in(named) {
        return engines::locate(engine, name, reading).map(Found::Checkpoints);
    }
    let opened = dir::open_named(named).map_err(|error| {
        let explained = if error.is_not_found() { engines::explain_missing(named) } else { None };
        explained.map_or_else(|| LocateError::from(error), LocateError::from)
    })?;
    match opened {
        Opened::File(file) if record::is_record(&file) => Ok(Found::Record(Box::new(RecordFile::read(file, named)?))),
        Opened::File(file) => archive::locate(Source::of(file, named)?, work_dir, progress).map(checkpoints),
        Opened::Directory(directory) => {
            // What lies there plainly comes first, whatever else is beside it.
            match collection::locate(&directory, reading) {
                Err(LocateError::NoImages { .. }) if oci::is_layout(&directory) => {
                    oci::locate_in_directory(&directory, work_dir, progress).map(checkpoints)
                }
                found => found.map(Found::Checkpoints),
            }
        }
    }
}

/// Finds the checkpoints in an open directory.
pub fn locate_in(directory: Directory, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    search::locate(Folder::Host(directory), work_dir)
}

/// The checkpoints whose images, or whose pod's archives, are in this very directory.
pub fn locate_here(directory: Directory) -> Result<Vec<Located>, LocateError> {
    match Pod::of(&Folder::Host(directory.reopened()?))? {
        Some(pod) => collection::of_pod(&pod, &directory, Reading { work_dir: None, progress: &|_| {} }),
        None => Ok(search::here(Folder::Host(directory))?.into_iter().collect()),
    }
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
    let is_path = named != Path::new(STANDARD_INPUT) && engines::name_in(named).is_none();
    is_path && std::fs::symlink_metadata(named).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
