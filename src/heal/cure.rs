// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries out a cure, step by step. Right before each change the process is compared once more, and before each step it is
//! asked again whether a criu is at work.

use super::damage::{Damage, Finding, Found, Lock, Socket};
use super::{group, parasite};
use crate::carrier;
use crate::carrier::filter::{self, FilterRemoval};
use crate::causes::with_causes;
use crate::host::frozen::Freezer;
use crate::host::living;
use crate::host::{Host, Wanted};
use crate::interrupt::Interrupt;
use crate::session::living::Clues;
use crate::system::living::{self as act, Area};

/// What became of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Healed,
    /// It was not there any more, or its process has ended.
    AlreadyGone,
    Kept,
    Failed(String),
}

/// Heals what the findings say. What became of each is given in the same order.
pub(super) fn cure(clues: &Clues, found: &Found, interrupt: &Interrupt) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Kept; found.findings.len()];
    let mut step = None;
    for (at, finding) in found.findings.iter().enumerate() {
        if !finding.is_to_be_healed() {
            continue;
        }
        let begins = step.replace(finding.damage.step()) != Some(finding.damage.step());
        if let Damage::Lock(_) = finding.damage {
            if begins {
                remove_locks(clues, found, interrupt, &mut outcomes);
            }
            continue;
        }
        let guarded = interrupt.may_go_on().map_err(|error| error.to_string());
        let guarded = guarded.and_then(|()| if begins { guard(clues, found) } else { Ok(()) });
        outcomes[at] = match guarded.and_then(|()| heal(found, finding, &outcomes)) {
            Ok(outcome) => outcome,
            Err(why) => {
                // The others of this step have not passed the guard either.
                step = None;
                Outcome::Failed(why)
            }
        };
    }
    outcomes
}

/// Whether still nobody works on the processes.
fn guard(clues: &Clues, found: &Found) -> Result<(), String> {
    if found.members.iter().all(|member| living::started(member.pid) != Some(member.after_boot)) {
        return Err("the processes ended; not changed".to_owned());
    }
    let group = group::find(&Host::look(Wanted::default()), clues).map_err(|error| format!("{error}; not changed"))?;
    match group.hands_off {
        None => Ok(()),
        Some((_, why)) => Err(format!("{why}; not changed")),
    }
}

/// Whether it is still the same process, and nobody traces it.
fn is_same(found: &Found, pid: u32) -> bool {
    let member = found.members.iter().find(|member| member.pid == pid);
    member.is_some_and(|member| living::started(pid) == Some(member.after_boot))
}

fn heal(found: &Found, finding: &Finding, outcomes: &[Outcome]) -> Result<Outcome, String> {
    let done = |result: Result<(), act::Error>| result.map(|()| Outcome::Healed).map_err(|error| with_causes(&error));
    match &finding.damage {
        Damage::Frozen(group) => match (group.freezer.is_frozen(&group.directory), group.freezer) {
            (false, _) => Ok(Outcome::AlreadyGone),
            (true, Freezer::State) => done(act::thaw(&group.directory, "freezer.state", "THAWED")),
            (true, Freezer::Freeze) => done(act::thaw(&group.directory, "cgroup.freeze", "0")),
        },
        Damage::Code { pid, patches, .. } => {
            if !is_same(found, *pid) {
                return Ok(Outcome::AlreadyGone);
            }
            done(act::write_code(*pid, || threads(*pid), patches, || is_same(found, *pid)))
        }
        Damage::Signals { pid, thread, before } => {
            let threads = living::threads(*pid).unwrap_or_default();
            let now = threads.iter().find(|now| now.id == *thread).filter(|_| is_same(found, *pid));
            match now {
                Some(now) if now.blocked == super::damage::MASK_OF_CRIU => {
                    done(act::block_signals(*thread, now.blocked, before.unwrap_or_default()))
                }
                Some(_) | None => Ok(Outcome::AlreadyGone),
            }
        }
        Damage::Repair { socket, reuses_address } => {
            let locks = found.findings.iter().zip(outcomes);
            let is_locked = locks
                .filter(|(_, outcome)| !matches!(outcome, Outcome::Healed | Outcome::AlreadyGone))
                .any(|(finding, _)| matches!(&finding.damage, Damage::Lock(lock) if lock.drops(socket)));
            if is_locked {
                return Err("a lock still drops its packets; not changed".to_owned());
            }
            with_socket(found, socket, |same| {
                if !same.is_in_repair {
                    return Ok(Outcome::AlreadyGone);
                }
                done(act::leave_tcp_repair(&same.socket, *reuses_address))
            })
        }
        Damage::PeekOffset { socket } => with_socket(found, socket, |same| match same.peek_offset {
            Some(0) => done(act::reset_peek_offset(&same.socket)),
            Some(_) | None => Ok(Outcome::AlreadyGone),
        }),
        Damage::Parasite { pid, areas: Some(areas), .. } => {
            if !is_same(found, *pid) {
                return Ok(Outcome::AlreadyGone);
            }
            areas.iter().try_for_each(|area| unmap(found, *pid, *area)).map(|()| Outcome::Healed)
        }
        Damage::Lock(_) | Damage::Parasite { areas: None, .. } => Ok(Outcome::Kept),
    }
}

fn threads(pid: u32) -> Vec<u32> {
    living::threads(pid).unwrap_or_default().into_iter().map(|thread| thread.id).collect()
}

fn unmap(found: &Found, pid: u32, area: Area) -> Result<(), String> {
    let is_there = || {
        let mappings = living::mappings(pid).unwrap_or_default();
        let of_criu: Vec<_> = mappings.iter().filter(|mapping| mapping.is_of_criu()).collect();
        is_same(found, pid) && parasite::areas(&of_criu).is_some_and(|areas| areas.contains(&area))
    };
    act::unmap(|| threads(pid), area, is_there).map_err(|error| with_causes(&error))
}

fn with_socket(
    found: &Found,
    socket: &Socket,
    work: impl FnOnce(&living::Socket) -> Result<Outcome, String>,
) -> Result<Outcome, String> {
    if !is_same(found, socket.pid) {
        return Ok(Outcome::AlreadyGone);
    }
    if let Some(tracer) = living::threads(socket.pid).unwrap_or_default().iter().find_map(|thread| thread.tracer) {
        return Err(format!("process {tracer} traces process {}; not changed", socket.pid));
    }
    match living::same_socket(socket.pid, socket.descriptor, socket.inode) {
        Ok(Some(same)) => work(&same),
        Ok(None) => Ok(Outcome::AlreadyGone),
        Err(error) => Err(format!("cannot reach the socket: {error}")),
    }
}

/// Removes all locks in one go: rules of one table are one transaction.
fn remove_locks(clues: &Clues, found: &Found, interrupt: &Interrupt, outcomes: &mut [Outcome]) {
    let locks = found.findings.iter().enumerate().filter_map(|(at, finding)| match &finding.damage {
        Damage::Lock(lock) if finding.is_to_be_healed() => Some((at, lock)),
        Damage::Lock(_)
        | Damage::Frozen(_)
        | Damage::Code { .. }
        | Damage::Signals { .. }
        | Damage::Repair { .. }
        | Damage::PeekOffset { .. }
        | Damage::Parasite { .. } => None,
    });
    let locks: Vec<(usize, &Lock)> = locks.collect();
    if let Err(why) = guard(clues, found) {
        return locks.iter().for_each(|(at, _)| outcomes[*at] = Outcome::Failed(why.clone()));
    }
    let jobs: Vec<FilterRemoval<'_>> = locks
        .iter()
        .map(|(_, lock)| match lock {
            Lock::Rules { found, .. } => FilterRemoval::Rules(found),
            Lock::Table(found) => FilterRemoval::Table(found),
            Lock::Chain(found) => FilterRemoval::Chain(found),
        })
        .collect();
    let removed = filter::remove(&Host::look(Wanted::default()), &jobs, interrupt);
    for ((at, _), outcome) in locks.iter().zip(removed) {
        outcomes[*at] = match outcome {
            carrier::Outcome::Removed => Outcome::Healed,
            carrier::Outcome::AlreadyGone => Outcome::AlreadyGone,
            carrier::Outcome::Kept => Outcome::Kept,
            carrier::Outcome::Failed(why) => Outcome::Failed(why),
        };
    }
}
