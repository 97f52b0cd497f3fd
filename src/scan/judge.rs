// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose each object is, and what that makes it.
//!
//! Images that are known decide. What belongs to none of them may still belong to some: in an archive, on another host. So
//! such an object is never called worthless, and only what no restore can need is litter.

use std::collections::BTreeSet;

use super::clock::Limit;
use super::object::{Class, Object, Thing};
use crate::connection::TableForm;
use crate::heal::{self, Damage, LockId, Patient};
use crate::host::Host;
use crate::index::{self, Index, Ownership, State, Why};
use crate::time::Timestamp;
use crate::tree::everywhere::Everywhere;

/// Adds the damage that images know better, and classifies everything.
pub(super) fn judge(
    host: &Host,
    index: &Index,
    everywhere: &Everywhere,
    objects: &mut Vec<Object>,
    limit: Limit,
) -> Vec<String> {
    let mut unseen = add_patients_of_images(host, index, objects, limit);
    drop_locks_of_patients(objects);
    let work = Work::of(host, everywhere);
    unseen.extend(add_owners(index, objects, limit));
    for object in objects.iter_mut() {
        if work.is_used(object) {
            object.class = Class::InUse;
        }
        if work.may_use(object) {
            object.class = Class::InUse;
            object.remarks.push(format!("criu process {} is at work", work.pid));
        }
        if is_shut(object, &work) {
            object.class = Class::Damage;
        }
    }
    unseen
}

/// No more images are read for the damage of their trees.
const MOST_IMAGES: usize = 50;

/// Images tell more of damage than a process: what it blocked before, and that a dump froze it.
fn add_patients_of_images(host: &Host, index: &Index, objects: &mut Vec<Object>, limit: Limit) -> Vec<String> {
    let incomplete = index.checkpoints().iter().filter(|indexed| indexed.state == State::Incomplete);
    let mut unseen = Vec::new();
    for (at, indexed) in incomplete.enumerate() {
        if at >= MOST_IMAGES || limit.is_over() {
            unseen.push("the trees of all interrupted dumps: there are too many, or the time was over".to_owned());
            break;
        }
        let patient = heal::of_images(host, &indexed.directory, &heal::Options::new());
        let Some(patient) = patient.filter(is_damaged) else { continue };
        objects.retain(|object| {
            let is_of_patient = |pid: &u32| patient.pids.contains(pid);
            if let Thing::Damage(other) = &object.thing {
                !other.pids.iter().all(is_of_patient)
            } else if let Thing::Frozen { pids, .. } = &object.thing {
                !(thaws(&patient) && pids.iter().any(is_of_patient))
            } else {
                true
            }
        });
        let class = if patient.report.hands_off.is_some() { Class::InUse } else { Class::Damage };
        let mut object = Object::new(Thing::Damage(Box::new(patient)), class);
        object.owner = Some(indexed.directory.clone());
        objects.push(object);
    }
    unseen
}

fn is_damaged(patient: &Patient) -> bool {
    patient.report.leaves_something()
}

fn thaws(patient: &Patient) -> bool {
    patient.report.damages.iter().any(|damage| damage.kind == Damage::FrozenGroup && damage.reason.is_none())
}

/// A lock that is told with the process that it damages is told once.
fn drop_locks_of_patients(objects: &mut Vec<Object>) {
    let locks = objects.iter().filter_map(|object| {
        let Thing::Damage(patient) = &object.thing else { return None };
        Some(patient.locks.clone())
    });
    let locks: Vec<LockId> = locks.flatten().collect();
    objects.retain(|object| lock_id(object).is_none_or(|id| !locks.contains(&id)));
}

fn lock_id(object: &Object) -> Option<LockId> {
    match &object.thing {
        Thing::Rules { connection, found } => Some(LockId::Rules(found.namespace.id.inode, *connection)),
        Thing::Table(found) => Some(LockId::Table(found.namespace.id.inode, found.view.handle)),
        Thing::Chain(found) => Some(LockId::Chain(found.namespace.id.inode, found.place)),
        Thing::File { .. }
        | Thing::Entry { .. }
        | Thing::ElsewhereEntry { .. }
        | Thing::RuncRoot(_)
        | Thing::RuncState(_)
        | Thing::Process(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => None,
    }
}

/// As what the index knows an object; `None` for what no images name.
fn key(object: &Object) -> Option<index::Object> {
    Some(match &object.thing {
        Thing::File { sighting, .. } => {
            let identity = &sighting.identity;
            index::Object::Name { device: identity.device, inode: identity.inode, path: sighting.path() }
        }
        Thing::Entry { found, .. } => index::Object::Directory { path: found.path() },
        Thing::ElsewhereEntry { sighting, .. } => index::Object::Directory { path: sighting.path() },
        Thing::Rules { connection, found } => {
            index::Object::Rule { netns_inode: found.namespace.id.inode, connection: *connection }
        }
        Thing::Table(found) => {
            index::Object::Table { netns_inode: found.namespace.id.inode, name: found.view.name.clone() }
        }
        Thing::Chain(found) => index::Object::Chain { netns_inode: found.namespace.id.inode },
        Thing::Process(found) => index::Object::Process { pid: i32::try_from(found.task.pid).ok()? },
        Thing::RuncRoot(_) | Thing::RuncState(_) | Thing::Frozen { .. } | Thing::Damage(_) => return None,
    })
}

/// Asks for the owners of many objects at once, and of all until the time is over. Without all answers no object is an
/// orphan. Returns what is not known then.
fn add_owners(index: &Index, objects: &mut [Object], limit: Limit) -> Option<String> {
    const AT_ONCE: usize = 5_000;
    let mut is_over = false;
    for objects in objects.chunks_mut(AT_ONCE) {
        if limit.is_over() {
            is_over = true;
            break;
        }
        let keys: Vec<Option<index::Object>> = objects.iter().map(key).collect();
        let known: Vec<index::Object> = keys.iter().flatten().cloned().collect();
        index.settle(&known);
        for (object, key) in objects.iter_mut().zip(keys) {
            if let Some(key) = key {
                set_owner(object, &index.ownership(&key));
            }
        }
    }
    is_over |= index.unseen().iter().any(|unseen| unseen.why == Why::Limit(index::Limit::Time));
    let orphans = objects.iter_mut().filter(|object| is_over && object.class == Class::Orphan);
    let count = orphans.map(|object| object.class = Class::Undecided).count();
    (count > 0).then(|| format!("whose {count} objects are: the time was over before all images were read"))
}

fn set_owner(object: &mut Object, ownership: &Ownership<'_>) {
    let (owner, state) = match ownership {
        Ownership::Unclaimed => return,
        Ownership::Certain(owner) => (*owner, owner.state),
        Ownership::Doubtful(owner) => {
            object.remarks.push("its checkpoint names it, and a test disagrees: it may be another's".to_owned());
            (*owner, State::Unknown)
        }
        Ownership::Ambiguous(owners) => {
            let Some(first) = owners.first() else { return };
            let others = owners.iter().skip(1).map(|owner| owner.directory.display().to_string());
            let others: Vec<String> = others.collect();
            object.remarks.push(format!("{} may have left it as well", others.join(", ")));
            (*first, State::Unknown)
        }
    };
    object.owner = Some(owner.directory.clone());
    // Litter is of no use to its images either, and a look-alike is nobody's.
    if object.class == Class::Orphan {
        object.class = match state {
            State::Restorable => Class::Restorable,
            State::Incomplete => Class::Incomplete,
            State::Restored => Class::Restored,
            State::Unknown => Class::Undecided,
        };
    }
}

/// The criu processes that are at work.
struct Work {
    pid: u32,
    /// When the first of them started.
    since: Option<Timestamp>,
    /// All of CRIU's processes, which do not count as users of a network.
    own: BTreeSet<u32>,
}

impl Work {
    fn of(host: &Host, everywhere: &Everywhere) -> Self {
        let at_work = everywhere.at_work.iter().map(|task| task.pid);
        let started = at_work.clone().filter_map(|pid| host.processes().get(pid)).map(|process| process.started);
        let own = at_work.clone().chain(everywhere.left.iter().map(|left| left.task.pid)).collect();
        Work { pid: at_work.min().unwrap_or_default(), since: started.min(), own }
    }

    /// Whether a process that runs has a temporary directory mounted.
    fn is_used(&self, object: &Object) -> bool {
        let is_own = |pid: u32| self.own.contains(&pid);
        matches!(object.thing, Thing::Entry { .. }) && !object.holders.iter().all(|holder| is_own(holder.pid))
    }

    /// Whether an object may be one that they need now: it is not older than they are.
    fn may_use(&self, object: &Object) -> bool {
        let Some(since) = self.since else { return false };
        match object.class {
            Class::Orphan
            | Class::Restorable
            | Class::Incomplete
            | Class::Restored
            | Class::Undecided
            | Class::Litter => {
                object.since.is_none_or(|made| made >= since.minus(crate::time::SLACK)) || object.is_process()
            }
            Class::Damage | Class::InUse | Class::LookAlike => false,
        }
    }
}

impl Object {
    fn is_process(&self) -> bool {
        matches!(self.thing, Thing::Process(_))
    }
}

/// Whether it closes the network of something that runs.
fn is_shut(object: &mut Object, work: &Work) -> bool {
    let closes = match &object.thing {
        Thing::Chain(_) => true,
        Thing::Table(found) => found.view.form == TableForm::Closed,
        Thing::File { .. }
        | Thing::Entry { .. }
        | Thing::ElsewhereEntry { .. }
        | Thing::RuncRoot(_)
        | Thing::RuncState(_)
        | Thing::Rules { .. }
        | Thing::Process(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => false,
    };
    if !closes {
        return false;
    }
    object.holders.retain(|holder| !work.own.contains(&holder.pid));
    !object.holders.is_empty() && !matches!(object.class, Class::InUse | Class::LookAlike)
}
