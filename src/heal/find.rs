// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the damage in a group of processes. Reads, and changes nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::damage::{Damage, Finding, Found, MASK_OF_CRIU, Socket, Verdict, Why};
use super::group::{self, Group, NoProcess};
use super::{OnRequest, Requests, locks, parasite};
use crate::causes::with_causes;
use crate::checkpoint::LivingFacts;
use crate::host::frozen::{self, FrozenGroup};
use crate::host::living;
use crate::host::{Host, Wanted};
use crate::session::living::Clues;
use crate::system::living::{CAN_UNMAP, Patch};

/// Looks at every process that is meant. The error: the target is none.
pub(super) fn find(clues: &Clues, requests: Requests) -> Result<Found, NoProcess> {
    find_on(&Host::look(Wanted::default()), clues, requests)
}

/// The same on a picture that was taken before.
pub(super) fn find_on(host: &Host, clues: &Clues, requests: Requests) -> Result<Found, NoProcess> {
    let Group { members, hands_off, unknown } = group::find(host, clues)?;
    let mut found = Found { members, hands_off, unknown, ..Found::default() };
    if let Clues::Images(images) = clues {
        found.notes.extend(images.note.clone());
    }
    if found.hands_off.is_some() {
        return Ok(found);
    }
    let no_facts = LivingFacts::default();
    let facts = match clues {
        Clues::Images(images) if images.is_trusted() => &images.facts,
        Clues::Images(_) | Clues::Process(_) => &no_facts,
    };
    let mut sockets = Sockets::default();
    for pid in found.members.iter().map(|member| member.pid).collect::<Vec<_>>() {
        found.add_frozen(pid, clues);
        found.add_memory(pid, requests);
        found.add_signals(pid, facts);
        sockets.add(pid, &mut found.unknown);
    }
    found.add_sockets(&sockets, facts, requests);
    let has_sign = found.findings.iter().any(|finding| finding.damage.is_sign());
    locks::add(host, clues, &mut found, &sockets.list, has_sign);
    found.findings.sort_by_key(|finding| finding.damage.step());
    Ok(found)
}

impl Damage {
    /// Whether CRIU, and nobody else, leaves this in a process.
    fn is_sign(&self) -> bool {
        match self {
            Damage::Code { .. } | Damage::Signals { .. } | Damage::Repair { .. } | Damage::Parasite { .. } => true,
            Damage::Frozen(_) | Damage::Lock(_) | Damage::PeekOffset { .. } => false,
        }
    }
}

impl Found {
    fn add_frozen(&mut self, pid: u32, clues: &Clues) {
        match frozen::groups_of(pid) {
            Ok(groups) => {
                for group in groups {
                    let is_known =
                        |finding: &Finding| matches!(&finding.damage, Damage::Frozen(known) if *known == group);
                    if !self.findings.iter().any(is_known) {
                        let verdict = if is_frozen_by_dump(&group, clues) {
                            Verdict::Heal
                        } else {
                            Verdict::Keep(Why::PerhapsPaused)
                        };
                        self.findings.push(Finding::new(Damage::Frozen(group), verdict));
                    }
                }
            }
            Err(error) => self.note_unread(pid, "control groups", &error.to_string()),
        }
    }

    fn add_memory(&mut self, pid: u32, requests: Requests) {
        let mappings = match living::mappings(pid) {
            Ok(mappings) => mappings,
            Err(error) => return self.note_unread(pid, "memory", &error.to_string()),
        };
        for mapping in mappings.iter().filter(|mapping| !mapping.is_of_criu() && !mapping.is_of_restore()) {
            match mapping.code(pid) {
                Ok(Some(code)) => {
                    let patches = patches(mapping.start, &code);
                    if !patches.is_empty() {
                        let damage = Damage::Code { pid, file: mapping.name.clone(), patches };
                        self.findings.push(Finding::new(damage, Verdict::Heal));
                    }
                }
                Ok(None) => {}
                Err(error) => self.note_unread(pid, "code", &with_causes(&error)),
            }
        }
        let of_criu: Vec<_> = mappings.iter().filter(|mapping| mapping.is_of_criu()).collect();
        if !of_criu.is_empty() {
            let bytes = of_criu.iter().map(|mapping| mapping.end - mapping.start).sum();
            let areas = parasite::areas(&of_criu);
            let verdict = match (requests.memory, areas.is_some()) {
                (OnRequest::Keep, _) => Verdict::Keep(Why::Harmless),
                (OnRequest::Heal, false) => Verdict::Keep(Why::OddMemory),
                (OnRequest::Heal, true) if !CAN_UNMAP => Verdict::Keep(Why::OtherArchitecture),
                (OnRequest::Heal, true) => Verdict::Heal,
            };
            let damage = Damage::Parasite { pid, mappings: of_criu.len(), bytes, areas };
            self.findings.push(Finding::new(damage, verdict));
        }
    }

    fn add_signals(&mut self, pid: u32, facts: &LivingFacts) {
        let threads = match living::threads(pid) {
            Ok(threads) => threads,
            Err(error) => return self.note_unread(pid, "threads", &error.to_string()),
        };
        for thread in threads.into_iter().filter(|thread| thread.blocked == MASK_OF_CRIU) {
            // A dump of a thread that was damaged already knows no better.
            let before = facts.blocked_signals.get(&thread.inner_id).copied().filter(|mask| *mask != MASK_OF_CRIU);
            let damage = Damage::Signals { pid, thread: thread.id, before };
            self.findings.push(Finding::new(damage, Verdict::Heal));
        }
    }

    fn add_sockets(&mut self, sockets: &Sockets, facts: &LivingFacts, requests: Requests) {
        for (socket, how) in &sockets.list {
            if how.is_in_repair {
                let reuses_address =
                    socket.connection.and_then(|connection| facts.reuses_address.get(&connection)).copied();
                let damage = Damage::Repair { socket: socket.clone(), reuses_address };
                self.findings.push(Finding::new(damage, Verdict::Heal));
            }
        }
        let has_sign = self.findings.iter().any(|finding| finding.damage.is_sign());
        for (socket, how) in &sockets.list {
            let verdict = match requests.peek_offsets {
                OnRequest::Heal => Verdict::Heal,
                OnRequest::Keep => Verdict::Keep(Why::OnRequest),
            };
            // Of a process that no dump has touched it is the program's own.
            if how.peek_offset == Some(0) && (has_sign || requests.peek_offsets == OnRequest::Heal) {
                self.findings.push(Finding::new(Damage::PeekOffset { socket: socket.clone() }, verdict));
            }
        }
    }

    /// What could not be read of a process that has ended meanwhile does not matter.
    fn note_unread(&mut self, pid: u32, what: &str, why: &str) {
        if living::started(pid).is_some() {
            self.unknown.push(format!("cannot read the {what} of process {pid}: {why}"));
        }
    }
}

/// The sockets of all processes, each once.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) list: Vec<(Socket, living::Socket)>,
    seen: BTreeSet<u64>,
}

impl Sockets {
    fn add(&mut self, pid: u32, unknown: &mut Vec<String>) {
        let sockets = match living::sockets(pid) {
            Ok(sockets) => sockets,
            Err(_) if living::started(pid).is_none() => return,
            Err(error) => return unknown.push(format!("cannot examine the sockets of process {pid}: {error}")),
        };
        for found in sockets {
            if self.seen.insert(found.inode) {
                let network = living::network_number(&found.socket);
                let (descriptor, inode, connection) = (found.descriptor, found.inode, found.connection);
                self.list.push((Socket { pid, descriptor, inode, connection, network }, found));
            }
        }
    }
}

/// Whether the log of the dump ends while it freezes this group, which ran before.
fn is_frozen_by_dump(group: &FrozenGroup, clues: &Clues) -> bool {
    let Clues::Images(images) = clues else { return false };
    let Some(freezing) = &images.checkpoint.log.freezing else { return false };
    let directory = Path::new(OsStr::from_bytes(&freezing.directory));
    images.is_trusted()
        && freezing.ran_before == Some(true)
        && images.checkpoint.inventory.is_none()
        && living::is_same_directory(&group.directory, directory)
}

/// The words of the code that CRIU has put there and the file has not.
fn patches(start: u64, code: &living::Code) -> Vec<Patch> {
    let words = whole_words(&code.in_memory).zip(whole_words(&code.in_file)).zip((start..).step_by(8));
    let is_of_criu = |found: &[u8; 8]| living::OVERWRITTEN_BY.contains(found);
    words
        .filter(|((found, original), _)| found != original && is_of_criu(found))
        .map(|((found, original), address)| Patch { address, found, original })
        .collect()
}

fn whole_words(code: &[u8]) -> impl Iterator<Item = [u8; 8]> {
    code.chunks_exact(8).filter_map(|word| word.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(in_memory: &[u8; 16], expected: &[(u64, &[u8; 8])]) {
        let in_file = *b"ABCDEFGHIJKLMNOP";
        let found: Vec<Patch> = patches(0x1000, &living::Code { in_memory: *in_memory, in_file });
        let found: Vec<(u64, &[u8; 8])> = found.iter().map(|patch| (patch.address, &patch.original)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_the_words_of_criu_are_given_back() {
        check(b"\x0f\x05\xcc\xcc\xcc\xcc\xcc\xccIJKLMNOP", &[(0x1000, b"ABCDEFGH")]);
        check(b"\x0f\x05\xcc\xcc\xcc\xcc\xcc\xccCRIUMFD\0", &[(0x1000, b"ABCDEFGH"), (0x1008, b"IJKLMNOP")]);
        check(b"ABCDEFGHCRIUMFD\0", &[(0x1008, b"IJKLMNOP")]);
        // Another debugger's breakpoint.
        check(b"\xccBCDEFGHIJKLMNOP", &[]);
        check(b"ABCDEFGHIJKLMNOP", &[]);
    }
}
