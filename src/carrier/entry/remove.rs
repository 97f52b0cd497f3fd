// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes an entry: detaches what is mounted on it, and then removes the one name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;

use super::look::examine;
use super::{EntryQuery, FoundEntry};
use crate::carrier::Outcome;
use crate::causes::with_causes;
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::system::dir::{Directory, FileError, Name};
use crate::system::mount;

/// Removes an entry that is still what was found.
pub(crate) fn remove(host: &Host, query: &EntryQuery, found: &FoundEntry, interrupt: &Interrupt) -> Outcome {
    match interrupt.may_go_on() {
        Ok(()) => try_to_remove(host, query, found).unwrap_or_else(Outcome::Failed),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn try_to_remove(host: &Host, query: &EntryQuery, found: &FoundEntry) -> Result<Outcome, String> {
    let name = OsStr::from_bytes(&found.name);
    let directory = match Directory::open_exactly(&found.directory) {
        Ok(directory) => directory,
        Err(error) if error.is_not_found() => return Ok(Outcome::AlreadyGone),
        Err(error) => return Err(said(error)),
    };
    if directory.identity().map_err(said)?.id() != found.directory_id {
        return Err("its directory is another one now; not removed".to_owned());
    }
    let Some(now) = examine(host, &directory, &found.name).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
    let is_same = now.identity.is_same_inode(&found.identity) && (query.is_own)(&now);
    if !is_same {
        return Err("it changed since it was examined; not removed".to_owned());
    }
    if let [user, ..] = now.users[..] {
        return Err(format!("process {user} has it mounted; not removed"));
    }
    let Some(removable) = Name::checked(name, query.is_name) else {
        return Err("its name is not one of CRIU's; not removed".to_owned());
    };
    if let Some(mounted) = now.mounted_on().last() {
        mount::detach(&directory, removable, mounted.id).map_err(said)?;
    }
    let is_gone = match now.identity.file_type() {
        FileType::Directory => directory.remove_directory(removable),
        FileType::RegularFile
        | FileType::Socket
        | FileType::Symlink
        | FileType::Fifo
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => directory.unlink(removable),
    };
    Ok(if is_gone.map_err(said)? { Outcome::Removed } else { Outcome::AlreadyGone })
}

fn said(error: FileError) -> String {
    with_causes(&error)
}
