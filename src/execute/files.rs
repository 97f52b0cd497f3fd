// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes link remaps, and has their files kept before where that is wanted.

use std::collections::HashMap;
use std::ffi::OsStr;

use super::{Done, Outcome};
use crate::probe::{self, Finding, FoundFile, Presence};
use crate::residue::{LinkRemap, Residue};
use crate::save::{Keeper, Saved};
use crate::system::dir::{Directory, FileIdentity, Pinned};
use crate::time::Timestamp;

/// Removes every link remap that the plan removes.
pub(super) fn remove_links(done: &mut [Done], mut keeper: Option<Keeper<'_>>) {
    let mut touched = Touched::default();
    for done in done.iter_mut().filter(|done| done.is_to_be_removed()) {
        let Finding { residue: Residue::LinkRemap(link), presence: Presence::File(found) } = &done.item.finding else {
            continue;
        };
        let removed = match &mut keeper {
            None => remove(found, &mut touched, |_, _| Ok(())),
            Some(keeper) => remove(found, &mut touched, |opened, touched| {
                done.saved = Some(keep(keeper, link, found, opened, touched)?);
                look_again(opened)
            }),
        };
        done.outcome = removed.unwrap_or_else(Outcome::Failed);
    }
}

/// The inodes of which this run has made or removed a name, with the time of that change: the next name of the same
/// inode is expected to show it.
#[derive(Default)]
struct Touched(HashMap<((u32, u32), u64), Timestamp>);

impl Touched {
    fn expects(&self, planned: &FileIdentity, now: &FileIdentity) -> bool {
        let changed = self.0.get(&(planned.device, planned.inode)).unwrap_or(&planned.changed);
        planned.is_same_inode(now) && (planned.mode, planned.size, *changed) == (now.mode, now.size, now.changed)
    }

    fn note(&mut self, file: &FileIdentity) {
        self.0.insert((file.device, file.inode), file.changed);
    }
}

/// A link that was found again.
struct Opened<'a> {
    directory: Directory,
    name: &'a OsStr,
    file: Pinned,
}

fn remove(
    found: &FoundFile,
    touched: &mut Touched,
    before: impl FnOnce(&Opened<'_>, &mut Touched) -> Result<(), String>,
) -> Result<Outcome, String> {
    let Some(directory) = open_again(found)? else { return Ok(Outcome::AlreadyGone) };
    let (_, name) = found.place.split();
    let file = match directory.pin(name).map_err(|error| error.to_string_with_cause())? {
        Some(file) => file,
        None => return Ok(Outcome::AlreadyGone),
    };
    if !touched.expects(&found.identity, &file.identity().map_err(|error| error.to_string_with_cause())?) {
        return Err("it has changed since it was looked at; nothing was done".to_owned());
    }
    let opened = Opened { directory, name, file };
    before(&opened, touched)?;
    let removed = opened.directory.unlink(name).map_err(|error| error.to_string_with_cause())?;
    if let Ok(now) = opened.file.identity() {
        touched.note(&now);
    }
    Ok(if removed { Outcome::Removed } else { Outcome::AlreadyGone })
}

fn keep(
    keeper: &mut Keeper<'_>,
    link: &LinkRemap,
    found: &FoundFile,
    opened: &Opened<'_>,
    touched: &mut Touched,
) -> Result<Saved, String> {
    let kept = keeper.keep(link, found, &opened.file);
    // A hard link is made, and perhaps taken away again because the manifest cannot be written.
    if let Ok(now) = opened.file.identity() {
        touched.note(&now);
    }
    kept.map_err(|error| format!("its file could not be saved: {error}"))
}

/// To copy a large file takes long.
fn look_again(opened: &Opened<'_>) -> Result<(), String> {
    let kept = opened.file.identity().map_err(|error| error.to_string_with_cause())?;
    match opened.directory.entry(opened.name).map_err(|error| error.to_string_with_cause())? {
        Some(now) if !now.is_same_inode(&kept) => {
            Err("another file has its name since it was saved; nothing was removed".to_owned())
        }
        _ => Ok(()),
    }
}

/// Opens the directory of the link anew, and makes sure that it is the one that was looked at.
fn open_again(found: &FoundFile) -> Result<Option<Directory>, String> {
    let base = probe::open_base(&found.place.base).map_err(|error| error.to_string_with_cause())?;
    let (path, _) = found.place.split();
    let directory = match base.below(path, probe::reach(&found.place.base)) {
        Ok(directory) => directory,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string_with_cause()),
    };
    let identity = directory.identity().map_err(|error| error.to_string_with_cause())?;
    let is_same = identity.is_same_inode(&found.directory) && identity.mount_id == found.directory.mount_id;
    if !is_same {
        return Err("its directory is not the one that was looked at; nothing was done".to_owned());
    }
    Ok(Some(directory))
}
