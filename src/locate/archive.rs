// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the checkpoints in an archive, which it reads once from beginning to end.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::contents::{self, Held, Origin};
use super::folder::Folder;
use super::pod::Pod;
use super::tree::{joined, split};
use super::{LocateError, Located, oci, search};
use crate::archive::{ArchiveError, Compression, Entries, Meter, Progress, Source};

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
    let held = contents::read_all(&mut entries, Origin::of(&source)).map_err(failed)?;
    entries.finish().map_err(failed)?;
    let mut found = in_held(held, source.path(), work_dir)?;
    for each in &mut found {
        each.archive = Some(compression);
    }
    let archive = Arc::new(source);
    Ok(found.into_iter().map(|each| Located { images: each.images.of_archive(Arc::clone(&archive)), ..each }).collect())
}

/// The checkpoints in what an archive holds, which is at `path`.
fn in_held(held: Held, path: &Path, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    let Held { contents, blobs, archives } = held;
    let folder = Folder::of_archive(contents.tree, path);
    let mut found = match search::locate(folder.again()?, work_dir) {
        Err(LocateError::NoImages { .. }) if !blobs.is_empty() => oci::locate(&blobs, path, work_dir)?,
        Err(LocateError::NoImages { path }) if !archives.is_empty() => {
            let found = in_archives(archives, &folder, work_dir)?;
            if found.is_empty() {
                return Err(LocateError::NoImages { path });
            }
            found
        }
        found => found?,
    };
    for each in &mut found {
        each.context.notes.extend(contents.notes.iter().cloned());
    }
    Ok(found)
}

/// The checkpoints in archives that are in an archive: those of a pod, or of any.
fn in_archives(
    mut archives: BTreeMap<Vec<u8>, Result<Held, ArchiveError>>,
    folder: &Folder,
    work_dir: Option<&Path>,
) -> Result<Vec<Located>, LocateError> {
    let mut found = Vec::new();
    for (place, pod) in pods(archives.keys(), folder)? {
        for container in pod.containers() {
            let path = joined(&place, container.archive().as_os_str().as_bytes());
            let inner = archives.remove(&path);
            let path = folder.path().join(OsStr::from_bytes(&path));
            let inner = inner.ok_or_else(|| LocateError::NoArchive { path: path.clone() })?;
            let inner = inner.map_err(|source| LocateError::Archive { path: path.clone(), source })?;
            let mut of_container = in_held(inner, &path, work_dir)?;
            of_container.iter_mut().for_each(|located| pod.complete(container, located));
            found.extend(of_container);
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    for (name, inner) in archives {
        let path = folder.path().join(OsStr::from_bytes(&name));
        let inner = inner.map_err(|source| LocateError::Archive { path: path.clone(), source })?;
        match in_held(inner, &path, work_dir) {
            Err(LocateError::NoImages { .. } | LocateError::OnlyPages { .. }) => {}
            of_archive => found.extend(of_archive?),
        }
    }
    Ok(found)
}

/// The pods whose manifests are in a directory above one of the archives, by that directory.
fn pods<'a>(archives: impl Iterator<Item = &'a Vec<u8>>, folder: &Folder) -> Result<Vec<(Vec<u8>, Pod)>, LocateError> {
    let above = |path: &[u8]| {
        let places = std::iter::successors(Some(split(path).0.to_owned()), |place: &Vec<u8>| {
            (!place.is_empty()).then(|| split(place).0.to_owned())
        });
        places.collect::<Vec<_>>()
    };
    let places: BTreeSet<Vec<u8>> = archives.flat_map(|path| above(path)).collect();
    let mut found = Vec::new();
    for place in places {
        let Ok(text) = std::str::from_utf8(&place) else { continue };
        let directory = if text.is_empty() { Some(folder.again()?) } else { folder.below(text)? };
        if let Some(pod) = directory.map(|directory| Pod::of(&directory)).transpose()?.flatten() {
            found.push((place, pod));
        }
    }
    Ok(found)
}
