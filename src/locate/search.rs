// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the images in and below a directory, and the files next to them.
//!
//! Every directory of the host is opened relative to an open one, by one name or `..`, without following links. The
//! name that the user typed does not matter; the content, and the directory's name in its parent, do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use criu_images::ImageKind;

use super::context::Context;
use super::folder::Folder;
use super::images::{Images, Work};
use super::layout::Layout;
use super::metadata::{self, Metadata};
use super::surroundings::{Surroundings, docker_container};
use super::{LocateError, Located};
use crate::record;
use crate::system::dir::{Directory, FileError};

/// The most checkpoints that one directory or archive may hold.
pub(super) const CHECKPOINTS_LIMIT: usize = 1024;

/// Where the images of known layouts are, below what names the container.
const BELOW: [&str; 8] = [
    "checkpoint",
    "userdata/checkpoint",
    "state",
    "final",
    "snapshot",
    "images",
    "ctrd-restore/checkpoint",
    "ctrd-checkpoint/checkpoint",
];

/// Finds every checkpoint in the directory, as far as it is one that a runtime or a person gave to one container or dump.
pub(super) fn locate(folder: Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    if has_images(&folder)? {
        return Ok(vec![located(folder, work_dir)?]);
    }
    if folder.has(metadata::POD_OPTIONS) {
        return several(&folder, &folder, work_dir);
    }
    let below = below(&folder, work_dir)?;
    if below.iter().any(|found| found.layout.is_of_one_container()) {
        return Ok(below);
    }
    if docker_container(&folder).is_some() {
        return several(&folder, &folder, work_dir);
    }
    if let Some(checkpoints) = folder.below("checkpoints")? {
        match several(&checkpoints, &folder, work_dir) {
            Err(LocateError::NoImages { .. }) => {}
            found => return found,
        }
    }
    match &folder {
        // People make an archive of a directory with any name, and of several at once.
        Folder::Archived(archive) => {
            let images = archive.topmost(is_an_image, CHECKPOINTS_LIMIT + 1).into_iter();
            all(images.map(|images| located(images, work_dir)), &folder)
        }
        Folder::Host(_) => Err(LocateError::NoImages { path: folder.path().to_owned() }),
    }
}

/// The checkpoints of an entry of a directory of checkpoints.
pub(super) fn in_entry(folder: Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    match locate(folder.again()?, work_dir) {
        Err(LocateError::NoImages { path }) => {
            let below = below(&folder, work_dir)?;
            if below.is_empty() { Err(LocateError::NoImages { path }) } else { Ok(below) }
        }
        found => found,
    }
}

/// The images where known layouts have them.
fn below(folder: &Folder, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    let mut found = Vec::new();
    for relative in BELOW {
        if let Some(images) = images_in(folder, relative)? {
            found.push(located(images, work_dir)?);
        }
    }
    Ok(found)
}

/// The log of a dump that was killed before it wrote an image, in this very directory.
pub(super) fn log_alone(folder: Folder, work_dir: Option<&Path>) -> Result<Option<Located>, LocateError> {
    let dump = located(folder, work_dir)?;
    if dump.images.has_dump_log()? { Ok(Some(dump)) } else { Ok(None) }
}

/// The checkpoint whose images are in this very directory.
pub(super) fn here(folder: Folder) -> Result<Option<Located>, LocateError> {
    if has_images(&folder)? { Ok(Some(located(folder, None)?)) } else { Ok(None) }
}

/// Whether there are memory pages, and no other images: all that a page server writes.
pub(super) fn has_only_pages(folder: &Folder) -> Result<bool, FileError> {
    Ok(folder.names()?.iter().any(|name| is_page_image(name)))
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

/// Whether a file of this name holds memory pages, or says whose they are.
fn is_page_image(name: &[u8]) -> bool {
    (name.starts_with(b"pages-") || name.starts_with(b"pagemap-")) && name.ends_with(b".img")
}

fn located(images: Folder, work_dir: Option<&Path>) -> Result<Located, FileError> {
    let Surroundings { layout, container, work, of_lxc } = Surroundings::of(&images)?;
    let mut context = match container {
        // Root may have unpacked what somebody else made.
        Some(container) if matches!(layout, Layout::Export | Layout::Pod) => {
            metadata::read(&Metadata::of_strangers(container), layout)
        }
        Some(container) => metadata::read(&Metadata::of(container), layout),
        None => Context::default(),
    };
    context.container.complete(of_lxc, None);
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
