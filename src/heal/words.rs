// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words for damage, its cure, and why it stays.

use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use super::damage::{Damage, Lock, Socket, Why};

/// Why damage stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptDamage {
    /// A name for programs.
    pub name: &'static str,
    /// A sentence for people.
    pub explanation: &'static str,
}

/// What it is.
pub(super) fn text(damage: &Damage) -> Vec<u8> {
    match damage {
        Damage::Frozen(group) => [b"Frozen control group: ", group.directory.as_os_str().as_bytes()].concat(),
        Damage::Code { pid, file, patches } => {
            let bytes = patches.len() * 8;
            [format!("Overwritten code: {bytes} bytes of process {pid} at the start of ").as_bytes(), file].concat()
        }
        Damage::Signals { pid, thread, .. } if pid == thread => format!("Blocked signals: process {pid}").into_bytes(),
        Damage::Signals { pid, thread, .. } => {
            format!("Blocked signals: thread {thread} of process {pid}").into_bytes()
        }
        Damage::Lock(lock) => lock_text(lock).into_bytes(),
        Damage::Repair { socket, .. } => format!("TCP_REPAIR: {}", socket_text(socket)).into_bytes(),
        Damage::PeekOffset { socket } => format!("SO_PEEK_OFF: {}", socket_text(socket)).into_bytes(),
        Damage::Parasite { pid, mappings, bytes, .. } => {
            let word = if *mappings == 1 { "mapping" } else { "mappings" };
            format!("Memory of CRIU: {mappings} {word} ({bytes} bytes) of process {pid}").into_bytes()
        }
    }
}

fn lock_text(lock: &Lock) -> String {
    match lock {
        Lock::Rules { connection, found } => {
            let number = found.rules.len();
            let commands: std::collections::BTreeSet<String> =
                found.rules.iter().map(|rule| rule.place.to_string()).collect();
            let word = if number == 1 { "rule" } else { "rules" };
            let commands: Vec<String> = commands.into_iter().collect();
            format!("Locked tcp connection: {connection} ({number} {word} of {})", commands.join(" and "))
        }
        Lock::Table(found) => format!("Network lock table: inet {} in {}", found.view.name, found.namespace),
        Lock::Chain(found) => format!("Network lock chain: CRIU of {} in {}", found.place, found.namespace),
    }
}

fn socket_text(socket: &Socket) -> String {
    let Socket { pid, descriptor, connection, .. } = socket;
    match connection {
        Some(connection) => format!("{connection} (descriptor {descriptor} of process {pid})"),
        None => format!("descriptor {descriptor} of process {pid}"),
    }
}

/// The process.
pub(super) fn pid(damage: &Damage) -> Option<u32> {
    match damage {
        Damage::Code { pid, .. } | Damage::Signals { pid, .. } | Damage::Parasite { pid, .. } => Some(*pid),
        Damage::Repair { socket, .. } | Damage::PeekOffset { socket } => Some(socket.pid),
        Damage::Frozen(_) | Damage::Lock(_) => None,
    }
}

/// What a cure does.
pub(super) fn cure(damage: &Damage) -> String {
    match damage {
        Damage::Frozen(_) => "thaw it".to_owned(),
        Damage::Code { .. } => "write the bytes of the file back".to_owned(),
        Damage::Signals { before: Some(mask), .. } => format!("block {mask:016x} again, as before the dump"),
        Damage::Signals { before: None, .. } => "unblock all signals".to_owned(),
        Damage::Lock(_) => "remove it".to_owned(),
        Damage::Repair { reuses_address: Some(true), .. } => "end the repair mode, and set SO_REUSEADDR".to_owned(),
        Damage::Repair { .. } => "end the repair mode".to_owned(),
        Damage::PeekOffset { .. } => "set it to -1".to_owned(),
        Damage::Parasite { .. } => "unmap it".to_owned(),
    }
}

/// What a cure cannot give back.
pub(super) fn lost(damage: &Damage) -> Option<&'static str> {
    match damage {
        Damage::Signals { before: None, .. } => Some("no image has the signals that it blocked before the dump"),
        Damage::Repair { reuses_address: None, .. } => {
            Some("SO_REUSEADDR is off afterwards; no image tells what it was before")
        }
        Damage::Frozen(_)
        | Damage::Code { .. }
        | Damage::Signals { before: Some(_), .. }
        | Damage::Lock(_)
        | Damage::Repair { reuses_address: Some(_), .. }
        | Damage::PeekOffset { .. }
        | Damage::Parasite { .. } => None,
    }
}

/// Why it stays.
pub(super) fn reason(why: Why) -> KeptDamage {
    let (name, explanation) = match why {
        Why::AtWork => ("criu-at-work", "somebody works on the processes"),
        Why::HalfRestored => ("half-restored", "the processes are of a restore that did not end"),
        Why::PerhapsPaused => {
            ("perhaps-paused", "only the log of a dump shows that a dump froze it; name the images with -D")
        }
        Why::PerhapsOthers => {
            ("perhaps-others", "it may be the lock of another dump; name the images of this one with -D")
        }
        Why::Foreign => ("foreign-content", "it contains something that CRIU did not write"),
        Why::OnRequest => ("on-request", "the program may have set it; --peek-offsets resets it"),
        Why::Harmless => ("harmless", "it harms nothing; heal --unmap unmaps it"),
        Why::OddMemory => ("odd-memory", "it is not mapped as CRIU leaves it"),
        Why::OtherArchitecture => ("other-architecture", "criu-gc can unmap it only on x86-64"),
    };
    KeptDamage { name, explanation }
}
