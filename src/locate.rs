// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what the user named to the images: a directory that holds them in a layout of people's or of a runtime's.
//!
//! What something is, its content tells, never the end of its name. Nothing is unpacked, written or followed: of a
//! runtime's directory only files of known names are opened, from directories that are open already.

pub mod context;
mod directory;
mod images;
mod layout;
mod metadata;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criu_images::ImageKind;

use crate::system::dir::{Directory, FileError};

pub use context::Context;
pub use images::{ImageFile, Images};
pub use layout::Layout;

/// A checkpoint that was found.
#[derive(Debug)]
pub struct Located {
    /// Its images.
    pub images: Images,
    /// How they are held.
    pub layout: Layout,
    /// What the metadata beside them says.
    pub context: Context,
}

/// Why what the user named cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// A directory could not be opened or read.
    #[error(transparent)]
    Directory(#[from] FileError),
    /// There is not one image in the directory, nor where known layouts have them.
    #[error("no CRIU image in {}: it holds no inventory.img, pstree.img, files.img or the like", path.display())]
    NoImages {
        /// The directory.
        path: PathBuf,
    },
    /// There are too many.
    #[error("more than {limit} checkpoints in {}: name the directory of one", path.display())]
    TooManyCheckpoints {
        /// The directory.
        path: PathBuf,
        /// How many are too many.
        limit: usize,
    },
}

/// Finds the checkpoints in what the user named; at least one. CRIU's log and statistics are looked for in `work_dir`
/// (`-W`), by default where the layout has them.
pub fn locate(named: &Path, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    directory::locate(Directory::open(named)?, work_dir)
}

/// Whether CRIU gives this name to an image, a log or statistics of its own.
pub fn is_crius_own(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".img") || ImageKind::of_file_name(name).is_some() || matches!(name, b"dump.log" | b"restore.log")
}
