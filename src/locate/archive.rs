// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the checkpoints in an archive, which is read once from its beginning to its end.

use std::path::Path;
use std::sync::Arc;

use super::folder::Folder;
use super::oci::{self, Blob, Blobs};
use super::tree::{Origin, Tree};
use super::{LocateError, Located, search};
use crate::archive::{ArchiveError, Entries, EntryKind, Meter, Progress, Source};

/// What an archive holds that matters.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) tree: Tree,
    /// What of it could not be used, in sentences.
    pub(super) notes: Vec<String>,
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
    let content = read(&mut entries, Origin::of(&source), Some(&mut blobs)).map_err(failed)?;
    entries.finish().map_err(failed)?;
    let mut found = match blobs.is_empty() {
        true => search::locate(Folder::of_archive(content.tree, source.path()), work_dir)?,
        false => oci::locate(&blobs, source.path(), work_dir)?,
    };
    for each in &mut found {
        each.context.notes.extend(content.notes.iter().cloned());
        each.archive = Some(compression);
    }
    let archive = Arc::new(source);
    Ok(found.into_iter().map(|each| Located { images: each.images.of_archive(Arc::clone(&archive)), ..each }).collect())
}

/// Reads an archive to its end; what looks like the blob of an image goes into `blobs`.
pub(super) fn read(
    entries: &mut Entries<'_>,
    origin: Origin,
    mut blobs: Option<&mut Blobs>,
) -> Result<Content, ArchiveError> {
    let mut content = Content::default();
    while let Some(entry) = entries.next()? {
        match &mut blobs {
            Some(blobs) if entry.kind == EntryKind::File && oci::is_blob(&entry.path) => {
                if let Some(blob) = blob(entries, origin, &mut content.notes)? {
                    blobs.add(entry.path, blob);
                }
            }
            _ => content.tree.take(&entry, entries, origin, &mut content.notes)?,
        }
    }
    Ok(content)
}

/// What a blob of an image is: a document, or a layer. `None` for anything else.
fn blob(entries: &mut Entries<'_>, origin: Origin, notes: &mut Vec<String>) -> Result<Option<Blob>, ArchiveError> {
    let head = entries.head()?;
    if head.compression().is_some() {
        let layer = read(&mut entries.inner(head)?, origin, None)?;
        notes.extend(layer.notes);
        return Ok(Some(Blob::Layer(layer.tree)));
    }
    if head.is_document() && entries.stored() <= oci::DOCUMENT_LIMIT {
        return Ok(Some(Blob::Document(entries.document(head)?)));
    }
    Ok(None)
}
