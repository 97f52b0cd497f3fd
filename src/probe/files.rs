// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for link remaps where the mount arithmetic says that they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Cause, Finding, FoundFile, Presence, ProbeError, Survey};
use crate::checkpoint::Checkpoint;
use crate::mounts::{self, Base, HostMounts, Location, MountHints, Place, Unreachable};
use crate::residue::{FileMount, LinkRemap, Residue};
use crate::system::dir::{Directory, FileError, Reach};
use crate::system::{mountinfo, process};

pub(super) fn look(
    checkpoint: &Checkpoint,
    links: Vec<Residue>,
    hints: &MountHints,
    survey: &mut Survey,
) -> Result<(), ProbeError> {
    if links.is_empty() {
        return Ok(());
    }
    let host = host_mounts(checkpoint)?;
    let mut bases = Bases::default();
    for residue in links {
        let Residue::LinkRemap(link) = &residue else { continue };
        let presence = match locate(checkpoint, link, &host, hints) {
            Location::At(places) => bases.find(&places),
            Location::Vanished(how) => Presence::Vanished(how),
            Location::Unreachable(why) => Presence::Unreachable(Cause::Mount(why)),
        };
        survey.findings.push(Finding { residue, presence });
    }
    Ok(())
}

fn locate(checkpoint: &Checkpoint, link: &LinkRemap, host: &HostMounts, hints: &MountHints) -> Location {
    let unknown = Location::Unreachable(Unreachable::UnknownMount);
    match link.mount {
        FileMount::Shared => mounts::in_shared_namespace(&link.link, hints),
        FileMount::Unknown => unknown,
        FileMount::Id(id) => checkpoint
            .mounts
            .get(&id)
            .and_then(|mount| mounts::on_mount(&link.link, &mount.entry, host, hints))
            .unwrap_or(unknown),
    }
}

/// The mount tables of this host: the tool's own in full, of the others which devices they show.
fn host_mounts(checkpoint: &Checkpoint) -> Result<HostMounts, ProbeError> {
    if checkpoint.mounts.is_empty() {
        return Ok(HostMounts::default());
    }
    let proc_error = |source| ProbeError::Proc { what: "/proc/self/mountinfo", source };
    let (own, _) = mountinfo::parse(&process::mountinfo(std::process::id()).map_err(proc_error)?);
    let own_devices: BTreeSet<(u32, u32)> = own.iter().map(|mount| mount.device).collect();
    let mut elsewhere = BTreeMap::new();
    let mut seen: BTreeSet<u64> = process::mount_namespace(std::process::id()).into_iter().collect();
    for pid in process::pids().map_err(proc_error)? {
        let Ok(namespace) = process::mount_namespace(pid) else { continue };
        if !seen.insert(namespace) {
            continue;
        }
        let Ok(table) = process::mountinfo(pid) else { continue };
        for mount in mountinfo::parse(&table).0 {
            if !own_devices.contains(&mount.device) {
                elsewhere.entry(mount.device).or_insert(pid);
            }
        }
    }
    Ok(HostMounts { own, elsewhere: elsewhere.into_iter().collect() })
}

/// The directories that places start from, each opened once.
#[derive(Default)]
struct Bases {
    open: HashMap<std::path::PathBuf, Result<Arc<Directory>, Arc<FileError>>>,
}

impl Bases {
    /// The first place that can be looked at decides: all of them show the same file.
    fn find(&mut self, places: &[Place]) -> Presence {
        let mut cause = Cause::Mount(Unreachable::UnknownMount);
        for place in places {
            match self.look_at(place) {
                Ok(presence) => return presence,
                Err(why) => cause = why,
            }
        }
        Presence::Unreachable(cause)
    }

    fn look_at(&mut self, place: &Place) -> Result<Presence, Cause> {
        let base = self.base(&place.base)?;
        let (directory, name) = place.split();
        let directory = match base.below(directory, reach(&place.base)) {
            Ok(directory) => directory,
            // The directory of the link is gone, and the link with it.
            Err(error) if error.source == Errno::NOENT => return Ok(Presence::Gone),
            // A mount point in the way: this mount does not show the file here, another may.
            Err(error) if error.source == Errno::XDEV => {
                return Err(Cause::Overmounted(base.path().join(&place.relative)));
            }
            Err(error) => return Err(Cause::File(Arc::new(error))),
        };
        let failed = |error| Cause::File(Arc::new(error));
        match directory.entry(name).map_err(failed)? {
            None => Ok(Presence::Gone),
            Some(identity) => Ok(Presence::File(FoundFile {
                place: place.clone(),
                directory: directory.identity().map_err(failed)?,
                identity,
            })),
        }
    }

    fn base(&mut self, base: &Base) -> Result<Arc<Directory>, Cause> {
        let path = match base {
            Base::Mount { mountpoint: path, .. } | Base::Named(path) | Base::Root(path) => path,
        };
        let directory = match self.open.get(path) {
            Some(opened) => opened.clone(),
            None => {
                let opened = open_base(base).map(Arc::new).map_err(Arc::new);
                self.open.insert(path.clone(), opened.clone());
                opened
            }
        };
        let directory = directory.map_err(Cause::File)?;
        check_mount(base, &directory, path)?;
        Ok(directory)
    }
}

/// Opens the directory that places start from.
pub(crate) fn open_base(base: &Base) -> Result<Directory, FileError> {
    match base {
        Base::Mount { mountpoint, .. } => Directory::open_exactly(mountpoint),
        Base::Named(path) | Base::Root(path) => Directory::open(path),
    }
}

/// How far a path may lead from there.
pub(crate) fn reach(base: &Base) -> Reach {
    match base {
        Base::Mount { .. } | Base::Named(_) => Reach::SameMount,
        Base::Root(_) => Reach::AcrossMounts,
    }
}

/// Whether the directory is on the mount that is meant: another may have been mounted over it.
fn check_mount(base: &Base, directory: &Directory, path: &Path) -> Result<(), Cause> {
    let Base::Mount { id, .. } = base else { return Ok(()) };
    let identity = directory.identity().map_err(|error| Cause::File(Arc::new(error)))?;
    if identity.mount_id != 0 && identity.mount_id != u64::from(*id) {
        return Err(Cause::Overmounted(path.to_owned()));
    }
    Ok(())
}
