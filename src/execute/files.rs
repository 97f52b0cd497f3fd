// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes link remaps.

use std::collections::HashMap;

use super::{Done, Outcome};
use crate::mounts::Base;
use crate::probe::{FoundFile, Presence};
use crate::reach::Opened;
use crate::system::dir::{Directory, FileIdentity};
use crate::system::mount::Purpose;
use crate::time::Timestamp;

/// Removes every link remap that the plan removes.
pub(super) fn remove_links(done: &mut [Done]) {
    let mut touched = Touched::default();
    let mut opened = Opened::new(Purpose::Remove);
    for done in done.iter_mut().filter(|done| done.is_to_be_removed()) {
        if let Presence::File(found) = &done.item.finding.presence {
            done.outcome = remove(found, &mut touched, &mut opened).unwrap_or_else(Outcome::Failed);
        }
    }
}

/// The inodes of which this run has removed a name, with the time of that change: the next name of the same inode is
/// expected to show it.
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

fn remove(found: &FoundFile, touched: &mut Touched, opened: &mut Opened) -> Result<Outcome, String> {
    let Some(directory) = open_again(found, opened)? else { return Ok(Outcome::AlreadyGone) };
    let (_, name) = found.place.split();
    let pinned = match directory.pin(name).map_err(|error| error.to_string_with_cause())? {
        Some(pinned) => pinned,
        None => return Ok(Outcome::AlreadyGone),
    };
    if !touched.expects(&found.identity, &pinned.identity().map_err(|error| error.to_string_with_cause())?) {
        return Err("it has changed since it was looked at; nothing was done".to_owned());
    }
    let removed = directory.unlink(name).map_err(|error| error.to_string_with_cause())?;
    if let Ok(now) = pinned.identity() {
        touched.note(&now);
    }
    Ok(if removed { Outcome::Removed } else { Outcome::AlreadyGone })
}

/// Opens the directory of the link anew, and makes sure that it is the one that was looked at.
fn open_again(found: &FoundFile, opened: &mut Opened) -> Result<Option<Directory>, String> {
    let directory = match opened.directory_of(&found.place) {
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
