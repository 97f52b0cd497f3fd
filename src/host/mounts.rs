// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mounts of every mount namespace, as far as a checkpoint can be about them.
//!
//! Each namespace is entered once, by a thread that shares no directory with the others, and its table is read from its
//! own root: a process of it may be chrooted, and then shows only what lies below its root. That needs `setns`; where
//! it is refused, a process's own view has to do, and what that does not show is not known.
//!
//! A namespace lives by a process, by one of its threads, by a mount of its own file, or by a descriptor of that. One
//! that only a descriptor in flight between two sockets keeps is not found; no interface before `listns` shows it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::namespace::{self, Kind, Link};
use super::process::{Process, Processes};
use super::unseen::{Looked, Scope, Unseen};
use crate::system::dir::{Directory, FileError};
use crate::system::mountinfo::{self, HostMount};

mod table;

pub use table::Wanted;
pub(super) use table::{Pin, network_pins};
use table::{Table, TableReader};

/// A mount namespace, and a way into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MountNamespace {
    /// Its number, as `readlink /proc/PID/ns/mnt` shows it.
    pub number: u64,
    /// A process that is in it; `None` where only a file keeps it.
    pub process: Option<u32>,
    /// The file that stands for it.
    link: PathBuf,
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
}

/// Every mount namespace that was found, with what of its mounts matters.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) own: Vec<HostMount>,
    pub(super) others: Vec<(MountNamespace, Vec<HostMount>)>,
    pub(super) pins: Vec<Pin>,
    pub(super) unseen: Vec<Unseen>,
}

/// How often the processes are read again because one ended that led to a namespace.
const ATTEMPTS: u32 = 8;

/// Why a namespace could not be read.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The process that led to it is no more.
    #[error("the process ended, and others like it, each time that this looked")]
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
    pub(super) fn read(processes: &Processes, wanted: &Wanted) -> Self {
        let mut tables = Tables::default();
        let mut reader = TableReader::new(wanted);
        let own = own_table(&mut reader).unwrap_or_else(|error| {
            tables.unseen.push(unseen(format!("cannot read /proc/self/mountinfo: {error}")));
            Table::default()
        });
        let mut seen: BTreeSet<u64> = super::standing::namespace_number("/proc/self/ns/mnt").into_iter().collect();
        let mut firsts: BTreeSet<u32> = own.first.into_iter().collect();
        tables.own = own.mounts;
        tables.pins = own.pins;
        let (mut waiting, denied) = of_processes(processes, &mut seen);
        waiting.extend(of_threads(processes, &mut seen));
        let (mut next_pin, mut attempts) = (0, 0);
        loop {
            let mut ended = Vec::new();
            for (namespace, read) in read_each(waiting, &mut reader) {
                match read {
                    Ok(read) => {
                        if read.is_cut {
                            tables.unseen.push(unseen(format!("{} has too many mounts", namespace.describe())));
                        }
                        firsts.extend(read.first);
                        tables.pins.extend(read.pins);
                        tables.others.push((namespace, read.mounts));
                    }
                    Err(Failure::Ended) if attempts < ATTEMPTS => ended.push(namespace.number),
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
                waiting.extend(of_threads(&now, &mut seen));
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
        tables.note_hidden_pins(&seen);
        tables.note_denied(denied, &firsts);
        tables
    }

    /// A mount namespace that only a mount in another namespace's table keeps.
    fn note_hidden_pins(&mut self, seen: &BTreeSet<u64>) {
        let is_hidden = |pin: &&Pin| Kind::Mount.number(&pin.root).is_some_and(|number| !seen.contains(&number));
        let hidden: Vec<String> = self.pins.iter().filter(is_hidden).map(Pin::describe).collect();
        self.unseen.extend(hidden.into_iter().map(|pin| unseen(format!("the mount namespace {pin} is in no process"))));
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
            let advice = crate::system::privilege::advice("CAP_SYS_PTRACE");
            let processes = super::process::listed(&hidden);
            self.unseen.push(unseen(format!("not permitted to see the mounts of {processes}{advice}")));
        }
    }
}

impl HostMounts {
    pub(super) fn new(tables: &Tables, hidden: Option<Unseen>, lasting: BTreeSet<(u32, u32)>) -> Self {
        let unseen: Vec<Unseen> = tables.unseen.iter().cloned().chain(hidden).collect();
        let looked = unseen.is_empty().then(Looked::everywhere);
        HostMounts { own: tables.own.clone(), others: tables.others.clone(), looked, unseen, lasting }
    }
}

impl MountNamespace {
    /// What people can make of it.
    pub fn describe(&self) -> String {
        match self.process {
            Some(pid) => format!("the mount namespace of process {pid}"),
            None => format!("the mount namespace {}", self.link.display()),
        }
    }

    /// Opens its root directory.
    pub fn open_root(&self) -> Result<Directory, FileError> {
        let link = self.link.clone();
        let number = self.number;
        let work = move || -> Result<OwnedFd, Errno> {
            let file = open_link(&link, number)?;
            visit(&file)?;
            openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let path = self.path_of_root();
        match on_own_thread(work) {
            Ok(root) => Ok(Directory::of_descriptor(root, &path)),
            // Without the right to enter it, a process of it can still show what it sees itself.
            Err(Errno::PERM) if self.process.is_some() => Directory::open(&path),
            Err(source) => Err(FileError { operation: "enter the mount namespace of", path, source }),
        }
    }

    /// Its root directory, for people.
    pub fn path_of_root(&self) -> PathBuf {
        match self.process {
            Some(pid) => PathBuf::from(format!("/proc/{pid}/root")),
            None => self.link.clone(),
        }
    }

    /// One that is only looked at as data: for the laws of the fuzz targets, and tests of the arithmetic.
    pub fn imagined(pid: u32) -> Self {
        MountNamespace { number: pid.into(), process: Some(pid), link: PathBuf::new() }
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
fn of_threads(processes: &Processes, seen: &mut BTreeSet<u64>) -> Vec<MountNamespace> {
    let mut found = Vec::new();
    for process in &processes.list {
        if process.threads > 1 {
            let links = namespace::of_threads(process.pid, Kind::Mount);
            found.extend(links.into_iter().filter_map(|link| new(link, Some(process.pid), seen)));
        }
        let links = namespace::of_descriptors(process, Kind::Mount).unwrap_or_default();
        found.extend(links.into_iter().filter_map(|link| new(link, None, seen)));
    }
    found
}

fn new(link: Link, process: Option<u32>, seen: &mut BTreeSet<u64>) -> Option<MountNamespace> {
    let Link { path, number } = link;
    seen.insert(number).then_some(MountNamespace { number, process, link: path })
}

fn pinned(pin: &Pin, seen: &mut BTreeSet<u64>) -> Option<MountNamespace> {
    let number = Kind::Mount.number(&pin.root)?;
    new(Link { path: pin.mountpoint.clone(), number }, None, seen)
}

/// Reads the tables of these namespaces.
fn read_each(
    namespaces: Vec<MountNamespace>,
    reader: &mut TableReader<'_>,
) -> Vec<(MountNamespace, Result<Table, Failure>)> {
    if namespaces.is_empty() {
        return Vec::new();
    }
    let mut read = |namespace: &MountNamespace, proc: &Result<OwnedFd, Errno>| {
        let table = match proc {
            Ok(proc) => read_within(namespace, proc, reader),
            Err(error) => Err(*error),
        };
        match (table, namespace.process) {
            (Ok(table), _) => Ok(table),
            (Err(Errno::PERM | Errno::ACCESS), _) => Err(Failure::NotPermitted),
            (Err(Errno::NOENT | Errno::SRCH), Some(_)) => Err(Failure::Ended),
            (Err(error), _) => Err(Failure::Other(error)),
        }
    };
    thread::scope(|scope| {
        let work = || {
            // Opened before the first namespace is entered: there may be no /proc in it, or another.
            let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .and_then(|proc| leave_shared_directories().map(|()| proc));
            namespaces.iter().map(|namespace| read(namespace, &proc)).collect::<Vec<_>>()
        };
        let thread = thread::Builder::new().name("mounts".to_owned()).spawn_scoped(scope, work);
        let tables = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => namespaces.iter().map(|_| Err(Failure::Thread)).collect(),
        };
        namespaces.iter().cloned().zip(tables).collect()
    })
}

/// Enters the namespace, on a thread made for it, and reads its table.
fn read_within(namespace: &MountNamespace, proc: &OwnedFd, reader: &mut TableReader<'_>) -> Result<Table, Errno> {
    let relative = namespace.link.strip_prefix("/proc").ok();
    let file = match relative {
        Some(relative) => openat(proc, relative, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
        None => open_link(&namespace.link, namespace.number)?,
    };
    let home = openat(proc, "thread-self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    visit(&file)?;
    let table = openat(proc, "thread-self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let read = table.map(|table| reader.read(BufReader::new(File::from(table)), Some(namespace)));
    if relative.is_none() {
        // The next path of such a kind means something in the tool's own namespace.
        visit(&home)?;
    }
    read?.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Opens the file of a mount namespace, if it still is that one.
fn open_link(link: &Path, number: u64) -> Result<OwnedFd, Errno> {
    let path = rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstat(&path)?.st_ino != number {
        return Err(Errno::STALE);
    }
    rustix::fs::open(super::own_descriptor(&path), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Moves the calling thread, which must share no directories with others.
fn visit(file: &OwnedFd) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(file), Some(LinkNameSpaceType::Mount))
}

/// The kernel moves only a thread that has root and working directories of its own.
#[expect(deprecated, reason = "of its flags only FILES is unsafe, which is never among these")]
fn leave_shared_directories() -> Result<(), Errno> {
    rustix::thread::unshare(UnshareFlags::FS)
}

/// Runs `work` on a thread that may move into another mount namespace.
pub(super) fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, Errno> + Send) -> Result<T, Errno> {
    thread::scope(|scope| {
        let work = || leave_shared_directories().and_then(|()| work());
        let thread = thread::Builder::new().name("mounts".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Enters a mount namespace with the calling thread, see [`on_own_thread`].
pub(super) fn enter(namespace: &MountNamespace) -> Result<(), Errno> {
    visit(&open_link(&namespace.link, namespace.number)?)
}

/// The device of the root directory, which has been mounted for as long as process 1 has run.
pub(super) fn device_of_root() -> Option<(u32, u32)> {
    let (mounts, _) = mountinfo::parse(&fs::read("/proc/self/mountinfo").ok()?);
    mounts.iter().rev().find(|mount| mount.mountpoint == b"/").map(|mount| mount.device)
}

/// That of process 1, where it lets it be seen.
pub(super) fn of_first() -> Option<MountNamespace> {
    let Link { path, number } = namespace::of_process(1, Kind::Mount).ok()??;
    Some(MountNamespace { number, process: Some(1), link: path })
}

/// The files of namespaces that are mounted in the tool's own mount namespace.
pub(super) fn own_pins() -> Vec<Pin> {
    own_table(&mut TableReader::new(&Wanted::default())).unwrap_or_default().pins
}

fn own_table(reader: &mut TableReader<'_>) -> io::Result<Table> {
    reader.read(BufReader::new(File::open("/proc/self/mountinfo")?), None)
}
