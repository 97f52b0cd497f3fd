// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the images in and below a directory, and the files next to them.
//!
//! Every directory of the host is opened relative to an open one, by one name or `..`, without following links. The
//! name that the user typed does not matter; the content, and the directory's name in its parent, do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criu_images::ImageKind;

use super::context::Context;
use super::folder::Folder;
use super::images::{Images, Work};
use super::layout::Layout;
use super::metadata::{self, Metadata};
use super::surroundings::{Surroundings, docker_container};
use super::{LocateError, Located, Paths};
use crate::record;
use crate::system::dir::{Directory, FileError};

/// The most checkpoints that one directory or archive may hold.
pub(super) const CHECKPOINTS_LIMIT: usize = 1024;

/// Where the images of known layouts are, below what names the container.
const BELOW: [&str; 6] = ["checkpoint", "userdata/checkpoint", "state", "final", "snapshot", "images"];

/// How people call archives.
const ARCHIVES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// Finds every checkpoint in the directory.
pub(super) fn locate(folder: Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    if has_images(&folder)? {
        return Ok(vec![located(folder, work_dir)?]);
    }
    if folder.has(metadata::POD_OPTIONS) {
        return several(&folder, &folder, work_dir);
    }
    let mut below = Vec::new();
    for relative in BELOW {
        below.extend(images_in(&folder, relative)?);
    }
    if !below.is_empty() {
        return only(below, &folder, work_dir);
    }
    if let Some(checkpoints) = folder.below("checkpoints")? {
        return several(&checkpoints, &folder, work_dir);
    }
    let Folder::Archived(archive) = &folder else {
        if docker_container(&folder).is_some() {
            return several(&folder, &folder, work_dir);
        }
        return among_children(folder, work_dir);
    };
    // People make an archive of a directory with any name, and of several at once.
    let images = archive.topmost(is_an_image, CHECKPOINTS_LIMIT + 1).into_iter();
    all(images.map(|images| located(images, work_dir)), &folder)
}

/// The one checkpoint in a directory below, or the log of a dump that was killed before it wrote an image.
fn among_children(folder: Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    let found = children(&folder)?;
    if !found.is_empty() {
        return only(found, &folder, work_dir);
    }
    let error = without_images(&folder)?;
    let is_empty = matches!(error, LocateError::NoImages { .. });
    let dump = located(folder, work_dir)?;
    if is_empty && dump.images.has_dump_log()? { Ok(vec![dump]) } else { Err(error) }
}

/// The checkpoint whose images are in this very directory.
pub(super) fn here(folder: Folder) -> Result<Option<Located>, LocateError> {
    if has_images(&folder)? { Ok(Some(located(folder, None)?)) } else { Ok(None) }
}

/// The one checkpoint that was found below what was named. Which of several is meant is not guessed.
fn only(mut found: Vec<Folder>, named: &Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    let path = named.path().to_owned();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(vec![located(only, work_dir)?]),
        (Some(last), false) => {
            let found = found.iter().chain([&last]).map(|folder| folder.path().to_owned()).collect();
            Err(LocateError::Several { path, found: Paths(found) })
        }
        (None, _) => Err(without_images(named)?),
    }
}

/// What is there instead. The content of files is not looked at: their names only make a message.
fn without_images(named: &Folder) -> Result<LocateError, FileError> {
    let (path, names) = (named.path().to_owned(), named.names()?);
    if names.iter().any(|name| is_page_image(name)) {
        return Ok(LocateError::OnlyPages { path });
    }
    let archives = names.iter().filter(|name| ARCHIVES.iter().any(|ending| name.ends_with(ending.as_bytes())));
    let archives: Vec<PathBuf> = archives.map(|name| path.join(OsStr::from_bytes(name))).collect();
    Ok(match archives.is_empty() {
        true => LocateError::NoImages { path },
        false => LocateError::Archives { path, found: Paths(archives) },
    })
}

/// The images of each directory in a directory of any name, as people make them; none where there are too many to look.
/// One that cannot be looked into may have some too, which matters only if there is one other.
fn children(folder: &Folder) -> Result<Vec<Folder>, FileError> {
    let names = folder.names()?;
    let names = if names.len() > CHECKPOINTS_LIMIT { Vec::new() } else { names };
    let (mut found, mut failed) = (Vec::new(), None);
    for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
        match images_of(folder, name) {
            Ok(images) => found.extend(images),
            Err(error) => failed = Some(error),
        }
    }
    match failed.filter(|_| found.len() == 1) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// The checkpoints of each directory in `parent`.
fn several(parent: &Folder, named: &Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    let names = parent.names()?;
    let directories = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
    let found = directories.filter_map(|name| match images_of(parent, name) {
        Ok(images) => Some(located(images?, work_dir).map_err(LocateError::from)),
        Err(error) => Some(Err(error.into())),
    });
    all(found, named)
}

/// The images of the container whose directory has this name.
fn images_of(parent: &Folder, name: &str) -> Result<Option<Folder>, FileError> {
    let Some(container) = parent.below(name)? else { return Ok(None) };
    if has_images(&container)? { Ok(Some(container)) } else { images_in(&container, "checkpoint") }
}

/// Those that were found, if there is one, and not more than can be meant.
fn all<E: Into<LocateError>>(
    found: impl Iterator<Item = Result<Located, E>>,
    named: &Folder,
) -> Result<Vec<Located>, LocateError> {
    let path = || named.path().to_owned();
    let found: Vec<Located> = found.take(CHECKPOINTS_LIMIT + 1).collect::<Result<_, E>>().map_err(Into::into)?;
    match found.len() {
        0 => Err(LocateError::NoImages { path: path() }),
        1..=CHECKPOINTS_LIMIT => Ok(found),
        _ => Err(LocateError::TooManyCheckpoints { path: path(), limit: CHECKPOINTS_LIMIT }),
    }
}

fn images_in(folder: &Folder, relative: &str) -> Result<Option<Folder>, FileError> {
    match folder.below(relative)? {
        Some(images) if has_images(&images)? => Ok(Some(images)),
        _ => Ok(None),
    }
}

fn has_images(folder: &Folder) -> Result<bool, FileError> {
    Ok(folder.names()?.iter().any(|name| is_an_image(name)))
}

/// Whether a file of this name makes a directory one of images. Statistics alone do not: runtimes put them elsewhere.
fn is_an_image(name: &[u8]) -> bool {
    ImageKind::from_file_name(OsStr::from_bytes(name)).is_some_and(|(kind, _)| kind != ImageKind::Stats)
}

/// Whether a file of this name holds memory pages, or says whose they are: all that a page server writes.
fn is_page_image(name: &[u8]) -> bool {
    (name.starts_with(b"pages-") || name.starts_with(b"pagemap-")) && name.ends_with(b".img")
}

fn located(images: Folder, work_dir: Option<&Path>) -> Result<Located, FileError> {
    let Surroundings { layout, container, work } = Surroundings::of(&images)?;
    let mut context = match container {
        // Root may have unpacked what somebody else made.
        Some(container) if matches!(layout, Layout::Export | Layout::Pod) => {
            metadata::read(&Metadata::of_strangers(container), layout)
        }
        Some(container) => metadata::read(&Metadata::of(container), layout),
        None => Context::default(),
    };
    if images.host().is_none() && images.has(record::FILE_NAME) {
        context.notes.push(format!("{} comes from an archive and is not used", record::FILE_NAME));
    }
    let work = match (work_dir, work) {
        (Some(path), _) => Work::Named(Directory::open(path)?),
        (None, Some(folder)) => Work::Beside(folder),
        (None, None) => Work::Images,
    };
    let images = Images::new(images, work)?.in_layout(layout);
    Ok(Located { images, layout, context, archive: None })
}

#[cfg(test)]
mod tests;
