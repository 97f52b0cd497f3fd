// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mounts of every mount namespace, as far as they matter to a checkpoint.
//!
//! A thread with its own directories enters each namespace once, and reads the table from the namespace's root, because
//! a chrooted process shows only the mounts below its root. This needs `setns`. Without it, criu-gc uses a process's
//! own view, and what that does not show is not known.
//!
//! A namespace is kept alive by a process, a thread, a mount of its file, or a descriptor of that file, even one in
//! flight between two sockets. The kernel's list (Linux 6.12, from the machine's first pid namespace) shows which are
//! missing here; without it, criu-gc does not find the last kind.

mod table;
mod visitor;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::io::Errno;

use super::descriptors::Descriptors;
use super::namespace::{self, Kind, Link};
use super::process::{Process, Processes};
use super::unseen::{Looked, Scope, Unseen};
use crate::system::dir::{Directory, FileError};
use crate::system::mountinfo::{self, HostMount};
use crate::system::privilege::{self, Capability};
use table::{Table, TableReader};
use visitor::Visitor;

pub use table::{Extent, Wanted};
pub(super) use table::{Pin, network_pins};
pub(super) use visitor::{enter, leave_shared_directories, on_own_thread};

/// A mount namespace, and a way into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MountNamespace {
    /// Its number, as `readlink /proc/PID/ns/mnt` shows it.
    pub number: u64,
    /// A process that is in it; `None` where only a file keeps it.
    pub process: Option<u32>,
    way: Way,
}

/// What leads to a mount namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Way {
    /// The file that stands for it.
    Link(PathBuf),
    /// The kernel's list of all of them.
    Walk,
}

/// The mounts that were looked for.
#[derive(Debug, Clone, Default)]
pub struct HostMounts {
    /// Those of the tool's own mount namespace.
    pub own: Vec<HostMount>,
    /// Those of every other one.
    pub others: Vec<(MountNamespace, Vec<HostMount>)>,
    /// Whether no other mount namespace can have any: else what stands in the way.
    pub looked: Option<Looked>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// Devices whose filesystem has been mounted since before the dump.
    pub lasting: BTreeSet<(u32, u32)>,
    /// The upper directory of the dumped container's root, if this host's engine says which one it is.
    pub own_layer: Option<Vec<u8>>,
    /// Why a tmpfs that is not mounted may be there all the same, by its device number.
    pub held: BTreeMap<(u32, u32), Vec<Unseen>>,
}

/// Every mount namespace that was found, with what of its mounts matters.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) own: Vec<HostMount>,
    pub(super) others: Vec<(MountNamespace, Vec<HostMount>)>,
    pub(super) pins: Vec<Pin>,
    pub(super) unseen: Vec<Unseen>,
}

/// Every mount of every mount namespace that was found.
#[derive(Debug, Clone, Copy)]
pub struct MountTables<'a> {
    /// Those of the tool's own mount namespace.
    pub own: &'a [HostMount],
    /// Those of every other one.
    pub others: &'a [(MountNamespace, Vec<HostMount>)],
    /// What could not be read.
    pub unseen: &'a [Unseen],
}

/// How often the processes are read again because one ended that led to a namespace.
const ATTEMPTS: u32 = 8;

/// Why a namespace could not be read.
#[derive(Debug, thiserror::Error)]
enum NamespaceFailure {
    /// The process that led to it has ended.
    #[error("its processes exited at every attempt")]
    Ended,
    #[error("this user may not enter it")]
    NotPermitted,
    #[error("it cannot be entered: {0}")]
    Other(Errno),
    #[error("cannot start a thread")]
    Thread,
}

impl Tables {
    /// Reads them all.
    pub(super) fn read(processes: &Processes, open: &Descriptors, wanted: &Wanted) -> Self {
        let mut tables = Tables::default();
        let mut reader = TableReader::new(wanted);
        let own = own_table(&mut reader).unwrap_or_else(|error| {
            tables.unseen.push(unseen(format!("cannot read /proc/self/mountinfo: {error}")));
            Table::default()
        });
        let mut seen: BTreeSet<u64> = super::namespace::number_of("/proc/self/ns/mnt").into_iter().collect();
        let mut firsts: BTreeSet<u32> = own.first.into_iter().collect();
        tables.own = own.mounts;
        tables.pins = own.pins;
        let (mut waiting, denied) = of_processes(processes, &mut seen);
        waiting.extend(of_threads(processes, open, &mut seen));
        let (mut next_pin, mut attempts) = (0, 0);
        loop {
            let mut ended = Vec::new();
            for (namespace, read) in read_each(waiting, &mut reader) {
                match read {
                    Ok(read) => {
                        firsts.extend(read.first);
                        tables.add(namespace, read);
                    }
                    Err(NamespaceFailure::Ended) if attempts < ATTEMPTS => ended.push(namespace.number),
                    Err(failure) => tables.unseen.push(unseen(format!("{}: {failure}", namespace.describe()))),
                }
            }
            if !ended.is_empty() {
                // The process that led there has ended; others may be in there still.
                attempts += 1;
                seen.retain(|number| !ended.contains(number));
                let now = Processes::read().unwrap_or_default();
                let (again, denied) = of_processes(&now, &mut seen);
                waiting = again;
                waiting.extend(of_threads(&now, &Descriptors::read(&now), &mut seen));
                tables.note_denied(denied, &firsts);
                if !waiting.is_empty() {
                    continue;
                }
            }
            // A namespace may be kept by nothing but a mount in one that was found just now.
            let pins = tables.pins[next_pin..].iter().filter(|pin| pin.within.is_none());
            waiting = pins.filter_map(|pin| pinned(pin, &mut seen)).collect();
            next_pin = tables.pins.len();
            if waiting.is_empty() {
                break;
            }
        }
        if tables.add_walked(&mut seen, &mut reader).is_ok() {
            return tables;
        }
        tables.note_hidden_pins(&seen);
        tables.note_denied(denied, &firsts);
        tables
    }

    /// Adds what the kernel lists beside those that were seen. Then nothing is hidden, unless this is an error.
    fn add_walked(&mut self, seen: &mut BTreeSet<u64>, reader: &mut TableReader<'_>) -> Result<(), Errno> {
        let Some(walk) = walk::all() else { return Err(Errno::OPNOTSUPP) };
        let found = on_own_thread(|| {
            let visitor = Visitor::new()?;
            let mut found = Vec::new();
            for file in walk {
                let file = file?;
                let number = walk::number(&file)?;
                if seen.insert(number) {
                    let namespace = MountNamespace { number, process: None, way: Way::Walk };
                    let table = visitor.table_of(&file, &namespace, reader)?;
                    found.push((namespace, table));
                }
            }
            Ok(found)
        })?;
        for (namespace, table) in found {
            self.add(namespace, table);
        }
        Ok(())
    }

    fn add(&mut self, namespace: MountNamespace, table: Table) {
        if table.is_cut {
            self.unseen.push(unseen(format!("{} has too many mounts", namespace.describe())));
        }
        self.pins.extend(table.pins);
        self.others.push((namespace, table.mounts));
    }

    /// Those of the device numbers that no mount has.
    pub(super) fn unmounted(&self, devices: &BTreeSet<(u32, u32)>) -> BTreeSet<(u32, u32)> {
        let mounted = self.own.iter().chain(self.others.iter().flat_map(|(_, mounts)| mounts));
        let mounted: BTreeSet<(u32, u32)> = mounted.map(|mount| mount.device).collect();
        devices.difference(&mounted).copied().collect()
    }

    /// A mount namespace that only a mount in another namespace's table keeps.
    fn note_hidden_pins(&mut self, seen: &BTreeSet<u64>) {
        let is_hidden = |pin: &&Pin| Kind::Mount.number(&pin.root).is_some_and(|number| !seen.contains(&number));
        let hidden: Vec<String> = self.pins.iter().filter(is_hidden).map(Pin::describe).collect();
        self.unseen.extend(hidden.into_iter().map(|pin| unseen(format!("no process is in the mount namespace {pin}"))));
    }

    /// Processes that do not let their namespace be seen may be in one that is known.
    fn note_denied(&mut self, denied: Vec<&Process>, firsts: &BTreeSet<u32>) {
        let is_known = |process: &&Process| {
            let mut is_known = false;
            let mut look = |brief: mountinfo::Brief<'_>| {
                is_known |= firsts.contains(&brief.id);
                false
            };
            let table = File::open(format!("/proc/{}/mountinfo", process.pid));
            let read = table.and_then(|table| mountinfo::read(BufReader::new(table), &mut look, drop));
            read.is_ok() && is_known
        };
        let hidden: Vec<&Process> = denied.into_iter().filter(|process| !is_known(process)).collect();
        if !hidden.is_empty() {
            let advice = privilege::advice(Capability::SysPtrace);
            let processes = super::process::listed(&hidden);
            self.unseen.push(unseen(format!("not permitted to see the mounts of {processes}{advice}")));
        }
    }
}

impl HostMounts {
    pub(super) fn new(tables: &Tables, hidden: Option<Unseen>, lasting: BTreeSet<(u32, u32)>) -> Self {
        let unseen: Vec<Unseen> = tables.unseen.iter().cloned().chain(hidden).collect();
        let looked = unseen.is_empty().then(Looked::everywhere);
        HostMounts {
            own: tables.own.clone(),
            others: tables.others.clone(),
            looked,
            unseen,
            lasting,
            own_layer: None,
            held: BTreeMap::new(),
        }
    }
}

impl MountNamespace {
    /// What people can make of it.
    pub fn describe(&self) -> String {
        match (self.process, &self.way) {
            (Some(pid), _) => format!("the mount namespace of process {pid}"),
            (None, Way::Link(link)) => format!("the mount namespace {}", link.display()),
            (None, Way::Walk) => format!("the mount namespace mnt:[{}]", self.number),
        }
    }

    /// Opens its root directory.
    pub fn open_root(&self) -> Result<Directory, FileError> {
        let path = self.path_of_root();
        match visitor::open_root(self) {
            Ok(root) => Ok(Directory::of_descriptor(root, &path)),
            // Without the right to enter it, a process of it can still show what it sees itself.
            Err(Errno::PERM) if self.process.is_some() => Directory::open(&path),
            Err(source) => Err(FileError { operation: "enter the mount namespace of", path, source }),
        }
    }

    /// Its root directory, for people.
    pub fn path_of_root(&self) -> PathBuf {
        match (self.process, &self.way) {
            (Some(pid), _) => PathBuf::from(format!("/proc/{pid}/root")),
            (None, Way::Link(link)) => link.clone(),
            (None, Way::Walk) => PathBuf::from(format!("mnt:[{}]", self.number)),
        }
    }

    /// One that is only looked at as data: for the laws of the fuzz targets, and tests of the arithmetic.
    #[cfg(any(test, feature = "internals"))]
    pub fn imagined(pid: u32) -> Self {
        MountNamespace { number: pid.into(), process: Some(pid), way: Way::Link(PathBuf::new()) }
    }
}

fn unseen(why: String) -> Unseen {
    Unseen { scope: Scope::Mounts, why }
}

/// The mount of the tool's own mount namespace that has this id.
pub fn own_mount(id: u64) -> Option<HostMount> {
    let (mounts, _) = mountinfo::parse(&fs::read("/proc/self/mountinfo").ok()?);
    mounts.into_iter().find(|mount| u64::from(mount.id) == id)
}

/// The mounts of the tool's own mount namespace on this path and below it, in the order of the mount table.
pub fn own_mounts_at(path: &Path) -> Vec<HostMount> {
    let (mounts, _) = mountinfo::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default());
    let is_there = |mount: &HostMount| Path::new(OsStr::from_bytes(&mount.mountpoint)).starts_with(path);
    mounts.into_iter().filter(is_there).collect()
}

/// The namespaces of processes that are not known yet, and the processes that do not let theirs be seen.
fn of_processes<'a>(processes: &'a Processes, seen: &mut BTreeSet<u64>) -> (Vec<MountNamespace>, Vec<&'a Process>) {
    let (mut found, mut denied) = (Vec::new(), Vec::new());
    for process in &processes.list {
        match namespace::of_process(process.pid, Kind::Mount) {
            Ok(link) => found.extend(link.and_then(|link| new(link, Some(process.pid), seen))),
            Err(_) => denied.push(process),
        }
    }
    (found, denied)
}

/// Those of threads, and those that only a descriptor keeps.
fn of_threads(processes: &Processes, open: &Descriptors, seen: &mut BTreeSet<u64>) -> Vec<MountNamespace> {
    let mut found = Vec::new();
    for process in processes.list.iter().filter(|process| process.threads > 1) {
        let links = namespace::of_threads(process.pid, Kind::Mount);
        found.extend(links.into_iter().filter_map(|link| new(link, Some(process.pid), seen)));
    }
    found.extend(open.namespaces(Kind::Mount).filter_map(|link| new(link.clone(), None, seen)));
    found
}

fn new(link: Link, process: Option<u32>, seen: &mut BTreeSet<u64>) -> Option<MountNamespace> {
    let Link { path, number } = link;
    seen.insert(number).then_some(MountNamespace { number, process, way: Way::Link(path) })
}

fn pinned(pin: &Pin, seen: &mut BTreeSet<u64>) -> Option<MountNamespace> {
    let number = Kind::Mount.number(&pin.root)?;
    new(Link { path: pin.mountpoint.clone(), number }, None, seen)
}

/// Reads the tables of these namespaces.
fn read_each(
    namespaces: Vec<MountNamespace>,
    reader: &mut TableReader<'_>,
) -> Vec<(MountNamespace, Result<Table, NamespaceFailure>)> {
    if namespaces.is_empty() {
        return Vec::new();
    }
    let mut read = |namespace: &MountNamespace, visitor: &Result<Visitor, Errno>| {
        let table = match visitor {
            Ok(visitor) => visitor.read(namespace, reader),
            Err(error) => Err(*error),
        };
        match (table, namespace.process) {
            (Ok(table), _) => Ok(table),
            (Err(Errno::PERM | Errno::ACCESS), _) => Err(NamespaceFailure::NotPermitted),
            (Err(Errno::NOENT | Errno::SRCH), Some(_)) => Err(NamespaceFailure::Ended),
            (Err(error), _) => Err(NamespaceFailure::Other(error)),
        }
    };
    thread::scope(|scope| {
        let work = || {
            let visitor = Visitor::new();
            namespaces.iter().map(|namespace| read(namespace, &visitor)).collect::<Vec<_>>()
        };
        let thread = thread::Builder::new().name("mounts".to_owned()).spawn_scoped(scope, work);
        let tables = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => namespaces.iter().map(|_| Err(NamespaceFailure::Thread)).collect(),
        };
        namespaces.iter().cloned().zip(tables).collect()
    })
}

/// The device of the root directory, which has been mounted for as long as process 1 has run.
pub(super) fn device_of_root() -> Option<(u32, u32)> {
    let (mounts, _) = mountinfo::parse(&fs::read("/proc/self/mountinfo").ok()?);
    mounts.iter().rev().find(|mount| mount.mountpoint == b"/").map(|mount| mount.device)
}

/// That of process 1, where it lets it be seen.
pub(super) fn of_first() -> Option<MountNamespace> {
    let Link { path, number } = namespace::of_process(1, Kind::Mount).ok()??;
    Some(MountNamespace { number, process: Some(1), way: Way::Link(path) })
}

/// The files of namespaces that are mounted in the tool's own mount namespace.
pub(super) fn own_pins() -> Vec<Pin> {
    own_table(&mut TableReader::new(&Wanted::default())).unwrap_or_default().pins
}

fn own_table(reader: &mut TableReader<'_>) -> io::Result<Table> {
    reader.read(BufReader::new(File::open("/proc/self/mountinfo")?), None)
}
