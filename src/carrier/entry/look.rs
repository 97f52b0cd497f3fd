// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for entries by the templates of their names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Content, EntryPlace, EntryQuery, FoundEntry};
use crate::host::{self, Host};
use crate::locate::Given;
use crate::system::dir::{Directory, FileError};

/// What there is of this kind, and what could not be read.
pub(crate) fn look(host: &Host, given: &Given, query: &EntryQuery) -> (Vec<FoundEntry>, Vec<FileError>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for place in query.places {
        match place {
            EntryPlace::Work => {
                for directory in given.work_directories() {
                    keep(look_in(host, directory, query), &mut found, &mut failures);
                }
            }
            EntryPlace::Host(path) => match Directory::open_exactly(Path::new(path)) {
                Ok(directory) => keep(look_in(host, &directory, query), &mut found, &mut failures),
                Err(error) if error.is_not_found() => {}
                Err(error) => failures.push(error),
            },
        }
    }
    (found, failures)
}

fn keep(looked: Result<Vec<FoundEntry>, FileError>, found: &mut Vec<FoundEntry>, failures: &mut Vec<FileError>) {
    match looked {
        Ok(entries) => found.extend(entries),
        Err(error) => failures.push(error),
    }
}

fn look_in(host: &Host, directory: &Directory, query: &EntryQuery) -> Result<Vec<FoundEntry>, FileError> {
    let mut found = Vec::new();
    for name in directory.names()?.into_iter().filter(|name| (query.is_name)(name)) {
        found.extend(examine(host, directory, &name)?.filter(|entry| (query.is_own)(entry)));
    }
    Ok(found)
}

/// The entry; `None` where it is gone, or where a filesystem is mounted on it that may never answer.
pub(crate) fn examine(host: &Host, directory: &Directory, name: &[u8]) -> Result<Option<FoundEntry>, FileError> {
    let location = directory.location()?;
    let name = OsStr::from_bytes(name);
    let mounts = host::own_mounts_at(&location.join(name));
    let is_silent = |fstype: &[u8]| !matches!(fstype, b"tmpfs" | b"proc");
    let path = location.join(name);
    if mounts.iter().any(|mount| mount.mountpoint == path.as_os_str().as_bytes() && is_silent(&mount.fstype)) {
        return Ok(None);
    }
    let Some(identity) = directory.entry(name)? else { return Ok(None) };
    Ok(Some(FoundEntry {
        directory: location,
        directory_id: directory.identity()?.id(),
        name: name.as_bytes().to_owned(),
        identity,
        content: Content::of(host, directory, name, &identity),
        mounts,
        users: host.users_of_mounts_at(&path),
    }))
}
