// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the images in and below a directory, and what lies beside them.
//!
//! Every directory is opened from one that is open already, by one name or `..`, and no link is followed. The name of
//! the directory that the user typed says nothing: what counts is what is in it, and under which name its parent has it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use criu_images::ImageKind;

use super::context::Context;
use super::images::{Images, Work};
use super::layout::Layout;
use super::metadata::{self, Metadata};
use super::{LocateError, Located};
use crate::system::dir::{Directory, FileError, Reach};

/// The most checkpoints that one directory may hold.
const CHECKPOINTS_LIMIT: usize = 1024;

/// Where the images of known layouts are, below what names the container; the first that is there counts.
const BELOW: [&str; 5] = ["checkpoint", "userdata/checkpoint", "state", "final", "snapshot"];

/// Finds every checkpoint in the directory.
pub(super) fn locate(directory: Directory, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    if has_images(&directory)? {
        return Ok(vec![located(directory, Pod::No, work_dir)?]);
    }
    if directory.entry(OsStr::new(metadata::POD_OPTIONS))?.is_some() {
        return several(&directory, &directory, Pod::Yes, work_dir);
    }
    for relative in BELOW {
        if let Some(images) = images_in(&directory, relative)? {
            return Ok(vec![located(images, Pod::No, work_dir)?]);
        }
    }
    match subdirectory(&directory, "checkpoints")? {
        Some(checkpoints) => several(&checkpoints, &directory, Pod::No, work_dir),
        None => Err(LocateError::NoImages { path: directory.path().to_owned() }),
    }
}

/// Whether the directory is one of a pod's checkpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pod {
    Yes,
    No,
}

/// The checkpoints of each directory in `parent`.
fn several(
    parent: &Directory,
    named: &Directory,
    pod: Pod,
    work_dir: Option<&Path>,
) -> Result<Vec<Located>, LocateError> {
    let mut found = Vec::new();
    for name in parent.names()? {
        let Some(name) = std::str::from_utf8(&name).ok() else { continue };
        let Some(directory) = subdirectory(parent, name)? else { continue };
        let images = if has_images(&directory)? { Some(directory) } else { images_in(&directory, "checkpoint")? };
        let Some(images) = images else { continue };
        if found.len() == CHECKPOINTS_LIMIT {
            return Err(LocateError::TooManyCheckpoints { path: named.path().to_owned(), limit: CHECKPOINTS_LIMIT });
        }
        found.push(located(images, pod, work_dir)?);
    }
    if found.is_empty() {
        return Err(LocateError::NoImages { path: named.path().to_owned() });
    }
    Ok(found)
}

fn images_in(directory: &Directory, relative: &str) -> Result<Option<Directory>, FileError> {
    match subdirectory(directory, relative)? {
        Some(images) if has_images(&images)? => Ok(Some(images)),
        _ => Ok(None),
    }
}

/// Opens a directory below another one; `None` where there is none, or something else has its name.
fn subdirectory(directory: &Directory, relative: &str) -> Result<Option<Directory>, FileError> {
    match directory.below(Path::new(relative), Reach::AcrossMounts) {
        Ok(directory) => Ok(Some(directory.reopened()?)),
        Err(error) if error.is_no_directory() => Ok(None),
        Err(error) => Err(error),
    }
}

fn has_images(directory: &Directory) -> Result<bool, FileError> {
    Ok(directory.names()?.iter().any(|name| is_an_image(name)))
}

/// Whether a file of this name makes a directory one of images. Statistics alone do not: runtimes put them elsewhere.
pub(super) fn is_an_image(name: &[u8]) -> bool {
    ImageKind::of_file_name(name).is_some_and(|(kind, _)| kind != ImageKind::Stats)
}

fn located(images: Directory, pod: Pod, work_dir: Option<&Path>) -> Result<Located, LocateError> {
    let surroundings = Surroundings::of(&images, pod)?;
    let context = match surroundings.container {
        Some(container) => {
            let metadata = match surroundings.layout {
                Layout::Export | Layout::Pod => Metadata::of_export(container),
                _ => Metadata::of_directory(container),
            };
            metadata::read(&metadata, surroundings.layout)
        }
        None => Context::default(),
    };
    let work = match (work_dir, surroundings.work) {
        (Some(path), _) => Work::Named(Directory::open(path)?),
        (None, Some(directory)) => Work::Beside(directory),
        (None, None) => Work::Images,
    };
    let path = images.path().to_owned();
    let images = Images::new(&path, images, work)?;
    Ok(Located { images, layout: surroundings.layout, context })
}

/// What is around an images directory.
struct Surroundings {
    layout: Layout,
    /// The directory that holds the runtime's metadata.
    container: Option<Directory>,
    /// Where CRIU's logs are, if not with the images.
    work: Option<Directory>,
}

impl Surroundings {
    fn of(images: &Directory, pod: Pod) -> Result<Self, FileError> {
        let has =
            |directory: &Directory, name: &str| directory.entry(OsStr::new(name)).is_ok_and(|entry| entry.is_some());
        // A parent that may not be looked at adds nothing.
        let parents = images.parent().ok().flatten().map(|parent| {
            let grandparent = parent.parent().ok().flatten();
            (parent, grandparent)
        });
        let plain = |layout| Surroundings { layout, container: None, work: None };
        let alone = if has(images, "tty.info") {
            plain(Layout::Lxc)
        } else if has(images, "descriptors.json") {
            plain(Layout::RuntimeImages)
        } else {
            plain(Layout::ImagesDirectory)
        };
        let Some((parent, grandparent)) = parents else { return Ok(alone) };
        let is = is_entry;
        if let Some(container) = &grandparent
            && is("checkpoints", &parent, container)
            && has(container, "config.v2.json")
        {
            let container = container.reopened()?;
            return Ok(Surroundings { layout: Layout::Docker, container: Some(container), work: None });
        }
        let layout = if is("snapshot", images, &parent) && is_directory(&parent, "work") {
            Layout::Zeropod
        } else if is("state", images, &parent) && has(&parent, "rootfs")
            || is("final", images, &parent) && has(&parent, "001")
        {
            Layout::Incus
        } else if pod == Pod::Yes {
            Layout::Pod
        } else if is("checkpoint", images, &parent)
            && grandparent.as_ref().is_some_and(|grandparent| is("userdata", &parent, grandparent))
        {
            Layout::Podman
        } else if is("checkpoint", images, &parent) && (has(&parent, "config.dump") || has(&parent, "spec.dump")) {
            Layout::Export
        } else if has(&parent, "config.json") && (is("checkpoint", images, &parent) || has(images, "descriptors.json"))
        {
            Layout::Bundle
        } else {
            return Ok(alone);
        };
        let work = match layout {
            Layout::Zeropod => subdirectory(&parent, "work")?,
            Layout::Podman | Layout::Export | Layout::Pod => Some(parent.reopened()?),
            _ => None,
        };
        // A pod's container has its metadata beside `checkpoint`, or with the images.
        let container = if layout == Layout::Pod && has(images, "config.dump") { images.reopened()? } else { parent };
        Ok(Surroundings { layout, container: Some(container), work })
    }
}

/// Whether `name` in `parent` is this directory.
fn is_entry(name: &str, directory: &Directory, parent: &Directory) -> bool {
    let (Ok(Some(entry)), Ok(identity)) = (parent.entry(OsStr::from_bytes(name.as_bytes())), directory.identity())
    else {
        return false;
    };
    (entry.device, entry.inode) == (identity.device, identity.inode)
}

fn is_directory(parent: &Directory, name: &str) -> bool {
    matches!(subdirectory(parent, name), Ok(Some(_)))
}

#[cfg(test)]
mod tests;
