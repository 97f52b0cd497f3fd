// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a removal takes, and how it is carried out: through the carriers, which compare each thing once more.
//!
//! Without naming it, only litter goes. An object that belongs to images that are known is left to the commands for those
//! images, which have better proof; and a file of a user that CRIU moved aside is never removed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::object::{Class, Object, Thing};
use super::shape::{self, Shape};
use crate::carrier::filter::{self, FilterRemoval};
use crate::carrier::name::{self, FileMount, NameAct, NameRemoval, NameShape};
use crate::carrier::{FoundFile, FoundTask, NameQuery, Outcome, entry, task};
use crate::host::{Host, MountTables, Sighting, Wanted};
use crate::interrupt::Interrupt;
use crate::mounts::{Base, Identity, Place};
use crate::save::{Saved, Saver};
use crate::system::filesystem::FilesystemId;
use crate::tree::everywhere::Everywhere;

/// What is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Remove,
    Keep(&'static str),
}

/// What the caller wants to have removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// What a crash left and no restore needs.
    Litter,
    /// These, by their ids.
    Named(Vec<Vec<u8>>),
}

/// What becomes of processes that never run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Processes {
    #[default]
    Stay,
    End,
}

/// Whether files are saved first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    Saved,
    NotSaved,
}

/// Whether a criu at work would have been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Whole,
    Partial,
}

/// What happens to each object, in their order.
pub(super) fn decide(
    objects: &[Object],
    wish: &Wish,
    processes: Processes,
    files: Files,
    sight: Sight,
) -> Vec<Verdict> {
    let stays = processes == Processes::Stay && objects.iter().any(|object| is_process(object) && is_litter(object));
    let judge = |object: &Object| match wish {
        Wish::Litter | Wish::Named(_) if sight == Sight::Partial => {
            Verdict::Keep("not all processes can be seen, so a criu may be at work")
        }
        Wish::Nothing => Verdict::Keep("nothing was to be removed"),
        Wish::Litter => litter(object, processes, stays),
        Wish::Named(ids) if !ids.contains(&object.id()) => Verdict::Keep("it was not named"),
        Wish::Named(_) => named(object, processes, files),
    };
    objects.iter().map(judge).collect()
}

fn is_process(object: &Object) -> bool {
    matches!(object.thing, Thing::Process(_))
}

fn is_litter(object: &Object) -> bool {
    object.class == Class::Litter
}

const NEEDS_UMOUNT: &str = "the root directory of a container is mounted there: unmount it by hand";
const NEEDS_RUNC: &str = "it is runc's own: runc delete removes it";
const NEEDS_KILL: &str = "it is a process: --kill ends it";

fn litter(object: &Object, processes: Processes, processes_stay: bool) -> Verdict {
    if !is_litter(object) {
        return Verdict::Keep("it is no litter");
    }
    match &object.thing {
        Thing::Process(_) if processes == Processes::Stay => Verdict::Keep(NEEDS_KILL),
        Thing::Process(_) => Verdict::Remove,
        Thing::Entry { .. } if processes_stay => {
            Verdict::Keep("processes of a killed dump or restore may use it: --kill ends them")
        }
        Thing::Entry { .. } => Verdict::Remove,
        Thing::ElsewhereEntry { .. } => Verdict::Keep("it is in another mount namespace"),
        Thing::RuncRoot(_) => Verdict::Keep(NEEDS_UMOUNT),
        Thing::RuncState(_) => Verdict::Keep(NEEDS_RUNC),
        Thing::File { .. }
        | Thing::Rules { .. }
        | Thing::Table(_)
        | Thing::Chain(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => Verdict::Keep("it is no litter"),
    }
}

fn named(object: &Object, processes: Processes, files: Files) -> Verdict {
    let is_lock = object.network().is_some();
    match object.class {
        Class::Damage if is_lock && object.owner.is_none() => Verdict::Remove,
        Class::Damage if is_lock => {
            Verdict::Keep("it belongs to a checkpoint: criu-gc -D DIR --only network removes it")
        }
        Class::Damage => Verdict::Keep("it is damage of something that runs: criu-gc heal mends it"),
        Class::Restorable => Verdict::Keep("it belongs to a checkpoint that can be restored"),
        Class::Undecided if object.owner.is_none() => {
            Verdict::Keep("whose it is was not found out in time: --timeout gives more")
        }
        Class::Incomplete | Class::Restored | Class::Undecided => {
            Verdict::Keep("it belongs to a checkpoint: criu-gc -D DIR removes it")
        }
        Class::InUse => Verdict::Keep("a criu at work may be using it"),
        Class::LookAlike => Verdict::Keep("it only looks like something of CRIU"),
        Class::Litter => litter(object, processes, false),
        Class::Orphan => match &object.thing {
            Thing::File { shape: Shape::Parked, .. } => {
                Verdict::Keep("it is a file of a user that a restore moved aside: rename it back")
            }
            Thing::File { .. } if object.is_last_name() && files == Files::NotSaved => {
                Verdict::Keep("it is the last name of its file: --save DIR saves that first")
            }
            Thing::RuncRoot(_) => Verdict::Keep(NEEDS_UMOUNT),
            Thing::RuncState(_) => Verdict::Keep(NEEDS_RUNC),
            Thing::File { .. } | Thing::Rules { .. } | Thing::Table(_) | Thing::Chain(_) => Verdict::Remove,
            Thing::Entry { .. }
            | Thing::ElsewhereEntry { .. }
            | Thing::Process(_)
            | Thing::Frozen { .. }
            | Thing::Damage(_) => Verdict::Keep("criu-gc cannot remove it"),
        },
    }
}

/// Takes from a plan what a criu that has started since may need, and processes that are not what they were.
pub(super) fn guard(objects: &[Object], verdicts: &mut [Verdict], at_work: &[u32], now: &Everywhere) {
    let has_started = now.at_work.iter().any(|task| !at_work.contains(&task.pid));
    for (object, verdict) in objects.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Remove) {
        let is_left =
            if let Thing::Process(found) = &object.thing { now.left.iter().any(|left| found.is(left)) } else { true };
        if has_started {
            *verdict = Verdict::Keep("a criu has started since it was examined");
        } else if !is_left {
            *verdict = Verdict::Keep("it is no longer a process that waits for ever");
        }
    }
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) outcome: Outcome,
    pub(super) saved: Option<Saved>,
}

/// Removes what is to go: processes first, then locks, names, and last what is free by then.
pub(super) fn carry_out(
    host: &Host,
    objects: &[Object],
    verdicts: &[Verdict],
    saver: Option<Saver>,
    interrupt: &Interrupt,
) -> Vec<Fate> {
    let kept = Fate { outcome: Outcome::Kept, saved: None };
    let mut fates = vec![kept; objects.len()];
    let planned: Vec<(usize, &Object)> =
        objects.iter().enumerate().filter(|(at, _)| verdicts[*at] == Verdict::Remove).collect();
    let ended = end_processes(&planned, interrupt, &mut fates);
    remove_locks(host, &planned, interrupt, &mut fates);
    remove_names(host, &planned, saver, interrupt, &mut fates);
    // The processes that had directories mounted are in the earlier picture.
    let now = Host::look(Wanted::default());
    for (at, object) in &planned {
        if let Thing::Entry { kind, found } = &object.thing {
            fates[*at].outcome = match ended {
                true => entry::remove(&now, &kind.query, found, interrupt),
                false => Outcome::Failed("a process that may use it did not end; not removed".to_owned()),
            };
        }
    }
    fates
}

/// Whether all have ended.
fn end_processes(planned: &[(usize, &Object)], interrupt: &Interrupt, fates: &mut [Fate]) -> bool {
    let tasks = planned.iter().filter_map(|(at, object)| {
        let Thing::Process(found) = &object.thing else { return None };
        Some((*at, found.clone()))
    });
    let (at, tasks): (Vec<usize>, Vec<FoundTask>) = tasks.unzip();
    let outcomes = match interrupt.may_go_on() {
        Ok(()) => task::end(&tasks),
        Err(error) => vec![Outcome::Failed(error.to_string()); tasks.len()],
    };
    let have_ended = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Removed | Outcome::AlreadyGone));
    for (at, outcome) in at.into_iter().zip(outcomes) {
        fates[at].outcome = outcome;
    }
    have_ended
}

fn remove_locks(host: &Host, planned: &[(usize, &Object)], interrupt: &Interrupt, fates: &mut [Fate]) {
    let jobs = planned.iter().filter_map(|(at, object)| match &object.thing {
        Thing::Rules { found, .. } => Some((*at, FilterRemoval::Rules(found))),
        Thing::Table(found) => Some((*at, FilterRemoval::Table(found))),
        Thing::Chain(found) => Some((*at, FilterRemoval::Chain(found))),
        Thing::File { .. }
        | Thing::Entry { .. }
        | Thing::ElsewhereEntry { .. }
        | Thing::RuncRoot(_)
        | Thing::RuncState(_)
        | Thing::Process(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => None,
    });
    let (at, jobs): (Vec<usize>, Vec<FilterRemoval<'_>>) = jobs.unzip();
    for (at, outcome) in at.into_iter().zip(filter::remove(host, &jobs, interrupt)) {
        fates[at].outcome = outcome;
    }
}

fn remove_names(
    host: &Host,
    planned: &[(usize, &Object)],
    saver: Option<Saver>,
    interrupt: &Interrupt,
    fates: &mut [Fate],
) {
    let tables = host.mount_tables();
    let (mut at, mut jobs) = (Vec::new(), Vec::new());
    for (place, object) in planned {
        let Thing::File { shape, sighting } = &object.thing else { continue };
        match job(tables, *shape, sighting) {
            Some(job) => {
                at.push(*place);
                jobs.push(job);
            }
            None => {
                fates[*place].outcome = Outcome::Failed("its mount cannot be found again; not removed".to_owned());
            }
        }
    }
    let (removed, _) = name::remove(host, jobs, saver, interrupt);
    for (at, fate) in at.into_iter().zip(removed) {
        fates[at] = Fate { outcome: fate.outcome, saved: fate.saved };
    }
}

/// The removal of a name, by the mount that it is on.
fn job(tables: MountTables<'_>, shape: Shape, sighting: &Sighting) -> Option<NameRemoval> {
    let (stem, id) = match shape {
        Shape::LinkRemap(id) => ("link_remap", id),
        Shape::Ghost(id) => ("ghost", id),
        Shape::SecondName => ("cr_link", 0),
        Shape::Parked | Shape::Temporary | Shape::LookAlike => return None,
    };
    let mounts = match &sighting.namespace {
        None => tables.own,
        Some(namespace) => tables.others.iter().find(|(other, _)| other == namespace)?.1.as_slice(),
    };
    let within = sighting.within();
    let is_on_the_way = |point: &[u8]| within.starts_with(OsStr::from_bytes(point));
    let id_of_mount = sighting.directory_identity.mount_id;
    // Before Linux 5.8 the last mount on the way has to do; the directory is compared in any case.
    let is_its = |mount: &&crate::system::mountinfo::HostMount| {
        is_on_the_way(&mount.mountpoint) && (id_of_mount == 0 || u64::from(mount.id) == id_of_mount)
    };
    let mount = mounts.iter().rev().filter(is_its).max_by_key(|mount| mount.mountpoint.len())?;
    let mountpoint = PathBuf::from(OsStr::from_bytes(&mount.mountpoint));
    let place = Place {
        relative: within.strip_prefix(&mountpoint).ok()?.to_owned(),
        base: Base::Mount {
            namespace: sighting.namespace.clone(),
            mountpoint,
            id: mount.id,
            is_tmpfs: mount.fstype == b"tmpfs",
            identity: Identity::Certain,
        },
    };
    let query = NameQuery {
        path: within.as_os_str().as_bytes().to_owned(),
        original: None,
        mount: FileMount::Unknown,
        size: None,
        shape: NameShape { stem, id, is_own: shape::is_own },
        act: NameAct::Unlink,
        beside: None,
    };
    let found = FoundFile {
        place,
        filesystem: FilesystemId::default(),
        directory: sighting.directory_identity,
        identity: sighting.identity,
        beside: None,
        is_empty_directory: false,
    };
    Some(NameRemoval { query, found, evidence: Vec::new() })
}
