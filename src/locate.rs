// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what the user named to the images.
//!
//! The images directory is opened once; every image is opened by its name in that directory, so that nobody can put
//! another directory in its place while it is read.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criu_images::ImageKind;

use crate::system::dir::{Directory, FileError};

/// An images directory, and the work directory that goes with it.
#[derive(Debug)]
pub struct Images {
    directory: Directory,
    work: Option<Directory>,
    names: Vec<Vec<u8>>,
}

/// Why what the user named cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// A directory could not be opened or read.
    #[error(transparent)]
    Directory(#[from] FileError),
    /// There is not one image in the directory.
    #[error("no CRIU image in {}: it holds no inventory.img, pstree.img, files.img or the like", path.display())]
    NoImages {
        /// The directory.
        path: PathBuf,
    },
}

impl Images {
    /// Opens the images directory `path`, and `work_dir` beside it: the directory where CRIU put its log and its
    /// statistics (`-W`), by default the images directory itself.
    pub fn open(path: &Path, work_dir: Option<&Path>) -> Result<Self, LocateError> {
        let directory = Directory::open(path)?;
        let names = directory.names()?;
        if !names.iter().any(|name| ImageKind::of_file_name(name).is_some()) {
            return Err(LocateError::NoImages { path: path.to_owned() });
        }
        let work = work_dir.map(Directory::open).transpose()?;
        Ok(Images { directory, work, names })
    }

    /// The path by which the user named the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of the images.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory of CRIU's logs and statistics.
    pub fn work_directory(&self) -> &Directory {
        self.work.as_ref().unwrap_or(&self.directory)
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
    pub fn image(&self, name: &str) -> Result<Option<File>, FileError> {
        self.directory.read_file(OsStr::from_bytes(name.as_bytes()))
    }

    /// Opens a file of CRIU's in the work directory; `None` where there is none.
    pub fn work_file(&self, name: &str) -> Result<Option<File>, FileError> {
        self.work_directory().read_file(OsStr::from_bytes(name.as_bytes()))
    }
}

/// Whether CRIU gives this name to an image, a log or statistics of its own.
pub fn is_crius_own(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".img") || ImageKind::of_file_name(name).is_some() || matches!(name, b"dump.log" | b"restore.log")
}
