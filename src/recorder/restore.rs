// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Notes in the stored record of a dump that its checkpoint was restored.
//!
//! It runs at CRIU's `pre-resume`: the restore can no longer fail, and CRIU has removed the links and locks
//! (`restore_root_task` in `criu/cr-restore.c`). At `post-resume` CRIU no longer has the images.

use std::path::PathBuf;

use super::RecordError;
use crate::checkpoint;
use crate::locate::Images;
use crate::record::document::Document;
use crate::record::fields::Time;
use crate::record::store::{RecordStore, Stored};
use crate::record::{self, facts};
use crate::system::machine;

/// No more restores of one checkpoint are noted; the first and the latest stay.
const MOST: usize = 16;

/// A restore that CRIU has just finished.
#[derive(Debug, Clone)]
pub struct Restore {
    images: PathBuf,
    store: RecordStore,
    root_task: Option<u32>,
}

/// What became of the note.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Noted {
    /// It is in this record.
    In(PathBuf),
    /// There is no record of the dump on this machine.
    NoRecord,
}

impl Restore {
    /// The restore from this images directory, to be noted in this store.
    pub fn new(images: impl Into<PathBuf>, store: RecordStore) -> Self {
        Restore { images: images.into(), store, root_task: None }
    }

    /// The root task of the restored tree.
    #[must_use]
    pub fn root_task(mut self, pid: u32) -> Self {
        self.root_task = Some(pid);
        self
    }
}

/// Notes the restore.
pub(crate) fn note(restore: &Restore) -> Result<Noted, RecordError> {
    let images = Images::open(&restore.images, None)?;
    let identity = checkpoint::identify(&images)?;
    let id = identity.as_images_id();
    let found = match restore.store.find(id)? {
        Some((_, document)) => Some(document),
        // It could not be stored, or had to go.
        None => images.directory().and_then(|directory| record::trusted_document(directory, id)),
    };
    let Some(mut document) = found else { return Ok(Noted::NoRecord) };
    add(&mut document, restore.root_task);
    let text = serde_json::to_vec_pretty(&document)?;
    let Stored { path, .. } = restore.store.put(&document, &text)?;
    Ok(Noted::In(path))
}

fn add(document: &mut Document, root_pid: Option<u32>) {
    if document.restores.len() >= MOST {
        document.restores.remove(1);
    }
    document.restores.push(facts::Restore {
        noted: Time(machine::now()),
        boot_id: machine::boot_id(),
        since_boot: u64::try_from(machine::since_boot().as_micros()).unwrap_or(u64::MAX),
        root_pid,
    });
}
