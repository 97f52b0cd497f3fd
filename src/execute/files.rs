// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes link remaps, and has their files kept before where that is wanted.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::sync::Arc;

use super::{Done, Outcome};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::mounts::Base;
use crate::probe::{Finding, FoundFile, Presence};
use crate::reach::{OpenBases, OpenDirectory};
use crate::residue::{LinkRemap, Residue, link_remap};
use crate::save::{Keeper, Saved};
use crate::system::dir::{Directory, FileError, FileIdentity, InodeId, Name, Pinned};
use crate::system::mount::Purpose;
use crate::time::Timestamp;

/// Removes every link remap that the plan removes.
pub(super) fn remove_links(host: &Host, done: &mut [Done], keeper: Option<Keeper<'_>>, interrupt: &Interrupt) {
    let mut removal = Removal {
        keeper,
        shared: shared_inodes(done),
        touched: Touched::default(),
        bases: OpenBases::new(Purpose::Remove, host.device_users()),
    };
    for done in done.iter_mut().filter(|done| done.is_to_be_removed()) {
        let Some((link, found)) = planned_link(&done.item.finding) else { continue };
        let may_go_on = removal.touched.may_go_on_with(&found.identity, interrupt);
        let removed = may_go_on.and_then(|()| removal.remove(link, found, &mut done.saved));
        done.outcome = removed.unwrap_or_else(Outcome::Failed);
    }
}

fn planned_link(finding: &Finding) -> Option<(&LinkRemap, &FoundFile)> {
    match finding {
        Finding { residue: Residue::LinkRemap(link), presence: Presence::File(found) } => Some((link, found)),
        _ => None,
    }
}

/// The inodes of which more than one name is to be removed.
fn shared_inodes(done: &[Done]) -> HashSet<InodeId> {
    let mut once = HashSet::new();
    let planned =
        done.iter().filter(|done| done.is_to_be_removed()).filter_map(|done| planned_link(&done.item.finding));
    planned.map(|(_, found)| found.identity.id()).filter(|inode| !once.insert(*inode)).collect()
}

/// The removal of all link remaps of a plan.
struct Removal<'a> {
    keeper: Option<Keeper<'a>>,
    shared: HashSet<InodeId>,
    touched: Touched,
    bases: OpenBases,
}

/// A link that was found again.
struct Opened<'a> {
    directory: &'a Directory,
    name: &'a OsStr,
    removable: Name<'a>,
    file: Pinned,
}

impl Removal<'_> {
    fn remove(&mut self, link: &LinkRemap, found: &FoundFile, saved: &mut Option<Saved>) -> Result<Outcome, String> {
        let (_, name) = found.place.split();
        let removable = check_name(link, name)?;
        let Some(opened) = open_again(found, &mut self.bases)? else { return Ok(Outcome::AlreadyGone) };
        let directory = &opened.directory;
        // Whoever needs the file beyond its name holds on to it. Ten thousand others save three calls each.
        if self.keeper.is_some() || self.shared.contains(&found.identity.id()) {
            let Some(file) = directory.pin(name).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
            return self.remove_pinned(link, found, &Opened { directory, name, removable, file }, saved);
        }
        let Some(now) = directory.entry(name).map_err(said)? else { return Ok(Outcome::AlreadyGone) };
        self.check(found, &now)?;
        unlink(directory, removable)
    }

    fn remove_pinned(
        &mut self,
        link: &LinkRemap,
        found: &FoundFile,
        opened: &Opened<'_>,
        saved: &mut Option<Saved>,
    ) -> Result<Outcome, String> {
        self.check(found, &opened.file.identity().map_err(said)?)?;
        if let Some(keeper) = &mut self.keeper {
            *saved = Some(keep(keeper, link, found, opened, &mut self.touched)?);
            look_again(opened)?;
        }
        let outcome = unlink(opened.directory, opened.removable)?;
        if let Ok(now) = opened.file.identity() {
            self.touched.note(&now);
        }
        Ok(outcome)
    }

    fn check(&self, planned: &FoundFile, now: &FileIdentity) -> Result<(), String> {
        if self.touched.expects(&planned.identity, now) {
            return Ok(());
        }
        Err("it has changed since it was looked at; nothing was done".to_owned())
    }
}

/// The last guard, which no image and no arithmetic has a part in: no other name is ever removed.
fn check_name<'a>(link: &LinkRemap, name: &'a OsStr) -> Result<Name<'a>, String> {
    Name::checked(name, |name| link_remap::is_link_name(name, link.id))
        .ok_or_else(|| format!("{} is not the name of a link remap; nothing was done", name.display()))
}

fn unlink(directory: &Directory, name: Name<'_>) -> Result<Outcome, String> {
    Ok(if directory.unlink(name).map_err(said)? { Outcome::Removed } else { Outcome::AlreadyGone })
}

/// The inodes of which this run has made or removed a name, with the time of that change: the next name of the same
/// inode is expected to show it.
#[derive(Default)]
struct Touched(HashMap<InodeId, Timestamp>);

impl Touched {
    /// An interrupt does not part the names of one inode: the first to go changes the inode and perhaps the directory,
    /// and the next run could not tell that from a newer dump's doing.
    fn may_go_on_with(&self, file: &FileIdentity, interrupt: &Interrupt) -> Result<(), String> {
        if self.0.contains_key(&file.id()) { Ok(()) } else { interrupt.may_go_on() }
    }

    fn expects(&self, planned: &FileIdentity, now: &FileIdentity) -> bool {
        let changed = self.0.get(&planned.id()).unwrap_or(&planned.changed);
        planned.is_same_inode(now) && (planned.mode, planned.size, *changed) == (now.mode, now.size, now.changed)
    }

    fn note(&mut self, file: &FileIdentity) {
        self.0.insert(file.id(), file.changed);
    }
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
    let kept = opened.file.identity().map_err(said)?;
    match opened.directory.entry(opened.name).map_err(said)? {
        Some(now) if !now.is_same_inode(&kept) => {
            Err("another file has its name since it was saved; nothing was removed".to_owned())
        }
        _ => Ok(()),
    }
}

/// Opens the directory of the link anew, and makes sure that it is the one that was looked at.
fn open_again(found: &FoundFile, bases: &mut OpenBases) -> Result<Option<Arc<OpenDirectory>>, String> {
    let opened = match bases.directory_of(&found.place) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // A filesystem that has to be mounted for it is on another mount each time.
    let is_mounted_anew = matches!(found.place.base, Base::Device { .. });
    let is_same_mount = is_mounted_anew || opened.identity.mount_id == found.directory.mount_id;
    if !is_same_mount || !opened.identity.is_same_inode(&found.directory) {
        return Err("its directory is not the one that was looked at; nothing was done".to_owned());
    }
    Ok(Some(opened))
}

fn said(error: FileError) -> String {
    error.to_string_with_cause()
}
