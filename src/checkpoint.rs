// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A checkpoint: the facts in its images that matter for its residue, and how complete they are.
//!
//! Every fact has its place in the images. Missing facts stay missing: nothing is guessed, and a query can return
//! "unknown".

mod budget;
#[cfg(test)]
pub(crate) mod example;
mod from_record;
mod ghosts;
pub mod log;
mod problem;
mod read;
mod restores;
mod times;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use criu_images::{
    GhostFileEntry, ImageKind, ImageVersion, Inventory, MntEntry, NetworkLock, RegFileEntry, Remap, RemapFilePathEntry,
    TaskKobjIds, UnixSkEntry,
};

use crate::connection::Connection;
use crate::evidence::Evidence;
use crate::memory::{MemoryLayout, Randomisation};
use crate::record::Beside;
use crate::system::author::Author;
use crate::system::dir::InodeId;
use crate::time::Timestamp;

pub use from_record::{from_record, restore_of};
pub use log::{Detail, FinalState, Freezing, LogFacts, LogFile, LoggedGroup, LoggedLock, Obstacle, Rollback};
pub use problem::{ImageProblem, ImageProblemKind, Odd, Oddity, ReadError};
pub use read::{Condition, Identity, LivingFacts, Lock, Outline, PathEnd, identify, living_facts, outline, read};
pub use restores::{BrokenRestore, FailedRestore, RestoredInto, Restores, Teller};
pub use times::{DumpSpan, ImageTimes};

/// A checkpoint as its images, and the log beside them, describe it.
#[derive(Debug)]
pub struct Checkpoint {
    /// Whether the images are whole.
    pub completeness: Completeness,
    /// `inventory.img`, which CRIU writes last; `None` after a dump that failed or was killed.
    pub inventory: Option<Record<Inventory>>,
    /// When the images that name residue were last written, by what they say themselves.
    pub written: Option<Timestamp>,
    /// When the dump began, as far as that is known: what it left was not there before.
    pub began: Option<Timestamp>,
    /// No later than this they were written. It is another time where `written` is the word of an archive's maker.
    pub written_until: Option<Timestamp>,
    /// The same for each of them.
    pub times: ImageTimes,
    /// Who may have written the images.
    pub author: Author,
    /// Who may have taken a file away from where the images, logs and statistics are. What is missing there is their
    /// word: that no restore was noted, above all.
    pub absence: Author,
    /// How the dump ended.
    pub ending: Ending,
    /// The remaps of `remap-fpath.img`.
    pub remaps: Vec<RemapRecord>,
    /// Link remaps that `remap-fpath.img` lacks, by the shape of their two entries among the files.
    pub shaped: Vec<RemapRecord>,
    /// The files without a name that the tree of an interrupted dump has open now, with the name that each had.
    pub held: HashMap<InodeId, Vec<u8>>,
    /// The upper directory of the container's root directory, by this host's engine; only of an interrupted dump, whose
    /// images may not have their mounts yet.
    pub layer: Option<Vec<u8>>,
    /// Link remaps to which only the log of an interrupted dump leads.
    pub logged_links: Vec<LoggedLink>,
    /// How many link remaps are in the directories of that log.
    pub link_counts: Option<LinkCounts>,
    /// The regular files that remaps and tasks refer to, by file id.
    pub files: HashMap<u32, FileRecord>,
    /// What the ghost files of the remaps looked like, by ghost id.
    pub ghosts: HashMap<u32, GhostRecord>,
    /// The TCP sockets that have a peer.
    pub sockets: Vec<SocketRecord>,
    /// The Unix sockets whose path was deleted.
    pub deleted_sockets: Vec<UnixSocketRecord>,
    /// The mounts of all mount namespaces of the tree, by mount id.
    pub mounts: BTreeMap<u32, MountRecord>,
    /// The processes of the tree, its root first.
    pub tasks: Vec<Task>,
    /// What the images know of the root task's network namespace.
    pub network: Network,
    /// What the dump's log adds.
    pub log: LogFacts,
    /// The log that proves that the dump failed and that CRIU took back what it had done.
    pub rolled_back: Option<String>,
    /// Who may have written the dump's log, and its name.
    pub log_file: Option<LogFile>,
    /// What is known of restores from these images.
    pub restores: Restores,
    /// The record that criu-gc made when the tree was dumped.
    pub record: Beside,
    /// Which generation of image files this is.
    pub layout: Layout,
    /// What CRIU would not have written so.
    pub odd: Odd,
    /// Images that end too early, and what else was noticed.
    pub problems: Vec<ImageProblem>,
}

/// In which network namespace a dump locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkScope {
    /// CRIU's own: each connection by itself.
    Criu,
    /// One of the tree's own, as a whole.
    Own,
    /// The images do not tell.
    Unknown,
}

/// Whether all that CRIU writes is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// The dump finished, and no image ends too early.
    Complete,
    /// The dump failed or was killed, or an image is cut: there may be residue that no image names.
    Incomplete,
}

/// How a dump ended, as far as that is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It came to its end, or nothing proves that it did not.
    Unknown,
    /// CRIU ended before it wrote the inventory, so the images cannot be restored.
    Interrupted,
    /// The machine stopped before the content of the files was on the disk.
    PowerLost,
}

/// A link remap to which only the log of an interrupted dump leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedLink {
    /// N of `link_remap.N`.
    pub id: u32,
    /// The link, absolute, as the tree saw it.
    pub path: Vec<u8>,
    /// The file that it stands for, where the tree still has it open.
    pub original: Option<Vec<u8>>,
    /// Its inode number.
    pub inode: u64,
    /// The last change of the inode.
    pub changed: Timestamp,
    /// The line of the log that leads to its directory.
    pub evidence: Evidence,
}

/// How many link remaps are in the directories that the log of an interrupted dump names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// All of them.
    pub on_disk: usize,
    /// Those that images name.
    pub by_images: usize,
    /// Those to which the log leads.
    pub by_log: usize,
    /// The first few of the others.
    pub others: Vec<Vec<u8>>,
    /// Whether the log names each directory where the dump can have made a link, and all were looked at.
    pub is_complete: bool,
}

impl LinkCounts {
    /// Whether every link that the dump can have made is known.
    pub fn is_settled(&self) -> bool {
        self.is_complete && self.by_neither() == 0
    }

    /// Those that neither images nor the log lead to.
    pub fn by_neither(&self) -> usize {
        self.on_disk.saturating_sub(self.by_images + self.by_log)
    }
}

/// The generation of image files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// All open files in `files.img`: 3.4 and later.
    #[default]
    Files,
    /// One image a kind of file, `reg-files.img`, `inetsk.img` and so on: before 3.4.
    OnePerKind,
}

/// An entry of an image with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<T> {
    /// The entry.
    pub entry: T,
    /// Where it stands.
    pub evidence: Evidence,
}

/// A remap entry with its place.
pub type RemapRecord = Record<RemapFilePathEntry>;
/// A regular file with its place.
pub type FileRecord = Record<RegFileEntry>;
/// A Unix socket with its place.
pub type UnixSocketRecord = Record<UnixSkEntry>;
/// What a ghost file looked like, with its place.
pub type GhostRecord = Record<GhostFileEntry>;

/// An open file that had no name left, whose content is in an image of its own. The dump leaves nothing of it outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedGhost {
    /// The name that it had last, as the tree saw it; `None` where the images were cut.
    pub name: Option<Vec<u8>>,
    /// The image with its content.
    pub image: String,
}

/// A TCP socket with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketRecord {
    /// Its two ends.
    pub connection: Connection,
    /// Where it stands.
    pub evidence: Evidence,
}

/// A mount of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct MountRecord {
    /// The mount.
    pub entry: MntEntry,
    /// CRIU's number of the mount namespace.
    pub namespace: u32,
    /// Where it stands.
    pub evidence: Evidence,
}

/// A process of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Its pid, in the pid namespace in which it was dumped.
    pub pid: u32,
    /// Its `comm`, where a core image tells it.
    pub name: Option<Vec<u8>>,
    /// Its program, as the tree saw it.
    pub executable: Option<Vec<u8>>,
    /// How its memory was laid out.
    pub memory: Option<DumpedMemory>,
    /// CRIU's numbers of its namespaces.
    pub ids: Option<TaskKobjIds>,
}

/// How the memory of a dumped process was laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpedMemory {
    /// The addresses.
    pub layout: MemoryLayout,
    /// Whether the process was one with random addresses.
    pub randomisation: Randomisation,
}

/// What the images know of the network namespace of the root task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The key under which it was external (`--external net[INODE]:KEY`); then nothing else is recorded.
    pub external_key: Option<Vec<u8>>,
    /// Its devices, without the loopback one.
    pub devices: Vec<Device>,
    /// The addresses of these devices.
    pub addresses: Vec<DeviceAddress>,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its index in the namespace.
    pub index: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// Its hardware address; empty where it has none.
    pub hardware_address: Vec<u8>,
}

/// An address of a network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAddress {
    /// Index of the device.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
}

/// What shows that a restore from these images succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreEvidence {
    /// The file that shows it.
    pub file: String,
    /// When that file was written.
    pub written: Timestamp,
}

/// The run id of a dump: a UUID, and so usable in a table's name as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId {
    /// The 36 characters.
    pub text: String,
}

impl RunId {
    /// `None` unless `bytes` are a UUID as CRIU prints it.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let is_uuid = bytes.len() == 36
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        is_uuid.then(|| RunId { text: bytes.iter().map(|byte| char::from(*byte)).collect() })
    }
}

impl Checkpoint {
    /// When the dump was made, where the images tell.
    pub fn span(&self) -> Option<DumpSpan> {
        let span = DumpSpan { began: self.began?, ended: self.written?.latest() };
        (span.began <= span.ended).then_some(span)
    }

    /// No later than this the dump began, by the birth of its first image: what is older was there before it.
    pub fn began_exactly(&self) -> Option<Timestamp> {
        self.times.first_of_all()
    }

    /// Whether these are the images of a `pre-dump`, which leaves nothing. Its inventory says how memory was read, or has
    /// version 0. It writes no tasks and no files: with any of those, the images of an earlier dump are there as well.
    pub fn is_pre_dump(&self) -> bool {
        let says_so = |inventory: &Inventory| inventory.img_version == 0 || inventory.pre_dump_mode.is_some();
        let has_files = !self.remaps.is_empty() || !self.files.is_empty() || !self.sockets.is_empty();
        self.inventory.as_ref().is_some_and(|inventory| says_so(&inventory.entry))
            && self.tasks.is_empty()
            && !has_files
    }

    /// Whether entries of files may be missing because an image ends too early, or the dump never finished.
    pub fn may_lack_files(&self) -> bool {
        let ends_early = |problem: &ImageProblem| {
            let is_of_files = matches!(problem.image.as_str(), "files.img" | "reg-files.img");
            is_of_files && matches!(problem.kind, ImageProblemKind::Cut(_) | ImageProblemKind::Missing)
        };
        self.inventory.is_none() || self.problems.iter().any(ends_early)
    }

    /// Whether no restore from these images is possible, for certain.
    pub fn is_interrupted(&self) -> bool {
        match self.ending {
            Ending::Interrupted | Ending::PowerLost => true,
            Ending::Unknown => false,
        }
    }

    /// Whether this version supports the format of the images.
    pub fn is_of_known_version(&self) -> bool {
        let is_known = |inventory: &Inventory| !matches!(inventory.version(), ImageVersion::Unknown(_));
        self.inventory.as_ref().is_none_or(|inventory| is_known(&inventory.entry))
    }

    /// Whether the images are from before 3.4.
    pub fn is_older_than_3_4(&self) -> bool {
        self.layout == Layout::OnePerKind
    }

    /// How the network was locked; `None` where the inventory is missing.
    pub fn network_lock(&self) -> Option<NetworkLock> {
        self.inventory.as_ref().map(|inventory| inventory.entry.network_lock())
    }

    /// The run id, from the inventory (since 4.1), else from the log.
    pub fn run_id(&self) -> Option<RunId> {
        match &self.inventory {
            Some(inventory) => RunId::new(inventory.entry.dump_criu_run_id.as_deref()?),
            None => self.log.run_id.clone(),
        }
    }

    /// Whether the inventory has a run id that CRIU would not have written so.
    pub fn has_odd_run_id(&self) -> bool {
        let id = self.inventory.as_ref().and_then(|inventory| inventory.entry.dump_criu_run_id.as_deref());
        id.is_some_and(|id| RunId::new(id).is_none())
    }

    /// What distinguishes the dump from all others.
    pub fn identity(&self) -> Identity {
        Identity { run_id: self.run_id().map(|id| id.text), written: self.written }
    }

    /// The pid of the root task as CRIU saw it, where it can be known: by it 3.16 to 4.0 name the nftables table.
    pub fn real_root_pid(&self) -> Option<u32> {
        if self.shares_pid_namespace() == Some(true) { Some(self.tasks.first()?.pid) } else { self.log.root_pid }
    }

    /// Whether the pids of the images are those of CRIU's own pid namespace.
    pub fn shares_pid_namespace(&self) -> Option<bool> {
        self.shares(|ids| ids.pid_ns_id)
    }

    /// In which network namespace the dump locked: compared as `criu restore` compares (`criu/pstree.c`).
    pub fn network_scope(&self) -> NetworkScope {
        match self.shares(|ids| ids.net_ns_id) {
            Some(true) => NetworkScope::Criu,
            Some(false) => NetworkScope::Own,
            None => NetworkScope::Unknown,
        }
    }

    /// Whether the network namespace was the tree's own, and none that an engine gave to it: CRIU records the key of an
    /// external one, and whole images have none.
    pub fn has_own_network(&self) -> bool {
        self.network.external_key.is_none()
            && self.completeness == Completeness::Complete
            && self.network_scope() == NetworkScope::Own
    }

    /// Whether a restore that failed may have locked another network namespace than the dump did: the images have none, and
    /// CRIU locks the one that it is given.
    pub fn may_have_locked_elsewhere(&self) -> bool {
        match self.restores.into {
            RestoredInto::Container => false,
            RestoredInto::Anywhere => !self.is_interrupted() && !self.has_own_network(),
        }
    }

    /// Whether the tree had mount namespaces of its own.
    pub fn has_own_mount_namespace(&self) -> bool {
        match self.shares(|ids| ids.mnt_ns_id) {
            Some(shared) => !shared,
            // Without an inventory: CRIU writes mount ids and mount points only of namespaces that it dumps.
            None => !self.mounts.is_empty() || self.mounts_of_files().next().is_some(),
        }
    }

    /// The mounts that files of the tree are on, by their ids. In an interrupted dump these are the kernel's.
    pub fn mounts_of_files(&self) -> impl Iterator<Item = u32> {
        self.files.values().filter_map(|file| file.entry.mount_id())
    }

    /// CRIU's number of the root task's mount namespace.
    pub fn root_mount_namespace(&self) -> Option<u32> {
        self.root_ids()?.mnt_ns_id
    }

    /// The sockets whose connections the dump locked one by one: all with a peer, in whatever state and namespace,
    /// unless connections were closed by `--tcp-close`.
    pub fn locked_sockets(&self) -> impl Iterator<Item = &SocketRecord> {
        let closes = self.inventory.as_ref().is_some_and(|inventory| inventory.entry.tcp_close == Some(true));
        self.sockets.iter().filter(move |_| !closes)
    }

    /// The files whose content the images hold: those that had no name left, and those of which no link could be made
    /// (deleted files of an overlay's lower directories, since 3.17).
    pub fn ghost_files(&self) -> impl Iterator<Item = DumpedGhost> {
        self.remaps.iter().filter_map(|record| {
            let Remap::Ghost { ghost_id } = record.entry.remap() else { return None };
            let name = self.files.get(&record.entry.orig_id).map(|file| file.entry.name.clone());
            Some(DumpedGhost { name, image: ImageKind::GhostFile.file_name(ghost_id) })
        })
    }

    /// What says how and where the network was locked.
    pub fn network_evidence(&self) -> Vec<Evidence> {
        self.inventory.iter().map(|inventory| inventory.evidence.clone()).collect()
    }

    fn root_ids(&self) -> Option<&TaskKobjIds> {
        self.tasks.first()?.ids.as_ref()
    }

    fn shares(&self, id: impl Fn(&TaskKobjIds) -> Option<u32>) -> Option<bool> {
        let criu = self.inventory.as_ref()?.entry.root_ids.as_ref()?;
        Some(id(criu)? == id(self.root_ids()?)?)
    }
}

#[cfg(test)]
mod tests;
