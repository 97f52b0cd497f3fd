// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the checkpoints in an archive, which it reads once from beginning to end.

use std::path::Path;
use std::sync::Arc;

use super::blobs::Blobs;
use super::contents::{self, Origin};
use super::folder::Folder;
use super::{LocateError, Located, oci, search};
use crate::archive::{Compression, Entries, Meter, Progress, Source};

/// Whether an archive is not compressed: then the pages in it need not be read.
pub(super) fn is_plain(source: &Source) -> Result<bool, LocateError> {
    let meter = Meter::new(&|_| {});
    let failed = |source_error| LocateError::Archive { path: source.path().to_owned(), source: source_error };
    Ok(Entries::open(source, &meter).map_err(failed)?.compression() == Compression::None)
}

/// Finds every checkpoint in the archive.
pub(super) fn locate(
    source: Source,
    work_dir: Option<&Path>,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Vec<Located>, LocateError> {
    let meter = Meter::new(progress);
    let failed = |source_error| LocateError::Archive { path: source.path().to_owned(), source: source_error };
    let mut entries = Entries::open(&source, &meter).map_err(failed)?;
    let compression = entries.compression();
    let mut blobs = Blobs::default();
    let contents = contents::read(&mut entries, Origin::of(&source), Some(&mut blobs)).map_err(failed)?;
    entries.finish().map_err(failed)?;
    let mut found = match search::locate(Folder::of_archive(contents.tree, source.path()), work_dir) {
        Err(LocateError::NoImages { .. }) if !blobs.is_empty() => oci::locate(&blobs, source.path(), work_dir)?,
        found => found?,
    };
    for each in &mut found {
        each.context.notes.extend(contents.notes.iter().cloned());
        each.archive = Some(compression);
    }
    let archive = Arc::new(source);
    Ok(found.into_iter().map(|each| Located { images: each.images.of_archive(Arc::clone(&archive)), ..each }).collect())
}
