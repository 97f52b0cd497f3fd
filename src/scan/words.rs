// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words for what a scan found, and the one command for each.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::object::{Class, Cover, Object, Thing};
use super::shape::Shape;
use crate::carrier::FoundTask;
use crate::connection::TableForm;
use crate::heal::{DamageVerdict, Patient};
use crate::host::Sighting;
use crate::host::frozen::Freezer;
use crate::json::shell_word;
use crate::system::dir::FileIdentity;
use crate::tree::Role;

/// Its kind, for programs.
pub(super) fn kind(thing: &Thing) -> &'static str {
    match thing {
        Thing::File { shape, .. } => match shape {
            Shape::LinkRemap(_) | Shape::LookAlike => "link-remap",
            Shape::Ghost(_) => "ghost-file",
            Shape::SecondName => "second-name",
            Shape::Parked => "parked-file",
            Shape::Temporary => "temporary-directory",
        },
        Thing::Entry { kind, .. } | Thing::ElsewhereEntry { kind, .. } => kind.name,
        Thing::RuncRoot(_) => "runc-root-mount",
        Thing::RuncState(_) => "runc-state",
        Thing::Rules { .. } => "locked-tcp-connection",
        Thing::Table(_) => "network-lock-table",
        Thing::Chain(_) => "network-lock-chain",
        Thing::Process(FoundTask { role: Role::Task, .. }) => "half-restored-process",
        Thing::Process(FoundTask { role: Role::Helper, .. }) => "stray-criu-process",
        Thing::Frozen { .. } => "frozen-control-group",
        Thing::Damage(_) => "damaged-processes",
    }
}

/// What it is, in one line.
pub(super) fn text(object: &Object) -> Vec<u8> {
    match &object.thing {
        Thing::File { shape, sighting } => {
            let label = match shape {
                Shape::LinkRemap(_) | Shape::LookAlike => "Link remap",
                Shape::Ghost(_) => "Ghost file",
                Shape::SecondName => "Second name of a ghost file",
                Shape::Parked => "File that a restore moved aside",
                Shape::Temporary => "Temporary directory",
            };
            let size = sizes(&sighting.identity);
            [label.as_bytes(), b": ", path(&sighting.path()), format!(" ({size})").as_bytes()].concat()
        }
        Thing::Entry { kind, found } => {
            let mounts = match found.mounts.len() {
                0 => String::new(),
                1 => " (1 mount)".to_owned(),
                more => format!(" ({more} mounts)"),
            };
            [kind.label.as_bytes(), b": ", path(&found.path()), mounts.as_bytes()].concat()
        }
        Thing::ElsewhereEntry { kind, sighting, .. } => [kind.label.as_bytes(), b": ", path(&sighting.path())].concat(),
        Thing::RuncRoot(found) => [b"Root directory of a container, mounted by runc: ", path(found)].concat(),
        Thing::RuncState(found) => {
            [b"State of a checkpointed container, kept by runc: ", path(found.directory())].concat()
        }
        Thing::Rules { connection, found } => {
            let number = found.rules.len();
            let word = if number == 1 { "rule" } else { "rules" };
            format!("Locked tcp connection: {connection} ({number} {word}) in {}", found.namespace).into_bytes()
        }
        Thing::Table(found) => {
            let what = match found.view.form {
                TableForm::Closed => "drops every packet".to_owned(),
                TableForm::Connections | TableForm::Either => match found.view.flows.len() {
                    1 => "drops 1 flow".to_owned(),
                    number => format!("drops {number} flows"),
                },
            };
            format!("Network lock table: inet {} in {} ({what})", found.view.name, found.namespace).into_bytes()
        }
        Thing::Chain(found) => {
            format!("Network lock chain: CRIU of {} in {} (drops every packet)", found.place, found.namespace)
                .into_bytes()
        }
        Thing::Process(found) => {
            let label = match found.role {
                Role::Task => "Half-restored process",
                Role::Helper => "Stray criu process",
            };
            let state = char::from(found.task.state);
            let pid = found.task.pid;
            [label.as_bytes(), b": ", &found.task.name, format!(" (pid {pid}, state {state})").as_bytes()].concat()
        }
        Thing::Frozen { group, pids } => {
            let number = pids.len();
            let word = if number == 1 { "process" } else { "processes" };
            let directory = path(&group.directory);
            [b"Frozen control group: ", directory, format!(" ({number} {word})").as_bytes()].concat()
        }
        Thing::Damage(patient) => damaged(patient),
    }
}

fn damaged(patient: &Patient) -> Vec<u8> {
    let Some(first) = patient.report.processes.first() else { return patient.report.name.0.clone() };
    let others = match patient.report.processes.len() - 1 {
        0 => String::new(),
        1 => " and 1 other process".to_owned(),
        more => format!(" and {more} other processes"),
    };
    [b"Process ", first.pid.to_string().as_bytes(), b" (", &first.name.0, format!("){others}").as_bytes()].concat()
}

/// What is damaged, line by line.
pub(super) fn details(object: &Object) -> Vec<Vec<u8>> {
    let Thing::Damage(patient) = &object.thing else { return Vec::new() };
    let lines = patient.report.damages.iter().map(|damage| {
        let end = match (damage.verdict, damage.reason) {
            (DamageVerdict::Keep, Some(reason)) => format!(" ({})", reason.explanation),
            (DamageVerdict::Keep, None) | (DamageVerdict::Heal, _) => String::new(),
        };
        [damage.text.0.as_slice(), end.as_bytes()].concat()
    });
    lines.chain(patient.report.hands_off.iter().map(|why| why.clone().into_bytes())).collect()
}

fn sizes(identity: &FileIdentity) -> String {
    let names = match identity.links {
        0 | 1 => "its last name".to_owned(),
        2 => "1 other name".to_owned(),
        links => format!("{} other names", links - 1),
    };
    let word = if identity.size == 1 { "byte" } else { "bytes" };
    format!("{} {word}, {names}", identity.size)
}

fn path(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The one command that is right for it; `None` if there is none.
pub(super) fn command(object: &Object) -> Option<Vec<u8>> {
    match (object.class, &object.owner) {
        (Class::InUse | Class::LookAlike, _) => thaw(object),
        (Class::Undecided, None) => None,
        (Class::Damage, owner) => Some(cure(object, owner.as_deref())),
        (Class::Restorable, Some(directory)) if is_of_restore(&object.thing) => {
            Some(words(&[b"criu-gc restorable -D", &shell_word(path(directory)), b"--show"]))
        }
        (Class::Restorable | Class::Incomplete | Class::Restored | Class::Undecided, Some(directory)) => {
            Some(words(&[b"criu-gc -D", &shell_word(path(directory)), b"--show"]))
        }
        (Class::Litter, _) => Some(clean(object)),
        (Class::Orphan | Class::Restorable | Class::Incomplete | Class::Restored, _) => Some(remove(object)),
    }
}

/// Whether a restore made it, and the next one does not need it.
fn is_of_restore(thing: &Thing) -> bool {
    match thing {
        Thing::File { shape, .. } => match shape {
            Shape::Ghost(_) | Shape::SecondName | Shape::Parked => true,
            Shape::LinkRemap(_) | Shape::Temporary | Shape::LookAlike => false,
        },
        Thing::Process(_) | Thing::Entry { .. } | Thing::ElsewhereEntry { .. } | Thing::RuncRoot(_) => true,
        Thing::RuncState(_)
        | Thing::Rules { .. }
        | Thing::Table(_)
        | Thing::Chain(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => false,
    }
}

fn cure(object: &Object, owner: Option<&Path>) -> Vec<u8> {
    if let Thing::Damage(patient) = &object.thing {
        let pid = || patient.pids.first().copied().unwrap_or_default().to_string();
        return match owner {
            Some(directory) => words(&[b"criu-gc heal -D", &shell_word(path(directory))]),
            None => words(&[b"criu-gc heal --pid", pid().as_bytes()]),
        };
    }
    match owner {
        Some(directory) => words(&[b"criu-gc -D", &shell_word(path(directory)), b"--only network --show"]),
        None => remove(object),
    }
}

fn clean(object: &Object) -> Vec<u8> {
    match &object.thing {
        Thing::Process(_) => b"criu-gc scan --clean --kill".to_vec(),
        Thing::ElsewhereEntry { sighting, cover, .. } => in_namespace(sighting, *cover),
        Thing::RuncRoot(_) => remove(object),
        Thing::RuncState(found) => found.command(),
        Thing::File { .. }
        | Thing::Entry { .. }
        | Thing::Rules { .. }
        | Thing::Table(_)
        | Thing::Chain(_)
        | Thing::Frozen { .. }
        | Thing::Damage(_) => b"criu-gc scan --clean".to_vec(),
    }
}

/// criu-gc removes nothing in the directories of another mount namespace: only who is in there can unmount something.
fn in_namespace(sighting: &Sighting, cover: Cover) -> Vec<u8> {
    match cover {
        Cover::Bare => words(&[b"rmdir", &shell_word(path(&sighting.path()))]),
        Cover::Mounted => {
            let process = sighting.namespace.as_ref().and_then(|namespace| namespace.process).unwrap_or_default();
            let within = sighting.within();
            let process = process.to_string();
            words(&[b"nsenter --mount --target", process.as_bytes(), b"umount --lazy", &shell_word(path(&within))])
        }
    }
}

fn remove(object: &Object) -> Vec<u8> {
    if let Thing::RuncRoot(found) = &object.thing {
        let directory = found.parent().unwrap_or(found);
        return words(&[
            b"umount",
            &shell_word(path(found)),
            b"&& rmdir",
            &shell_word(path(found)),
            &shell_word(path(directory)),
        ]);
    }
    if let Thing::File { shape: Shape::Parked, sighting } = &object.thing {
        let parked = sighting.path();
        let own = path(&parked).strip_suffix(b".criu-sk-ghost").unwrap_or_default();
        return words(&[b"mv --no-clobber", &shell_word(path(&parked)), &shell_word(own)]);
    }
    let id = object.id();
    match object.is_last_name() {
        true => words(&[b"criu-gc rm", &shell_word(&id), b"--save DIR"]),
        false => words(&[b"criu-gc rm", &shell_word(&id)]),
    }
}

fn thaw(object: &Object) -> Option<Vec<u8>> {
    let Thing::Frozen { group, .. } = &object.thing else { return None };
    let (value, file): (&[u8], _) = match group.freezer {
        Freezer::State => (b"echo THAWED >", "freezer.state"),
        Freezer::Freeze => (b"echo 0 >", "cgroup.freeze"),
    };
    Some(words(&[value, &shell_word(path(&group.directory.join(file)))]))
}

fn words(words: &[&[u8]]) -> Vec<u8> {
    words.join(&b' ')
}
