// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A directory of checkpoints is all that lie in it: directories in any layout, archives, and checkpoints of pods.
//!
//! One that cannot be used does not hide the others: it is listed with the reason, and then nothing of any is removed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::folder::Folder;
use super::pod::{self, Pod};
use super::search::{self, CHECKPOINTS_LIMIT};
use super::{Collection, LocateError, Located, Unusable, archive};
use crate::archive::{Progress, Source};
use crate::system::dir::{self, Directory, FileError, Reach};

/// The root directory of a container and its `/dev/shm`, where it can write what it likes.
const OF_CONTAINER: [&[u8]; 2] = [b"rootfs", b"shm"];
/// No more names of a directory are looked at.
const NAMES_LIMIT: usize = 50_000;
/// How the checkpoints of a directory are read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) work_dir: Option<&'a Path>,
    pub(super) progress: &'a dyn Fn(Progress<'_>),
}

/// Finds every checkpoint in the directory.
pub(super) fn locate(directory: &Directory, reading: Reading<'_>) -> Result<Collection, LocateError> {
    match in_directory(directory, reading, search::locate) {
        Err(LocateError::NoImages { path }) => {
            let found = among_entries(directory, reading)?;
            if !found.is_empty() {
                return Ok(found);
            }
            if search::has_only_pages(&Folder::Host(directory.reopened()?))? {
                return Err(LocateError::OnlyPages { path });
            }
            let dump = search::log_alone(Folder::Host(directory.reopened()?), reading.work_dir)?;
            Ok(Collection::of(vec![dump.ok_or(LocateError::NoImages { path })?]))
        }
        found => found.map(Collection::of),
    }
}

/// The checkpoint of a pod, or what the search finds.
fn in_directory(
    directory: &Directory,
    reading: Reading<'_>,
    search: fn(Folder, Option<&Path>) -> Result<Vec<Located>, LocateError>,
) -> Result<Vec<Located>, LocateError> {
    let folder = Folder::Host(directory.reopened()?);
    match Pod::of(&folder)? {
        Some(pod) => of_pod(&pod, directory, reading),
        None => search(folder, reading.work_dir),
    }
}

/// The checkpoints in the archives that the manifest of a pod names.
pub(super) fn of_pod(pod: &Pod, directory: &Directory, reading: Reading<'_>) -> Result<Vec<Located>, LocateError> {
    let mut found = Vec::new();
    for container in pod.containers() {
        let path = directory.path().join(container.archive());
        let name = container.archive().file_name().unwrap_or_default();
        let parent = container.archive().parent().unwrap_or(Path::new(""));
        let parent = directory.below(parent, Reach::AcrossMounts)?.reopened()?;
        let archive = parent.read_file(name)?.ok_or_else(|| dir::failed("open", &path)(rustix::io::Errno::NOENT))?;
        let mut of_container = archive::locate(Source::of(archive, &path)?, reading.work_dir, reading.progress)?;
        of_container.iter_mut().for_each(|located| pod.complete(container, located));
        found.extend(of_container);
    }
    Ok(found)
}

/// The checkpoints of each entry of a directory of any name.
fn among_entries(directory: &Directory, reading: Reading<'_>) -> Result<Collection, LocateError> {
    let mut found = Collection::default();
    let mut unopened = Vec::new();
    let is_engines = |name: &Vec<u8>| !OF_CONTAINER.contains(&name.as_slice());
    let names = directory.names()?;
    if names.len() > NAMES_LIMIT {
        let path = directory.path().to_owned();
        let error = LocateError::TooManyNames { path: path.clone(), limit: NAMES_LIMIT };
        unopened.push(Unusable { path, error });
    }
    for name in names.into_iter().filter(is_engines).take(NAMES_LIMIT) {
        let path = directory.path().join(OsStr::from_bytes(&name));
        match in_entry(directory, &name, reading) {
            Ok(located) => found.located.extend(located),
            Err(LocateError::NoImages { .. } | LocateError::OnlyPages { .. }) => {}
            Err(LocateError::Directory(error)) => unopened.push(Unusable { path, error: error.into() }),
            Err(error) => found.unusable.push(Unusable { path, error }),
        }
        if found.len() > CHECKPOINTS_LIMIT {
            let path = directory.path().to_owned();
            return Err(LocateError::TooManyCheckpoints { path, limit: CHECKPOINTS_LIMIT });
        }
    }
    // What cannot be looked into may have some too, which matters only if this is a directory of checkpoints.
    if !found.is_empty() {
        found.unusable.extend(unopened);
    }
    Ok(found)
}

fn in_entry(directory: &Directory, name: &[u8], reading: Reading<'_>) -> Result<Vec<Located>, LocateError> {
    let os_name = OsStr::from_bytes(name);
    if pod::is_archive(name) {
        let path = directory.path().join(os_name);
        return match directory.read_file(os_name) {
            Ok(Some(file)) => archive::locate(Source::of(file, &path)?, reading.work_dir, reading.progress),
            Ok(None) => Ok(Vec::new()),
            Err(_) if is_other_file(directory, os_name)? => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        };
    }
    match directory.below(Path::new(os_name), Reach::AcrossMounts).and_then(|below| below.reopened()) {
        Ok(below) => in_directory(&below, reading, search::in_entry),
        Err(error) if error.is_no_directory() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the entry is no regular file: no archive.
fn is_other_file(directory: &Directory, name: &OsStr) -> Result<bool, FileError> {
    let entry = directory.entry(name)?;
    Ok(entry.is_none_or(|entry| entry.file_type() != rustix::fs::FileType::RegularFile))
}

impl Collection {
    /// Nothing but these.
    pub(super) fn of(located: Vec<Located>) -> Self {
        Collection { located, unusable: Vec::new() }
    }

    /// Adds those of another.
    pub(super) fn append(&mut self, other: Collection) {
        self.located.extend(other.located);
        self.unusable.extend(other.unusable);
    }

    fn len(&self) -> usize {
        self.located.len() + self.unusable.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
