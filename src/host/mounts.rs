// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mounts of every mount namespace, as far as a checkpoint can be about them.
//!
//! Each namespace is entered once, by a thread that shares no directory with the others, and its table is read from its
//! own root: a process of it may be chrooted, and then shows only what lies below its root. That needs `setns`; where
//! it is refused, a process's own view has to do, and what that does not show is not known.
//!
//! A namespace lives by a process, by one of its threads, by a mount of its own file, or by a descriptor of that, also
//! one in flight between two sockets. Where the kernel lists them all (Linux 6.12, from the machine's first pid
//! namespace), that list says what is missing here; elsewhere the last kind is not found.

mod visitor;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::thread;

use rustix::io::Errno;

use super::namespace::{self, Kind, Link};
use super::process::{Process, Processes};
use super::unseen::{Looked, Scope, Unseen};
use crate::system::dir::{Directory, FileError};
use crate::system::mountinfo::{self, HostMount};
use crate::system::privilege::Capability;
use visitor::Visitor;

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

/// Which mounts are looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Device numbers.
    pub devices: BTreeSet<(u32, u32)>,
    /// Those of them that are a tmpfs's, which lives for as long as anything keeps it.
    pub tmpfs: BTreeSet<(u32, u32)>,
    /// Upper directories of overlays, as the options of a mount have them.
    pub uppers: HashSet<Vec<u8>>,
    /// The directories of a filesystem that have to be shown, and those above them.
    pub roots: HashSet<Vec<u8>>,
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
    /// Why a tmpfs that is mounted nowhere may be there all the same, by its device number.
    pub held: BTreeMap<(u32, u32), Vec<Unseen>>,
}

/// The files of namespaces that are mounted somewhere: `nsfs` in a mount table.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    /// The namespace in whose table the mount is; `None` for the tool's own.
    pub(super) within: Option<MountNamespace>,
    pub(super) mountpoint: PathBuf,
    pub(super) root: Vec<u8>,
}

/// What was read of one table.
#[derive(Debug, Default)]
struct Table {
    mounts: Vec<HostMount>,
    pins: Vec<Pin>,
    /// Its first mount, by which the namespace can be told.
    first: Option<u32>,
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

/// How many mounts of one directory are kept of a namespace: whoever owns it can have any number.
const SAME_ROOT_LIMIT: usize = 8;

impl Tables {
    /// Reads them all.
    pub(super) fn read(processes: &Processes, wanted: &Wanted) -> Self {
        let mut tables = Tables::default();
        let own = match fs::read("/proc/self/mountinfo") {
            Ok(text) => table(&text, None, wanted),
            Err(error) => {
                tables.unseen.push(unseen(format!("cannot read /proc/self/mountinfo: {error}")));
                Table::default()
            }
        };
        let mut seen: BTreeSet<u64> = super::standing::namespace_number("/proc/self/ns/mnt").into_iter().collect();
        let mut firsts: BTreeSet<u32> = own.first.into_iter().collect();
        tables.own = own.mounts;
        tables.pins = own.pins;
        let (mut waiting, denied) = of_processes(processes, &mut seen);
        waiting.extend(of_threads(processes, &mut seen));
        let (mut next_pin, mut attempts) = (0, 0);
        loop {
            let mut ended = Vec::new();
            for (namespace, read) in read_each(waiting, wanted) {
                match read {
                    Ok(read) => {
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
        if tables.add_walked(&mut seen, wanted).is_ok() {
            return tables;
        }
        tables.note_hidden_pins(&seen);
        tables.note_denied(denied, &firsts);
        tables
    }

    /// Those of the device numbers that no mount has.
    pub(super) fn unmounted(&self, devices: &BTreeSet<(u32, u32)>) -> BTreeSet<(u32, u32)> {
        let mounted = self.own.iter().chain(self.others.iter().flat_map(|(_, mounts)| mounts));
        let mounted: BTreeSet<(u32, u32)> = mounted.map(|mount| mount.device).collect();
        devices.difference(&mounted).copied().collect()
    }

    /// Adds what the kernel lists beside those that were seen. Then nothing is hidden, unless this is an error.
    fn add_walked(&mut self, seen: &mut BTreeSet<u64>, wanted: &Wanted) -> Result<(), Errno> {
        let Some(walk) = walk::all() else { return Err(Errno::OPNOTSUPP) };
        let found = visitor::on_own_thread(|| {
            let visitor = Visitor::new()?;
            let mut found = Vec::new();
            for namespace in walk {
                let namespace = namespace?;
                let number = walk::number(&namespace)?;
                if seen.insert(number) {
                    let read = visitor.table_of(&namespace)?;
                    let namespace = MountNamespace { number, process: None, way: Way::Walk };
                    let table = table(&read, Some(&namespace), wanted);
                    found.push((namespace, table));
                }
            }
            Ok(found)
        })?;
        for (namespace, table) in found {
            self.pins.extend(table.pins);
            self.others.push((namespace, table.mounts));
        }
        Ok(())
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
            let text = fs::read(format!("/proc/{}/mountinfo", process.pid)).unwrap_or_default();
            let (mounts, _) = mountinfo::parse(&text);
            mounts.iter().any(|mount| firsts.contains(&mount.id))
        };
        let hidden: Vec<&Process> = denied.into_iter().filter(|process| !is_known(process)).collect();
        if !hidden.is_empty() {
            let advice = crate::system::privilege::advice(Capability::SysPtrace);
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
    pub fn imagined(pid: u32) -> Self {
        MountNamespace { number: pid.into(), process: Some(pid), way: Way::Link(PathBuf::new()) }
    }
}

impl Pin {
    pub(super) fn describe(&self) -> String {
        let place = self.mountpoint.display();
        match &self.within {
            None => format!("mounted at {place}"),
            Some(namespace) => format!("mounted at {place} in {}", namespace.describe()),
        }
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
    seen.insert(number).then_some(MountNamespace { number, process, way: Way::Link(path) })
}

fn pinned(pin: &Pin, seen: &mut BTreeSet<u64>) -> Option<MountNamespace> {
    let number = Kind::Mount.number(&pin.root)?;
    new(Link { path: pin.mountpoint.clone(), number }, None, seen)
}

/// Reads the tables of these namespaces.
fn read_each(namespaces: Vec<MountNamespace>, wanted: &Wanted) -> Vec<(MountNamespace, Result<Table, Failure>)> {
    if namespaces.is_empty() {
        return Vec::new();
    }
    let read = |namespace: &MountNamespace, visitor: &Result<Visitor, Errno>| {
        let text = match visitor {
            Ok(visitor) => visitor.read(namespace),
            Err(error) => Err(*error),
        };
        match (text, namespace.process) {
            (Ok(text), _) => Ok(table(&text, Some(namespace), wanted)),
            (Err(Errno::PERM | Errno::ACCESS), _) => Err(Failure::NotPermitted),
            (Err(Errno::NOENT | Errno::SRCH), Some(_)) => Err(Failure::Ended),
            (Err(error), _) => Err(Failure::Other(error)),
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
            Err(_) => namespaces.iter().map(|_| Err(Failure::Thread)).collect(),
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
    table(&fs::read("/proc/self/mountinfo").unwrap_or_default(), None, &Wanted::default()).pins
}

/// What of a table matters.
fn table(text: &[u8], within: Option<&MountNamespace>, wanted: &Wanted) -> Table {
    let mut table = Table::default();
    let mut kept: HashMap<((u32, u32), Vec<u8>), usize> = HashMap::new();
    let first = mountinfo::parse_if(text, |brief| {
        brief.fstype == b"nsfs" || wanted.devices.contains(&brief.device) || brief.fstype == b"overlay"
    });
    table.first = mountinfo::first_id(text);
    for mount in first {
        if mount.fstype == b"nsfs" {
            let mountpoint = super::path(&mount.mountpoint);
            table.pins.push(Pin { within: within.cloned(), mountpoint, root: mount.root });
        } else if wanted.is_about(&mount) {
            // What shows none of the directories says only that the filesystem is mounted.
            let root = if wanted.roots.contains(&mount.root) { mount.root.clone() } else { Vec::new() };
            let count = kept.entry((mount.device, root)).or_default();
            *count += 1;
            if *count <= SAME_ROOT_LIMIT {
                table.mounts.push(mount);
            }
        }
    }
    table
}

impl Wanted {
    fn is_about(&self, mount: &HostMount) -> bool {
        self.devices.contains(&mount.device)
            || mount.fstype == b"overlay"
                && mountinfo::option(&mount.options, b"upperdir=").is_some_and(|upper| self.uppers.contains(upper))
    }
}

/// The mounted network namespaces by their numbers: one place each, the tool's own namespace first.
pub(super) fn network_pins(pins: &[Pin]) -> BTreeMap<u64, Vec<&Pin>> {
    let mut found: BTreeMap<u64, Vec<&Pin>> = BTreeMap::new();
    for pin in pins {
        if let Some(number) = Kind::Network.number(&pin.root) {
            found.entry(number).or_default().push(pin);
        }
    }
    for pins in found.values_mut() {
        pins.sort_by_key(|pin| pin.within.is_some());
        pins.truncate(SAME_ROOT_LIMIT);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TABLE: &[u8] = br"21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 8:1 /srv /mnt rw - ext4 /dev/sda1 rw
23 21 0:4 net:[4026532178] /run/netns/a\040b rw shared:7 - nsfs nsfs rw
24 21 0:4 mnt:[4026532179] /run/x rw - nsfs nsfs rw
25 21 0:9 / /t rw - tmpfs tmpfs rw
26 21 0:40 / /o rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
";

    fn wanted(device: (u32, u32)) -> Wanted {
        let (uppers, roots) = ([b"/u".to_vec()].into(), [b"/srv".to_vec()].into());
        Wanted { devices: [device].into(), uppers, roots, ..Wanted::default() }
    }

    #[test]
    fn only_mounts_of_what_is_wanted_are_kept() {
        let mountpoints = |device| -> Vec<Vec<u8>> {
            table(TABLE, None, &wanted(device)).mounts.into_iter().map(|mount| mount.mountpoint).collect()
        };
        assert_eq!(mountpoints((8, 1)), [b"/".to_vec(), b"/mnt".to_vec(), b"/o".to_vec()]);
        assert_eq!(mountpoints((0, 9)), [b"/t".to_vec(), b"/o".to_vec()]);
    }

    #[test]
    fn mounted_namespaces_are_told_apart_by_their_kind() {
        let pins = table(TABLE, None, &Wanted::default()).pins;
        let networks: Vec<u64> = network_pins(&pins).into_keys().collect();
        assert_eq!((pins.len(), networks), (2, vec![4_026_532_178]));
        assert_eq!(pins[0].mountpoint, Path::new("/run/netns/a b"));
    }

    #[test]
    fn of_a_million_mounts_of_one_directory_a_few_are_kept() {
        let text: String = (0..5000).map(|id| format!("{id} 1 8:1 /srv /m{id} rw - ext4 /dev/sda1 rw\n")).collect();
        assert_eq!(table(text.as_bytes(), None, &wanted((8, 1))).mounts.len(), SAME_ROOT_LIMIT);
    }
}
