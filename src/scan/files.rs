// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files, directories and mounts whose names CRIU gives.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::clock::Limit;
use super::object::{Class, Cover, Holder, Object, Thing};
use super::places::Places;
use super::shape::{self, Shape};
use crate::carrier::entry;
use crate::host::{self, Host, Sighting};
use crate::kept_state;
use crate::kind::{self, EntryKind};
use crate::system::dir::{Directory, InodeId};
use crate::system::mountinfo::HostMount;

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) objects: Vec<Object>,
    pub(super) unseen: Vec<String>,
    /// How many names were read.
    pub(super) names: u64,
}

/// Looks into all these places.
pub(super) fn look(host: &Host, places: Places, limit: Limit) -> Files {
    let names = host::names::look(&places.starts, shape::is_wanted, limit.until());
    let mut files = Files { unseen: places.unseen, names: names.count, ..Files::default() };
    for (at, why) in names.unseen {
        let start = &places.starts[at];
        let within = start.namespace.as_ref().map(|namespace| format!(" in {}", namespace.describe()));
        files.unseen.push(format!("{}{}: {why}", start.path.display(), within.unwrap_or_default()));
    }
    // The same directory may be reached through several mount namespaces, that of criu-gc first.
    let mut seen: HashSet<(InodeId, Vec<u8>)> = HashSet::new();
    for sighting in names.sightings {
        if seen.insert((sighting.directory_identity.id(), sighting.name.clone())) {
            files.add(host, sighting);
        }
    }
    files.add_runc_roots(host);
    files.add_runc_states(host);
    files.add_holders(host);
    files
}

/// Where runc mounts the root directory of a container for CRIU: `criu-root` beside its state
/// (`Restore` in `libcontainer/criu_linux.go`).
const RUNC_ROOT: &str = "criu-root";

impl Files {
    fn add(&mut self, host: &Host, sighting: Sighting) {
        let Some(shape) = Shape::of(&sighting.name) else { return };
        let since = Some(sighting.identity.changed);
        if shape == Shape::Temporary {
            let object = self.temporary(host, sighting);
            return self.objects.extend(object.map(|object| Object { since, ..object }));
        }
        let objection = shape.objection(&sighting.identity);
        let class = if objection.is_some() { Class::LookAlike } else { Class::Orphan };
        let mut object = Object::new(Thing::File { shape, sighting }, class);
        object.remarks.extend(objection.map(str::to_owned));
        self.objects.push(Object { since, ..object });
    }

    /// What CRIU makes for a moment, if it is that.
    fn temporary(&mut self, host: &Host, sighting: Sighting) -> Option<Object> {
        let kinds = kind::entry_kinds();
        let kind = *kinds.iter().find(|kind| (kind.query.is_name)(&sighting.name))?;
        if sighting.namespace.is_some() {
            let cover = cover(host, &sighting);
            return elsewhere(kind, sighting, cover);
        }
        if kind.name == "unfinished-cache" && sighting.directory != Path::new("/run") {
            return None;
        }
        let found = Directory::open_exactly(&sighting.directory)
            .and_then(|directory| entry::examine(host, &directory, &sighting.name));
        match found {
            Ok(Some(found)) if (kind.query.is_own)(&found) => {
                let users = found.users.clone();
                let mut object = Object::new(Thing::Entry { kind, found: Box::new(found) }, Class::Litter);
                object.holders = holders(host, users);
                Some(object)
            }
            Ok(Some(_)) => {
                let mut object =
                    Object::new(Thing::ElsewhereEntry { kind, sighting, cover: Cover::Bare }, Class::LookAlike);
                object
                    .remarks
                    .push("its owner, its content or what is mounted there is not what CRIU leaves".to_owned());
                Some(object)
            }
            Ok(None) => None,
            Err(error) => {
                self.unseen.push(crate::causes::with_causes(&error));
                None
            }
        }
    }

    /// Adds what runc mounted for a restore that was killed: beside it there is no state of a container, and nothing else.
    fn add_runc_roots(&mut self, host: &Host) {
        let points = host.mount_tables().own.iter().map(|mount| Path::new(OsStr::from_bytes(&mount.mountpoint)));
        let found: BTreeSet<&Path> =
            points.filter(|point| point.ends_with(RUNC_ROOT) && is_without_state(point)).collect();
        for point in found {
            let mut object = Object::new(Thing::RuncRoot(point.to_owned()), Class::Orphan);
            object.remarks.push("rm -rf there would delete the container's files: unmount it first".to_owned());
            self.objects.push(object);
        }
    }

    /// Adds what a killed runc keeps of containers that it checkpointed.
    fn add_runc_states(&mut self, host: &Host) {
        let (states, unread) = kept_state::look(host);
        self.unseen.extend(unread);
        self.objects.extend(states.into_iter().map(|state| {
            let since = Some(state.since());
            Object { since, ..Object::new(Thing::RuncState(state), Class::Litter) }
        }));
    }

    /// Adds the processes that have a file open.
    fn add_holders(&mut self, host: &Host) {
        let is_file = |object: &&Object| matches!(object.thing, Thing::File { .. });
        let wanted: HashSet<InodeId> = self.objects.iter().filter(is_file).filter_map(inode).collect();
        if wanted.is_empty() {
            return;
        }
        let others = host.processes().list.iter().filter(|process| !process.is_kernel_thread);
        let (held, silent) = host.holders_of_deleted(others.map(|process| process.pid), wanted);
        if !silent.is_empty() {
            let silent: Vec<String> = silent.iter().map(u32::to_string).collect();
            self.unseen.push(format!("which files process {} has open", silent.join(", ")));
        }
        let mut of_inodes: BTreeMap<InodeId, Vec<u32>> = BTreeMap::new();
        for (pid, inodes) in held {
            for inode in inodes {
                of_inodes.entry(inode).or_default().push(pid);
            }
        }
        for object in &mut self.objects {
            if let Some(pids) = inode(object).and_then(|inode| of_inodes.get(&inode)) {
                object.holders = holders(host, pids.iter().copied());
            }
        }
    }
}

/// Whether only root can have made the directory around runc's mount, and it has nothing else in it.
fn is_without_state(point: &Path) -> bool {
    let Some(Ok(directory)) = point.parent().map(Directory::open_exactly) else { return false };
    let is_root = directory.identity().is_ok_and(|identity| identity.owner == 0);
    is_root && directory.names().is_ok_and(|names| names == [RUNC_ROOT.as_bytes()])
}

fn inode(object: &Object) -> Option<InodeId> {
    match &object.thing {
        Thing::File { sighting, .. } => Some(sighting.identity.id()),
        Thing::Entry { .. }
        | Thing::ElsewhereEntry { .. }
        | Thing::RuncRoot(_)
        | Thing::RuncState(_)
        | Thing::Rules { .. }
        | Thing::Table(_)
        | Thing::Chain(_)
        | Thing::Process(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => None,
    }
}

/// In another mount namespace only the name and the owner are compared; nothing there is removed.
fn elsewhere(kind: EntryKind, sighting: Sighting, cover: Cover) -> Option<Object> {
    let class = if sighting.identity.owner == 0 { Class::Litter } else { Class::LookAlike };
    (kind.name != "unfinished-cache").then(|| Object::new(Thing::ElsewhereEntry { kind, sighting, cover }, class))
}

/// Whether its mount namespace has something mounted there.
fn cover(host: &Host, sighting: &Sighting) -> Cover {
    let within = sighting.within();
    let mut others = host.mount_tables().others.iter();
    let mounts = others.find(|(namespace, _)| Some(namespace) == sighting.namespace.as_ref()).map(|(_, mounts)| mounts);
    let is_on = |mount: &HostMount| mount.mountpoint == within.as_os_str().as_bytes();
    if mounts.is_some_and(|mounts| mounts.iter().any(is_on)) { Cover::Mounted } else { Cover::Bare }
}

/// The names of processes.
pub(super) fn holders(host: &Host, pids: impl IntoIterator<Item = u32>) -> Vec<Holder> {
    let named = |pid: u32| host.processes().get(pid).map(|process| Holder { pid, name: process.name.clone() });
    pids.into_iter().filter_map(named).collect()
}
