// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes: those that a killed dump left damaged, those that a killed restore left, and those that stand still.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Limit;
use super::object::{Class, Object, Thing};
use crate::carrier::FoundTask;
use crate::heal;
use crate::host::frozen;
use crate::host::living::{self, Mapping};
use crate::host::{self, Host, Process};
use crate::tree::everywhere::Everywhere;

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) objects: Vec<Object>,
    pub(super) unseen: Vec<String>,
    /// How many processes were looked at.
    pub(super) count: usize,
    /// How many trees have something of CRIU in memory that harms nothing.
    pub(super) harmless: usize,
}

/// No more damaged trees are examined one by one.
const MOST_PATIENTS: usize = 100;

/// Looks at all processes.
pub(super) fn look(host: &Host, everywhere: &Everywhere, limit: Limit) -> Processes {
    let mut found = Processes::default();
    found.add_left(host, everywhere);
    found.add_damaged(host, everywhere, limit);
    found.add_frozen(host);
    found
}

impl Processes {
    fn add_left(&mut self, host: &Host, everywhere: &Everywhere) {
        for left in &everywhere.left {
            let started = host.processes().get(left.task.pid).map(|process| process.started);
            let object = Object::new(Thing::Process(FoundTask::from(left)), Class::Litter);
            self.objects.push(Object { since: started, ..object });
        }
    }

    fn add_damaged(&mut self, host: &Host, everywhere: &Everywhere, limit: Limit) {
        let of_criu = of_criu(host, everywhere);
        let own = std::process::id();
        let is_meant =
            |process: &&Process| !process.is_kernel_thread && process.pid != own && !of_criu.contains(&process.pid);
        let processes: Vec<&Process> = host.processes().list.iter().filter(is_meant).collect();
        self.count = processes.len();
        let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
        let sockets = host.sockets_of(&pids);
        let asked = processes.iter().zip(sockets).map(|(process, sockets)| Asked {
            pid: process.pid,
            blocked: process.blocked,
            sockets,
        });
        let answers = host::bounded_each(asked.collect(), move |asked: &Asked| {
            if limit.is_over() { Err("the time was over".to_owned()) } else { asked.is_damaged() }
        });
        let mut damaged = BTreeSet::new();
        let mut unread: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (process, answer) in processes.iter().zip(answers) {
            match answer {
                Some(Ok(true)) => drop(damaged.insert(process.pid)),
                Some(Ok(false)) => {}
                Some(Err(_)) if living::started(process.pid).is_none() => {}
                Some(Err(why)) => unread.entry(why).or_default().push(process.pid),
                None => unread.entry("it does not answer".to_owned()).or_default().push(process.pid),
            }
        }
        self.unseen.extend(unread.into_iter().map(|(why, pids)| format!("{}: {why}", listed(&pids))));
        self.add_patients(host, &damaged, limit);
    }

    /// One object for each tree: a cure takes the descendants as well.
    fn add_patients(&mut self, host: &Host, damaged: &BTreeSet<u32>, limit: Limit) {
        let parent = |pid: u32| host.processes().get(pid).and_then(|process| process.parent);
        let is_top = |pid: &&u32| parent(**pid).is_none_or(|parent| !damaged.contains(&parent));
        let tops: Vec<u32> = damaged.iter().filter(is_top).copied().collect();
        for (at, pid) in tops.iter().enumerate() {
            if at >= MOST_PATIENTS || limit.is_over() {
                self.unseen.push(format!("{} with damage: not examined", listed(&tops[at..])));
                break;
            }
            let Some(patient) = heal::of_process(host, *pid) else { continue };
            if !patient.report.leaves_something() {
                self.harmless += 1;
                continue;
            }
            let class = if patient.report.hands_off.is_some() { Class::InUse } else { Class::Damage };
            self.objects.push(Object::new(Thing::Damage(Box::new(patient)), class));
        }
    }

    fn add_frozen(&mut self, host: &Host) {
        let pids = host.processes().list.iter().filter(|process| !process.is_kernel_thread).map(|process| process.pid);
        let mounts = host.mount_tables().own;
        for (group, pids) in frozen::all_groups(pids, mounts) {
            let mut object = Object::new(Thing::Frozen { group, pids: pids.clone() }, Class::LookAlike);
            object.remarks.push("a runtime that pauses a container freezes it in the same way".to_owned());
            object.holders = super::files::holders(host, pids);
            self.objects.push(object);
        }
    }
}

/// The processes of a restore that was killed, and of a criu at work with all below it: it has the sockets of the tree that
/// it dumps, and what it restores does not run yet.
fn of_criu(host: &Host, everywhere: &Everywhere) -> BTreeSet<u32> {
    let mut of_criu: BTreeSet<u32> = everywhere.at_work.iter().map(|task| task.pid).collect();
    loop {
        let is_below = |process: &&Process| process.parent.is_some_and(|parent| of_criu.contains(&parent));
        let below = host.processes().list.iter().filter(is_below).map(|process| process.pid);
        let more: Vec<u32> = below.filter(|pid| !of_criu.contains(pid)).collect();
        if more.is_empty() {
            break;
        }
        of_criu.extend(more);
    }
    of_criu.extend(everywhere.left.iter().map(|left| left.task.pid));
    of_criu
}

/// A process that is asked for signs of a dump that was killed.
struct Asked {
    pid: u32,
    /// The signals that it blocks.
    blocked: u64,
    /// Its sockets, where they have been read.
    sockets: Option<Vec<(i32, u64)>>,
}

impl Asked {
    /// Whether it has a certain sign.
    fn is_damaged(&self) -> Result<bool, String> {
        if self.blocked == heal::MASK_OF_CRIU {
            return Ok(true);
        }
        let mappings = living::mappings(self.pid).map_err(|error| format!("its memory cannot be read: {error}"))?;
        if mappings.iter().any(Mapping::is_of_criu) {
            return Ok(true);
        }
        let sockets = living::has_socket_in_repair(self.pid, self.sockets.as_deref());
        if sockets.map_err(|error| format!("its sockets cannot be examined: {error}"))? {
            return Ok(true);
        }
        // CRIU overwrites the start of the first code that it finds.
        let first = mappings.iter().find(|mapping| !mapping.is_of_restore());
        let Some(first) = first else { return Ok(false) };
        let code = first
            .code(self.pid)
            .map_err(|error| format!("its code cannot be read: {}", crate::causes::with_causes(&error)))?;
        Ok(code.is_some_and(|code| code.in_memory != code.in_file))
    }
}

/// The first few of some processes.
fn listed(pids: &[u32]) -> String {
    const FEW: usize = 5;
    let first: Vec<String> = pids.iter().take(FEW).map(u32::to_string).collect();
    let more = match pids.len().saturating_sub(FEW) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let word = if pids.len() == 1 { "process" } else { "processes" };
    format!("{word} {}{more}", first.join(", "))
}
