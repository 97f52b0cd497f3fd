// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network namespaces of this host, found through everything that can keep one alive: a name in `/run/netns`, a
//! mount in any mount table, a process, a thread, a descriptor.
//!
//! No interface before `listns` lists them. `sockets.rs` detects that a namespace exists that only a socket keeps
//! alive. One that only a descriptor in flight between two sockets keeps alive is not found.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::bounded;
use super::descriptors::Descriptors;
use super::mounts::{self, MountNamespace, Pin, Tables};
use super::namespace::{self, Kind, Link};
use super::process::{Process, Processes};
use super::standing::network_mark;
use super::unseen::{Looked, Scope, Unseen};
use crate::causes::with_causes;
use crate::system::netns::{self, Error, File, NetNamespace};
use crate::system::privilege::Capability;
use crate::time::Timestamp;

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// Network namespaces that were found, each once.
#[derive(Debug, Default)]
pub struct Networks {
    /// The namespaces.
    pub list: Vec<Arc<NetNamespace>>,
    /// Where there may be more.
    pub unseen: Vec<Unseen>,
    /// When the oldest process of each started, by the number of the namespace.
    oldest: BTreeMap<u64, Timestamp>,
}

/// What every one of some namespaces was asked, and what those said that answered.
#[derive(Debug)]
pub struct Visited<T> {
    /// The answers.
    pub answers: Vec<(Arc<NetNamespace>, T)>,
    /// Namespaces that were not found or could not be entered.
    pub unseen: Vec<Unseen>,
}

impl<T> Visited<T> {
    /// The proof that every network namespace of the host was looked into, if `is_whole` holds for each answer.
    pub fn looked(&self, is_whole: impl Fn(&T) -> bool) -> Option<Looked> {
        let is_complete = self.unseen.is_empty() && self.answers.iter().all(|(_, answer)| is_whole(answer));
        is_complete.then(Looked::everywhere)
    }

    /// The proof for those namespaces alone that `is_meant` names: nothing is anywhere else.
    pub fn looked_at(&self, is_meant: impl Fn(&T) -> bool, is_whole: impl Fn(&T) -> bool) -> Option<Looked> {
        let mut meant = self.answers.iter().map(|(_, answer)| answer).filter(|answer| is_meant(answer)).peekable();
        (meant.peek().is_some() && meant.all(is_whole)).then(Looked::everywhere)
    }
}

/// Enters each namespace, all with one thread, and asks there. What is asked is told when the oldest process in the
/// namespace started, where there is one.
pub fn visit<T: Send>(
    networks: &Networks,
    ask: impl Fn(&NetNamespace, Option<Timestamp>) -> T + Send + Sync,
) -> Visited<T> {
    let mut visited = Visited { answers: Vec::new(), unseen: networks.unseen.clone() };
    let oldest = |namespace: &NetNamespace| networks.oldest.get(&namespace.id().inode).copied();
    match netns::tour(&networks.list, |namespace| ask(namespace, oldest(namespace))) {
        Ok(answers) => {
            for (namespace, answer) in networks.list.iter().zip(answers) {
                match answer {
                    Ok(answer) => visited.answers.push((Arc::clone(namespace), answer)),
                    Err(error) => visited.unseen.push(unseen(with_causes(&error))),
                }
            }
        }
        Err(error) => visited.unseen.push(unseen(with_causes(&error))),
    }
    visited
}

/// A network namespace on its way to be opened.
enum Candidate {
    Open(NetNamespace),
    Closed(File),
}

/// Collects namespaces.
#[derive(Default)]
struct Collection {
    files: Vec<File>,
    positions: BTreeMap<u64, usize>,
    unseen: Vec<Unseen>,
    oldest: BTreeMap<u64, Timestamp>,
}

impl Networks {
    /// Those that were named, the tool's own, and none else.
    pub(super) fn named(named: Vec<NetNamespace>) -> Self {
        let mut networks = Networks::default();
        networks.add(named.into_iter().map(Candidate::Open).collect());
        networks
    }

    /// Adds those that processes are in, and those that have a name or a mount in the tool's own mount namespace.
    pub(super) fn add_processes(&mut self, processes: &Processes, own_pins: &[Pin]) {
        let mut collection = self.collection();
        collection.add_names();
        collection.add_own_mounts(own_pins);
        let denied = collection.add_processes(processes);
        self.take(collection);
        self.note_denied(denied);
    }

    /// Adds those that only a thread, a descriptor, or a mount in another mount namespace keeps.
    pub(super) fn add_hidden(&mut self, processes: &Processes, open: &Descriptors, tables: &Tables) {
        let mut collection = self.collection();
        collection.add_threads(processes);
        collection.add_new(open.namespaces(Kind::Network).cloned());
        collection.add_mounts(tables);
        self.take(collection);
        self.unseen.extend(tables.unseen.iter().cloned());
    }

    /// Those from this position on, with what could not be looked at.
    pub fn split_off(&mut self, at: usize) -> Networks {
        let list = self.list.split_off(at);
        Networks { list, unseen: std::mem::take(&mut self.unseen), oldest: self.oldest.clone() }
    }

    fn collection(&self) -> Collection {
        // All namespaces are on one filesystem, so the number alone tells them apart.
        let positions = self.list.iter().enumerate().map(|(at, namespace)| (namespace.id().inode, at)).collect();
        Collection { positions, ..Collection::default() }
    }

    fn take(&mut self, collection: Collection) {
        self.unseen.extend(collection.unseen);
        self.oldest.extend(collection.oldest);
        self.add(collection.files.into_iter().map(Candidate::Closed).collect());
    }

    fn add(&mut self, found: Vec<Candidate>) {
        let mut closed = Vec::new();
        for each in found {
            match each {
                Candidate::Open(namespace) => {
                    if !self.list.iter().any(|known| known.id() == namespace.id()) {
                        self.list.push(Arc::new(namespace));
                    }
                }
                Candidate::Closed(file) => closed.push(file),
            }
        }
        match netns::open_each(closed) {
            Ok(opened) => {
                for result in opened {
                    match result {
                        Ok(namespace) => self.list.push(Arc::new(namespace)),
                        // A namespace of another kind, or one that ended with its last process a moment ago.
                        Err(
                            Error::NotANetNamespace { .. } | Error::Open { source: Errno::NOENT | Errno::SRCH, .. },
                        ) => {}
                        Err(error) => self.unseen.push(unseen(with_causes(&error))),
                    }
                }
            }
            Err(error) => self.unseen.push(unseen(with_causes(&error))),
        }
    }

    /// A process that does not let its namespace be seen may be in one that is known: each has files of its own below
    /// `/proc/PID/net`.
    fn note_denied(&mut self, denied: Vec<&Process>) {
        if denied.is_empty() {
            return;
        }
        let mark = |_: &Arc<NetNamespace>| network_mark("thread-self");
        let marks = netns::tour(&self.list, mark).unwrap_or_default();
        let known: BTreeSet<u64> = marks.into_iter().filter_map(|mark| mark.ok().flatten()).collect();
        let is_known =
            |process: &&Process| network_mark(&process.pid.to_string()).is_some_and(|mark| known.contains(&mark));
        let hidden: Vec<&Process> = denied.into_iter().filter(|process| !is_known(process)).collect();
        if !hidden.is_empty() {
            self.unseen.push(unseen(not_permitted(&hidden)));
        }
    }
}

impl Collection {
    fn add(&mut self, file: File) {
        match self.positions.get(&file.inode) {
            Some(at) => {
                if let Some(known) = self.files.get_mut(*at) {
                    known.add_paths(file);
                }
            }
            None => {
                self.positions.insert(file.inode, self.files.len());
                self.files.push(file);
            }
        }
    }

    fn knows(&self, number: u64) -> bool {
        self.positions.contains_key(&number)
    }

    fn add_names(&mut self) {
        let entries = match std::fs::read_dir(NAMED).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unseen.push(unseen(format!("cannot list {NAMED}: {error}"))),
        };
        let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        let found = bounded::each(paths.clone(), |path: &PathBuf| File::find(path));
        for (path, found) in paths.iter().zip(found) {
            match found {
                Some(Ok(file)) => self.add(file),
                // A name whose mount is gone is an empty file; a link to a process that has ended leads nowhere.
                Some(Err(Error::NotANetNamespace { .. } | Error::Open { source: Errno::NOENT, .. })) => {}
                Some(Err(error)) => self.unseen.push(unseen(with_causes(&error))),
                None => self.unseen.push(unseen(format!("{} does not answer", path.display()))),
            }
        }
    }

    fn add_own_mounts(&mut self, pins: &[Pin]) {
        let pins: Vec<(u64, PathBuf)> = mounts::network_pins(pins)
            .into_iter()
            .flat_map(|(number, pins)| pins.into_iter().map(move |pin| (number, pin.mountpoint.clone())))
            .collect();
        let found = bounded::each(pins.clone(), |(number, path): &(u64, PathBuf)| of_number(path, *number));
        let mut missing = Vec::new();
        for ((number, path), found) in pins.into_iter().zip(found) {
            match found {
                Some(Ok(file)) => self.add(file),
                Some(Err(_)) => missing.push((number, path, "something else is mounted over it")),
                None => missing.push((number, path, "it does not answer")),
            }
        }
        // One that another mount leads to as well is not lost. Processes are asked next; what is left then is told by
        // the look at all mount tables.
        missing.retain(|(number, ..)| !self.knows(*number));
    }

    /// Adds those of processes, and gives the processes that do not let theirs be seen.
    fn add_processes<'a>(&mut self, processes: &'a Processes) -> Vec<&'a Process> {
        let mut denied = Vec::new();
        for process in &processes.list {
            match namespace::of_process(process.pid, Kind::Network) {
                Ok(Some(link)) => {
                    let started = process.started;
                    let is_first = !self.oldest.contains_key(&link.number);
                    let oldest = self.oldest.entry(link.number).or_insert(started);
                    *oldest = (*oldest).min(started);
                    // Of the many processes in a namespace one is enough.
                    if is_first {
                        self.add_link(link);
                    }
                }
                Ok(None) => {}
                Err(_) => denied.push(process),
            }
        }
        denied
    }

    fn add_threads(&mut self, processes: &Processes) {
        for process in processes.list.iter().filter(|process| process.threads > 1) {
            self.add_new(namespace::of_threads(process.pid, Kind::Network));
        }
    }

    fn add_new(&mut self, links: impl IntoIterator<Item = Link>) {
        for link in links {
            if !self.knows(link.number) {
                self.add_link(link);
            }
        }
    }

    /// What the text of a link below `/proc` names is a namespace, so that to open it touches no filesystem of others.
    fn add_link(&mut self, link: Link) {
        match File::find_link(&link.path) {
            Ok(file) if file.inode == link.number => self.add(file),
            // It has ended, or leads elsewhere by now.
            Ok(_) | Err(Error::NotANetNamespace { .. } | Error::Open { source: Errno::NOENT | Errno::SRCH, .. }) => {}
            Err(error) => self.unseen.push(unseen(with_causes(&error))),
        }
    }

    /// Adds what only mounts in other mount namespaces keep, and notes what none leads to.
    fn add_mounts(&mut self, tables: &Tables) {
        for (number, pins) in mounts::network_pins(&tables.pins) {
            if self.knows(number) {
                continue;
            }
            let places: Vec<(Option<MountNamespace>, PathBuf)> =
                pins.iter().map(|pin| (pin.within.clone(), pin.mountpoint.clone())).collect();
            let found = bounded::each(places, move |(within, path): &(Option<MountNamespace>, PathBuf)| match within {
                None => of_number(path, number).ok(),
                Some(namespace) => within_namespace(namespace, path, number),
            });
            match found.into_iter().flatten().flatten().next() {
                Some(file) => self.add(file),
                None => {
                    let place = pins.first().map_or_else(String::new, |pin| pin.describe());
                    self.unseen.push(unseen(format!("network namespace {number}, {place}, cannot be reached")));
                }
            }
        }
    }
}

/// Opens the namespace with this number at a mount point: something else may be mounted over it.
fn of_number(path: &Path, number: u64) -> Result<File, Error> {
    let file = File::find_exactly(path)?;
    if file.inode == number { Ok(file) } else { Err(Error::NotANetNamespace { path: path.to_owned() }) }
}

fn within_namespace(namespace: &MountNamespace, path: &Path, number: u64) -> Option<File> {
    let open = || {
        mounts::enter(namespace)?;
        of_number(path, number).map_err(|_| Errno::NOENT)
    };
    let mut file = mounts::on_own_thread(open).ok()?;
    // Its path means something else here.
    file.forget_paths();
    Some(file)
}

fn unseen(why: String) -> Unseen {
    Unseen { scope: Scope::Networks, why }
}

fn not_permitted(processes: &[&Process]) -> String {
    let advice = crate::system::privilege::advice(Capability::SysPtrace);
    format!("not permitted to see the network namespace of {}{advice}", super::process::listed(processes))
}
