// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What describes a checkpoint: its images, or only the record of its dump.

use std::path::{Path, PathBuf};

use super::images::{Images, Lockable};
use crate::record::RecordFile;
use crate::system::dir::{Directory, InodeId};

/// What there is of a checkpoint.
#[derive(Debug)]
pub enum Given {
    /// Its images.
    Images(Box<Images>),
    /// The record of its dump; the images are gone.
    Record(Box<RecordFile>),
}

impl Given {
    /// A path for people.
    pub fn path(&self) -> &Path {
        match self {
            Given::Images(images) => images.path(),
            Given::Record(record) => record.path(),
        }
    }

    /// The directory of the images with its inode; `None` if they came from an archive or are gone.
    pub fn directory_and_inode(&self) -> Option<(&Directory, InodeId)> {
        match self {
            Given::Images(images) => images.directory_and_inode(),
            Given::Record(_) => None,
        }
    }

    /// The directories of the images and of CRIU's log, as far as they are on this host.
    pub fn work_directories(&self) -> Vec<&Directory> {
        match self {
            Given::Images(images) => images.work_directories(),
            Given::Record(_) => Vec::new(),
        }
    }

    /// What tells it from others, by whatever path it was found; `None` if it came through a pipe.
    pub fn identity(&self) -> Option<(InodeId, PathBuf)> {
        match self {
            Given::Images(images) => images.identity(),
            Given::Record(record) => Some((Lockable::Record(record).inode(), PathBuf::new())),
        }
    }

    /// What to lock; `None` where there is nothing that another run could work on at the same time.
    pub fn lockable(&self) -> Option<Lockable<'_>> {
        match self {
            Given::Images(images) => images.lockable(),
            Given::Record(record) => Some(Lockable::Record(record)),
        }
    }
}
