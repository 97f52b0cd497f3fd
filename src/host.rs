// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A read-only snapshot of the host: its processes, its mount and network namespaces, and what could not be read.
//!
//! criu-gc takes one for each look, and another right before a removal. Each part is read when first needed, and never
//! twice. Everything else queries the snapshot; nothing else reads `/proc` about other processes.

mod bounded;
mod channel;
mod criu;
mod descriptors;
mod directory;
mod enter;
pub mod frozen;
mod holders;
mod layers;
pub mod living;
mod locks;
mod loops;
mod mounts;
pub mod names;
mod namespace;
mod network;
mod proc;
mod process;
mod sockets;
mod standing;
mod stat;
mod unmounted;
mod unseen;
mod watched;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::memory::Randomisation;
use crate::system::dir::InodeId;
use crate::system::mount::UnknownUser;
use crate::system::netns::{self, NetNamespace, NetworkName};
use crate::time::Timestamp;

pub use bounded::each as bounded_each;
pub use channel::Sender;
pub use directory::{Absence, OnlyPlace, Sight, look_in};
pub use enter::{EnterError, enter};
pub use layers::{Found, Hidden, HiddenBy, Layers};
pub use locks::{Holder, holder_of_lock};
pub use mounts::{Extent, HostMounts, MountNamespace, MountTables, Wanted, own_mount, own_mounts_at};
pub use names::{Depth, Names, Sighting, Start};
pub use network::{Networks, Visited, visit};
pub use process::{Process, Processes, is_same_process};
pub use standing::{DumpTrace, Nested, ProcessView, Shared, Standing, has_other_mounts};
pub use unmounted::{Seen, Unmounted};
pub use unseen::{Looked, Scope, Unseen};
pub use watched::{MountPoints, Next, PATIENCE, PATIENCE_FOR_DEVICES, Watched, answer, does_not_answer, patience_with};

/// The picture.
#[derive(Debug)]
pub struct Host {
    processes: Arc<Processes>,
    standing: Standing,
    wanted: Wanted,
    descriptors: OnceCell<descriptors::Descriptors>,
    tables: OnceCell<mounts::Tables>,
}

impl Host {
    /// Looks at the processes; the rest is looked at when it is asked for. Of mounts only those that are wanted are.
    pub fn look(wanted: Wanted) -> Self {
        let processes = Processes::read().unwrap_or_default();
        let standing = Standing::find(&processes);
        Host { processes: Arc::new(processes), standing, wanted, descriptors: OnceCell::new(), tables: OnceCell::new() }
    }

    /// The processes.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// From where this is seen.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// How criu-gc can see what the host sees, where it sees something else.
    pub fn advice(&self, dump: &DumpTrace) -> Option<&'static str> {
        self.standing.advice(dump)
    }

    /// Why processes or namespaces of the dump may be where they do not show.
    pub fn hidden_from(&self, dump: &DumpTrace) -> Option<Unseen> {
        self.standing.shows_all_of(dump).err()
    }

    /// The mounts that are wanted, of all mount namespaces. `dump` tells where CRIU ran.
    pub fn mounts(&self, dump: &DumpTrace) -> HostMounts {
        let tables = self.tables();
        let held = holders::of(&self.processes, tables.unmounted(&self.wanted.tmpfs));
        HostMounts { held, ..HostMounts::new(tables, self.hidden_from(dump), self.lasting(dump)) }
    }

    /// The mounts that are wanted, without a checkpoint in mind.
    pub fn mount_tables(&self) -> MountTables<'_> {
        let mounts::Tables { own, others, unseen, .. } = self.tables();
        MountTables { own, others, unseen }
    }

    /// Devices whose filesystem has been mounted since before the dump: that of the root directory, if process 1, which
    /// has the same one, is older.
    fn lasting(&self, dump: &DumpTrace) -> BTreeSet<(u32, u32)> {
        let first = self.processes.get(1).filter(|_| self.standing.mounts == Shared::Yes);
        let is_older = first.is_some_and(|first| dump.written.is_some_and(|written| first.started <= written.latest()));
        mounts::device_of_root().filter(|_| is_older).into_iter().collect()
    }

    /// The network namespaces that were named, and the tool's own.
    pub fn named_networks(&self, named: Vec<NetNamespace>) -> Networks {
        Networks::named(named)
    }

    /// Adds the network namespaces that processes are in, or that have a name or a mount here.
    pub fn add_networks(&self, networks: &mut Networks) {
        networks.add_processes(&self.processes, &mounts::own_pins());
    }

    /// The network namespaces that some processes and their threads are in, by inode number; `None` where one of them
    /// does not let itself be seen.
    pub fn networks_of(&self, pids: impl IntoIterator<Item = u32>) -> Option<BTreeSet<u64>> {
        let mut networks = BTreeSet::new();
        for pid in pids {
            let of_threads = namespace::of_threads(pid, namespace::Kind::Network);
            let of_process = namespace::of_process(pid, namespace::Kind::Network).ok()??;
            networks.extend(of_threads.into_iter().chain([of_process]).map(|link| link.number));
        }
        Some(networks)
    }

    /// The processes in each network namespace, by its inode number, but threads of the kernel.
    pub fn inhabitants(&self) -> BTreeMap<u64, Vec<u32>> {
        let mut inhabitants: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for process in self.processes.list.iter().filter(|process| !process.is_kernel_thread) {
            if let Ok(Some(link)) = namespace::of_process(process.pid, namespace::Kind::Network) {
                inhabitants.entry(link.number).or_default().push(process.pid);
            }
        }
        inhabitants
    }

    /// Adds all others: then what is in none of them is nowhere, unless something is unseen.
    pub fn add_hidden_networks(&self, networks: &mut Networks, dump: &DumpTrace) {
        networks.add_hidden(&self.processes, self.descriptors(), self.tables());
        networks.unseen.extend(sockets::look(&self.processes, self.descriptors(), &networks.list));
        networks.unseen.extend(self.hidden_from(dump));
    }

    /// The mount namespace of process 1, where it is not the tool's own.
    pub fn first_mounts(&self) -> Option<MountNamespace> {
        match self.standing.mounts {
            Shared::No => mounts::of_first(),
            Shared::Yes | Shared::Unknown => None,
        }
    }

    /// Every other mount namespace that can be seen.
    pub fn other_mounts(&self) -> Vec<MountNamespace> {
        self.tables().others.iter().map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Whether process 1 started after that: the machine, or the container that this is, was started since.
    pub fn is_younger_than(&self, time: Timestamp) -> bool {
        self.processes.get(1).is_some_and(|first| first.started > time)
    }

    /// Opens a network namespace once more, that was found before.
    pub fn open_network(&self, name: &NetworkName) -> Option<Arc<NetNamespace>> {
        if let Some(namespace) = netns::reopen(name) {
            return Some(Arc::new(namespace));
        }
        let mut networks = Networks::default();
        self.add_networks(&mut networks);
        let has_id = |namespace: &&Arc<NetNamespace>| namespace.id() == name.id;
        if !networks.list.iter().any(|namespace| namespace.id() == name.id) {
            networks.add_hidden(&self.processes, self.descriptors(), self.tables());
        }
        networks.list.iter().find(has_id).cloned()
    }

    /// The sockets of each of these processes, by descriptor and inode number; `None` where they are not known.
    pub fn sockets_of(&self, pids: &[u32]) -> Vec<Option<Vec<(i32, u64)>>> {
        self.descriptors().sockets_of(pids)
    }

    /// Whether a process has a directory open, of which the inode and the path are known.
    pub fn holds_open(&self, process: &Process, path: &Path, inode: u64) -> bool {
        descriptors::holds_open(process, path, inode)
    }

    /// The files without a name that processes have open or mapped, with the name that each had, as far as it can be seen.
    pub fn deleted_files(&self, pids: impl IntoIterator<Item = u32>) -> HashMap<InodeId, Vec<u8>> {
        descriptors::deleted_files(pids.into_iter().collect())
    }

    /// Which of these processes have one of these inodes open or mapped that lost the name by which they know it; and those
    /// processes that do not answer.
    pub fn holders_of_deleted(
        &self,
        pids: impl IntoIterator<Item = u32>,
        wanted: HashSet<InodeId>,
    ) -> (Vec<(u32, Vec<InodeId>)>, Vec<u32>) {
        descriptors::holders_of_deleted(pids.into_iter().collect(), wanted)
    }

    /// Processes of other mount namespaces that have something mounted at this path or below, one for each namespace; also
    /// one whose mounts it may not see.
    pub fn users_of_mounts_at(&self, path: &Path) -> Vec<u32> {
        let mut seen: BTreeSet<u64> = namespace::number_of("/proc/self/ns/mnt").into_iter().collect();
        let is_other = |process: &&Process| match namespace::of_process(process.pid, namespace::Kind::Mount) {
            Ok(Some(link)) => seen.insert(link.number),
            Ok(None) => false,
            Err(_) => true,
        };
        let processes = self.processes.list.iter().filter(|process| !process.is_kernel_thread);
        processes
            .filter(is_other)
            .filter(|process| process.may_have_mounts_at(path))
            .map(|process| process.pid)
            .collect()
    }

    /// What tells which process has the block device with a number open, or why that is not known.
    pub fn device_users(&self) -> Arc<dyn Fn(u64) -> Result<Option<u32>, UnknownUser> + Send + Sync> {
        let processes = Arc::clone(&self.processes);
        Arc::new(move |number| descriptors::user_of_device(&processes, number))
    }

    fn descriptors(&self) -> &descriptors::Descriptors {
        self.descriptors.get_or_init(|| descriptors::Descriptors::read(&self.processes))
    }

    fn tables(&self) -> &mounts::Tables {
        self.tables.get_or_init(|| mounts::Tables::read(&self.processes, self.descriptors(), &self.wanted))
    }
}

/// The number of the pid namespace of this process.
pub fn own_pid_namespace() -> Option<u64> {
    namespace::number_of("/proc/self/ns/pid")
}

/// The number of the time namespace of this process: each has its own time since boot. `None` before Linux 5.6.
pub fn own_time_namespace() -> Option<u64> {
    namespace::number_of("/proc/self/ns/time")
}

/// Whether the kernel gives programs random addresses.
pub fn randomisation() -> Randomisation {
    let setting = std::fs::read("/proc/sys/kernel/randomize_va_space").unwrap_or_default();
    match setting.first() {
        Some(b'1' | b'2') => Randomisation::On,
        _ => Randomisation::Off,
    }
}

/// A file of the tool's own, by its descriptor.
fn own_descriptor(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_fd().as_raw_fd()))
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
