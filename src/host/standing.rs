// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The namespaces from which this process sees the machine, and what they hide.
//!
//! A process in its own pid namespace sees only the processes in there. One in other mount or network namespaces than
//! process 1 sees another root directory and other rules than the host's.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::namespace::number_of;
use super::proc::read_file;
use super::process::Processes;
use super::unseen::{Scope, Unseen};
use crate::system::mountinfo;
use crate::time::Timestamp;

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: u64 = 0x9fa0;
/// `PROC_PID_INIT_INO` of linux/proc_ns.h: the machine's first pid namespace has always had this number.
pub(super) const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// `PROC_USER_INIT_INO`: the same for user namespaces.
pub(super) const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// From where the picture is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which processes `/proc` shows.
    pub processes: ProcessView,
    /// Whether this process has the mount namespace of process 1.
    pub mounts: Shared,
    /// Whether this process has the network namespace of process 1.
    pub network: Shared,
}

/// Which processes `/proc` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessView {
    /// All of the machine.
    Machine,
    /// Those of one pid namespace, and of those below it.
    Nested(Nested),
    /// Not all, and nobody knows which: why.
    Partial(String),
}

/// What is known of a pid namespace that is not the machine's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// Its number.
    pub inode: Option<u64>,
    /// When its first process started.
    pub since: Option<Timestamp>,
    /// The highest pid that it is known to have given.
    pub highest: u32,
}

/// Whether a namespace is that of process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// It is.
    Yes,
    /// It is another.
    No,
    /// That of process 1 cannot be seen.
    Unknown,
}

/// What is known of where and when CRIU ran.
#[derive(Debug, Clone, Default)]
pub struct DumpTrace {
    /// When the images were last written.
    pub written: Option<Timestamp>,
    /// Pids of the tree in CRIU's own pid namespace, as far as they are known.
    pub pids: Vec<u32>,
    /// The pid namespace that the record of the dump names.
    pub recorded: Option<u64>,
}

impl Standing {
    pub(super) fn find(processes: &Processes) -> Self {
        Standing { processes: process_view(processes), mounts: share_mounts(), network: share_network() }
    }

    /// How criu-gc can see what the host sees, where it sees something else.
    pub(super) fn advice(&self, dump: &DumpTrace) -> Option<&'static str> {
        if self.mounts == Shared::No || self.network == Shared::No {
            return Some("criu-gc does not run in the namespaces of this host's process 1; with --host it does");
        }
        match &self.processes {
            ProcessView::Nested(nested) if nested.objection(dump).is_some() => {
                Some("if criu-gc runs in a container, start the container with --pid=host and run criu-gc with --host")
            }
            ProcessView::Nested(_) | ProcessView::Machine | ProcessView::Partial(_) => None,
        }
    }

    /// Whether everything that the dump can have left processes and namespaces of shows here. The error says why not.
    pub(super) fn shows_all_of(&self, dump: &DumpTrace) -> Result<(), Unseen> {
        let unseen = |why: String| Err(Unseen { scope: Scope::Processes, why });
        let nested = match &self.processes {
            ProcessView::Machine => return Ok(()),
            ProcessView::Partial(why) => return unseen(why.clone()),
            ProcessView::Nested(nested) => nested,
        };
        match nested.objection(dump) {
            None => Ok(()),
            Some(why) => unseen(format!("only the processes of one pid namespace are visible here, and {why}")),
        }
    }
}

impl Nested {
    /// Why CRIU need not have run in this pid namespace.
    fn objection(&self, dump: &DumpTrace) -> Option<String> {
        if let (Some(recorded), Some(own)) = (dump.recorded, self.inode) {
            return (recorded != own).then(|| "the dump's record names another one".to_owned());
        }
        let (Some(written), Some(since)) = (dump.written, self.since) else {
            return Some("nothing shows that the dump was made in it".to_owned());
        };
        if written.latest() < since {
            return Some("it is younger than the images".to_owned());
        }
        let beyond = dump.pids.iter().find(|pid| **pid > self.highest)?;
        Some(format!("it has never had a process {beyond}"))
    }
}

fn process_view(processes: &Processes) -> ProcessView {
    let is_proc = rustix::fs::statfs("/proc").is_ok_and(|found| u64::try_from(found.f_type) == Ok(PROC_MAGIC));
    let own = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse::<u32>().ok());
    let Some(own) = own.filter(|_| is_proc) else {
        return ProcessView::Partial("/proc does not show the processes of this pid namespace".to_owned());
    };
    if processes.get(own).is_none() || !(is_listed(processes, 1)) {
        return ProcessView::Partial("/proc hides other users' processes (hidepid)".to_owned());
    }
    if !processes.unreadable.is_empty() {
        return ProcessView::Partial(unreadable(&processes.unreadable));
    }
    let hides = hides_processes();
    if hides && !may_trace_all() {
        return ProcessView::Partial("/proc hides other users' processes (hidepid)".to_owned());
    }
    let inode = number_of("/proc/self/ns/pid");
    let is_own = processes.get(own).is_some_and(|process| process.pids.len() == 1);
    if is_own && inode == Some(FIRST_PID_NAMESPACE) || processes.list.iter().any(|process| process.is_kernel_thread) {
        return ProcessView::Machine;
    }
    let last = read_file("/proc/sys/kernel/ns_last_pid".as_ref()).ok();
    let last = last.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<u32>().ok()).filter(|_| is_own);
    let seen = processes.list.last().map_or(0, |process| process.pid);
    ProcessView::Nested(Nested {
        inode: inode.filter(|_| is_own),
        since: processes.get(1).map(|first| first.started),
        highest: last.unwrap_or_default().max(seen),
    })
}

fn is_listed(processes: &Processes, pid: u32) -> bool {
    processes.get(pid).is_some() || processes.unreadable.contains(&pid)
}

fn unreadable(pids: &[u32]) -> String {
    let first: Vec<String> = pids.iter().take(3).map(u32::to_string).collect();
    let more = if pids.len() > first.len() { " and others" } else { "" };
    format!("process {}{more} could not be read", first.join(", "))
}

/// Whether the `/proc` in use shows this process less than all: without `CAP_SYS_PTRACE` its own processes only.
fn hides_processes() -> bool {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let (mounts, _) = mountinfo::parse(&table);
    let last = mounts.iter().rev().find(|mount| mount.mountpoint == b"/proc" && mount.fstype == b"proc");
    last.is_some_and(|mount| hides_from(&mount.options, is_in_group))
}

/// What the options of a `/proc` say about somebody in these groups (`has_pid_permissions` of the kernel's
/// `fs/proc/base.c`).
fn hides_from(options: &[u8], is_in_group: impl Fn(u32) -> bool) -> bool {
    let value = |key: &[u8]| options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(key));
    let gid = value(b"gid=").map_or(Some(0), |text| std::str::from_utf8(text).ok()?.parse().ok());
    match value(b"hidepid=") {
        None | Some(b"0" | b"off") => false,
        // No group is exempt from this one.
        Some(b"4" | b"ptraceable") => true,
        Some(_) => !gid.is_some_and(is_in_group),
    }
}

/// The number is that of the first user namespace.
fn is_in_group(gid: u32) -> bool {
    use rustix::process::{getegid, getgroups};
    let own = getgroups().unwrap_or_default().into_iter().chain([getegid()]);
    number_of("/proc/self/ns/user") == Some(FIRST_USER_NAMESPACE) && own.map(|own| own.as_raw()).any(|own| own == gid)
}

fn may_trace_all() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_PTRACE))
}

/// Whether there is no right to processes that could be had and is missing here. One that refuses all the same has
/// protected itself, or a security module has.
pub(super) fn may_examine_all() -> bool {
    number_of("/proc/self/ns/user") == Some(FIRST_USER_NAMESPACE) && may_trace_all()
}

/// A mount belongs to one mount namespace, and its id to one mount.
fn share_mounts() -> Shared {
    let ids = |process: &str| -> Option<BTreeSet<u32>> {
        let (mounts, _) = mountinfo::parse(&fs::read(format!("/proc/{process}/mountinfo")).ok()?);
        Some(mounts.into_iter().map(|mount| mount.id).collect())
    };
    match (ids("1"), ids("self")) {
        (Some(first), Some(own)) if !first.is_empty() && !own.is_empty() => share(!first.is_disjoint(&own)),
        _ => Shared::Unknown,
    }
}

/// Every network namespace has files of its own below `/proc/PID/net`, which show without any privilege.
fn share_network() -> Shared {
    match (network_mark("1"), network_mark("self")) {
        (Some(first), Some(own)) => share(first == own),
        _ => Shared::Unknown,
    }
}

fn share(is_same: bool) -> Shared {
    if is_same { Shared::Yes } else { Shared::No }
}

/// Whether this process has another root directory than process 1 of its pid namespace.
pub fn has_other_mounts() -> bool {
    share_mounts() == Shared::No
}

/// What tells the network namespaces of two processes apart that do not let it be seen.
pub(super) fn network_mark(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/net/unix")).ok().map(|file| file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested() -> Nested {
        Nested { inode: Some(7), since: Some(Timestamp::new(1000, 0)), highest: 50 }
    }

    fn objection(written: i64, pids: &[u32], recorded: Option<u64>) -> Option<String> {
        let dump = DumpTrace { written: Some(Timestamp::new(written, 1)), pids: pids.to_vec(), recorded };
        nested().objection(&dump)
    }

    #[test]
    fn a_dump_that_a_namespace_can_have_seen_is_not_objected_to() {
        assert_eq!(objection(1001, &[12, 50], None), None);
        assert_eq!(objection(1001, &[], None), None);
    }

    #[test]
    fn a_younger_namespace_and_one_without_such_pids_show_nothing_of_the_dump() {
        assert!(objection(999, &[12], None).unwrap().contains("younger"));
        assert!(objection(1001, &[12, 51], None).unwrap().contains("never had a process 51"));
        let unknown = nested().objection(&DumpTrace::default()).unwrap();
        assert!(unknown.contains("nothing shows"), "{unknown}");
    }

    #[test]
    fn the_record_of_a_dump_decides() {
        assert_eq!(objection(999, &[99], Some(7)), None);
        assert!(objection(1001, &[12], Some(8)).unwrap().contains("another"));
    }

    #[test]
    fn a_proc_hides_nothing_from_its_group() {
        let hides = |options: &str, own: u32| hides_from(options.as_bytes(), |gid| gid == own);
        for open in ["rw", "rw,hidepid=0", "rw,gid=500", "rw,hidepid=off,gid=500"] {
            assert!(!hides(open, 1000), "{open}");
        }
        for hiding in ["rw,gid=500,hidepid=2", "rw,gid=500,hidepid=invisible", "rw,hidepid=noaccess,gid=500"] {
            assert!(!hides(hiding, 500) && hides(hiding, 0) && hides(hiding, 1000), "{hiding}");
        }
        assert!(!hides("rw,hidepid=2", 0) && hides("rw,hidepid=2", 500), "the group is that of root");
        assert!(hides("rw,gid=500,hidepid=4", 500) && hides("rw,gid=500,hidepid=ptraceable", 500));
    }

    #[test]
    fn two_marks_of_one_network_namespace_are_equal() {
        assert_eq!(network_mark("self"), network_mark(&std::process::id().to_string()));
    }
}
