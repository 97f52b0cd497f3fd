// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a caller names beside the checkpoints has to exist, and its keys have to be those of images.

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::error::{Cause, Error, Silent};
use crate::host;
use crate::mounts;
use crate::options::{Options, UnknownKeys};
use crate::system::dir::{self, Directory, FileError};

/// Checks the options against all checkpoints of a run. Gives notes about what changes nothing.
pub(super) fn check(options: &Options, checkpoints: &[&Checkpoint]) -> Result<Vec<String>, Error> {
    if let Some(root) = &options.hints.mounts.root {
        check_path("--root", root, is_directory)?;
    }
    let mut notes = Vec::new();
    for (key, path) in &options.hints.mounts.external {
        let is_known = checkpoints.iter().any(|checkpoint| has_mount(checkpoint, key));
        match is_known {
            true => check_path("--external", path, exists)?,
            false => notes.extend(unknown(options, "mount", key)?),
        }
    }
    for (key, _) in &options.hints.external_namespaces {
        // Its path is opened where it is needed.
        if !checkpoints.iter().any(|checkpoint| checkpoint.network.external_key.as_ref() == Some(key)) {
            notes.extend(unknown(options, "network namespace", key)?);
        }
    }
    Ok(notes)
}

fn has_mount(checkpoint: &Checkpoint, key: &[u8]) -> bool {
    checkpoint.mounts.values().any(|mount| mounts::external_key(&mount.entry) == Some(key))
}

fn unknown(options: &Options, what: &'static str, key: &[u8]) -> Result<Option<String>, Error> {
    match options.unknown_keys {
        UnknownKeys::Refuse => Err(Error::new(Cause::UnknownKey { what, key: key.to_owned() })),
        UnknownKeys::Note => {
            Ok(Some(format!("no image has an external {what} with the key {}", String::from_utf8_lossy(key))))
        }
    }
}

fn is_directory(path: &Path) -> Result<(), FileError> {
    Directory::open(path).map(drop)
}

/// A mount can be one of a single file.
fn exists(path: &Path) -> Result<(), FileError> {
    rustix::fs::stat(path).map(drop).map_err(dir::failed("find", path))
}

fn check_path(option: &'static str, path: &Path, check: fn(&Path) -> Result<(), FileError>) -> Result<(), Error> {
    let theirs = path.to_owned();
    match host::answer(&[path], move || check(&theirs)) {
        Some(checked) => checked.map_err(|source| Error::new(Cause::Option { option, source })),
        None => Err(Error::new(Silent::at(path))),
    }
}
