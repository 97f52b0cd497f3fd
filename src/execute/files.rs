// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes link remaps, and has their files kept before where that is wanted.

use std::collections::HashMap;
use std::ffi::OsStr;

use super::{Done, Outcome};
use crate::mounts::Base;
use crate::probe::{Finding, FoundFile, Presence};
use crate::reach::OpenBases;
use crate::residue::{LinkRemap, Residue};
use crate::save::{Keeper, Saved};
use crate::system::dir::{Directory, FileIdentity, Pinned};
use crate::system::mount::Purpose;
use crate::time::Timestamp;

/// Removes every link remap that the plan removes.
pub(super) fn remove_links(done: &mut [Done], mut keeper: Option<Keeper<'_>>) {
    let mut touched = Touched::default();
    let mut bases = OpenBases::new(Purpose::Remove);
    for done in done.iter_mut().filter(|done| done.is_to_be_removed()) {
        let Finding { residue: Residue::LinkRemap(link), presence: Presence::File(found) } = &done.item.finding else {
            continue;
        };
        let removed = match &mut keeper {
            None => remove(found, &mut touched, &mut bases, |_, _| Ok(())),
            Some(keeper) => remove(found, &mut touched, &mut bases, |opened, touched| {
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
    bases: &mut OpenBases,
    before: impl FnOnce(&Opened<'_>, &mut Touched) -> Result<(), String>,
) -> Result<Outcome, String> {
    let Some(directory) = open_again(found, bases)? else { return Ok(Outcome::AlreadyGone) };
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
fn open_again(found: &FoundFile, bases: &mut OpenBases) -> Result<Option<Directory>, String> {
    let directory = match bases.directory_of(&found.place) {
        Ok(directory) => directory,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let identity = directory.identity().map_err(|error| error.to_string_with_cause())?;
    // A filesystem that has to be mounted for it is on another mount each time.
    let is_mounted_anew = matches!(found.place.base, Base::Device { .. });
    let is_same_mount = is_mounted_anew || identity.mount_id == found.directory.mount_id;
    if !is_same_mount || !identity.is_same_inode(&found.directory) {
        return Err("its directory is not the one that was looked at; nothing was done".to_owned());
    }
    Ok(Some(directory))
}
