// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the images of a checkpoint.
//!
//! An image that ends too early is what a killed dump leaves: what stands before the end is used, and the checkpoint
//! is called incomplete. Anything else that is wrong with an image is an error, and then none of them is used.
//! One record is in memory at a time; only what residue can be told from is kept.

mod files;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criu_images::{
    CoreEntry, DumpStats, Entry, ImageKind, ImageReader, ImageVersion, Inventory, MmEntry, MntEntry, NetDeviceEntry,
    NetDeviceType, NetNsEntry, PstreeEntry, Remap, StatsEntry, TaskKobjIds,
};

use self::files::Files;
use super::budget::{Budget, Fact};
use super::{
    Checkpoint, Completeness, Device, DeviceAddress, DumpedMemory, ImageProblem, ImageProblemKind, ImageTimes,
    LogFacts, MountRecord, Network, Record, RemapRecord, RestoreEvidence, Task, ghosts, log,
};
use crate::evidence::Evidence;
use crate::locate::{ImageFile, Images, Written};
use crate::memory::{MemoryLayout, Randomisation};
use crate::record::{self, Beside, ImagesId};
use crate::system::author::Author;
use crate::system::dir::FileError;
use crate::system::machine;
use crate::time::Timestamp;

/// An image buffer: few reads even for images of hundreds of megabytes.
const BUFFER: usize = 256 * 1024;
/// An `ip addr save` of more than this describes no network namespace of a container.
const ADDRESSES_LIMIT: u64 = 16 * 1024 * 1024;

/// Why the images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image is not what its name says, or holds what CRIU never writes.
    #[error("{}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong, and where.
        source: criu_images::Error,
    },
    /// The images name more than any dump leaves.
    #[error("the images name more than can be looked for in {limit} MiB of memory: no dump leaves so much")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
    /// An entry contradicts itself.
    #[error("{}: record {} at offset {} {text}", path.display(), evidence.record, evidence.offset)]
    Entry {
        /// The image.
        path: PathBuf,
        /// The entry.
        evidence: Evidence,
        /// What is wrong, as the end of a sentence that begins with the entry.
        text: &'static str,
    },
}

/// Reads what the checkpoint's images and logs say.
pub fn read(images: &Images) -> Result<Checkpoint, ReadError> {
    let mut reader = Reader {
        images,
        problems: Vec::new(),
        times: ImageTimes::default(),
        author: Author::Trusted,
        now: machine::now(),
        budget: Budget::default(),
    };
    let inventory = reader.inventory()?;
    let remaps: Vec<RemapRecord> = reader.all(0, Fact::Remap)?;
    let (mut tasks, programs) = reader.tasks()?;
    let wanted = wanted_files(&remaps, &programs);
    let Files { files, sockets, layout, link_remaps, socket_inodes, is_empty } = reader.files(&wanted)?;
    let ghosts = ghosts::read(images, &remaps, &mut reader.author, &mut reader.budget)?;
    let absence = images.absence();
    let end = reader.end_of_dump()?;
    // Of what somebody else can take away, that it was there once proves nothing.
    if end.is_none() || absence != Author::Trusted {
        reader.note_lacking_links(&remaps, &link_remaps);
    }
    if end.is_none() {
        reader.note_lacking_sockets(&socket_inodes);
    }
    for task in &mut tasks {
        let program = programs.get(&task.pid).and_then(|id| files.get(id));
        task.executable = program.map(|file| file.entry.name.clone());
    }
    let mounts = reader.mounts(&tasks)?;
    let network = reader.network(tasks.first())?;
    let restored = reader.restore_evidence()?;
    let log = reader.dump_log(inventory.as_ref())?;
    let lacks_files = is_empty && (!tasks.is_empty() || !remaps.is_empty());
    reader.note_missing(inventory.as_ref(), lacks_files);
    let completeness = if reader.problems.is_empty() { Completeness::Complete } else { Completeness::Incomplete };
    let mut checkpoint = Checkpoint {
        completeness,
        inventory,
        written: reader.times.last().map(|written| written.said),
        began: reader.began(end),
        written_until: reader.times.last().map(|written| written.until),
        times: reader.times,
        author: reader.author,
        absence,
        remaps,
        files,
        ghosts,
        sockets,
        mounts,
        tasks,
        network,
        log,
        restored,
        record: Beside::Nothing,
        layout,
        problems: reader.problems,
    };
    let run_id = checkpoint.run_id().map(|id| id.text);
    let id = ImagesId { run_id: run_id.as_deref(), written: checkpoint.written };
    if let Some(directory) = images.directory() {
        checkpoint.record = record::read(directory, id);
    }
    Ok(checkpoint)
}

/// The statistics of a dump that came to its end.
struct EndOfDump {
    written: Timestamp,
    statistics: DumpStats,
}

struct Reader<'a> {
    images: &'a Images,
    problems: Vec<ImageProblem>,
    times: ImageTimes,
    author: Author,
    now: Timestamp,
    budget: Budget,
}

impl Reader<'_> {
    /// Calls `each` with every record of an image. A missing image has no records; a cut one is noted.
    fn records<E: Entry>(
        &mut self,
        id: u32,
        mut each: impl FnMut(E, Evidence, criu_images::ByteOrder, &mut Budget) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let kind = E::KIND;
        let name = kind.file_name(id);
        let Some(file) = self.images.image(&name)? else { return Ok(()) };
        self.author = self.author.or(file.author);
        self.times.note_first(file.written);
        if matches!(kind, ImageKind::Inventory | ImageKind::Files | ImageKind::RegFiles | ImageKind::RemapFilePath) {
            self.times.add(&name, file.written, self.now);
        }
        let budget = &mut self.budget;
        let mut each = |entry, evidence, order| each(entry, evidence, order, budget);
        match read_records(&name, file, &mut each) {
            Ok(()) => Ok(()),
            Err(Failure::Image(error)) if error.is_truncation() => {
                self.problems.push(ImageProblem { image: name, kind: ImageProblemKind::Cut(error) });
                Ok(())
            }
            Err(Failure::Image(source)) => Err(ReadError::Image { path: self.images.path().join(&name), source }),
            Err(Failure::Entry(error)) => Err(error),
        }
    }

    /// All records of an image, each charged as such a fact.
    fn all<E: Entry>(&mut self, id: u32, fact: Fact) -> Result<Vec<Record<E>>, ReadError> {
        let mut records = Vec::new();
        self.records(id, |entry, evidence, _, budget| {
            budget.charge(fact, 0)?;
            records.push(Record { entry, evidence });
            Ok(())
        })?;
        Ok(records)
    }

    fn first<E: Entry>(&mut self, id: u32) -> Result<Option<Record<E>>, ReadError> {
        let mut first = None;
        self.records(id, |entry, evidence, _, _| {
            first.get_or_insert(Record { entry, evidence });
            Ok(())
        })?;
        Ok(first)
    }

    /// Images of a version that is not known may mean anything; CRIU refuses them too.
    fn inventory(&mut self) -> Result<Option<Record<Inventory>>, ReadError> {
        let inventory = self.first::<Inventory>(0)?;
        if let Some(found) = &inventory
            && matches!(found.entry.version(), ImageVersion::Unknown(_))
        {
            const TEXT: &str = "is of a version of the image format that this criu-gc does not know";
            return Err(entry_error(self.images.path(), found.evidence.clone(), TEXT));
        }
        Ok(inventory)
    }

    /// The tasks, and the id of the program of each.
    fn tasks(&mut self) -> Result<(Vec<Task>, HashMap<u32, u32>), ReadError> {
        let (mut tasks, mut programs) = (Vec::new(), HashMap::new());
        let tree: Vec<Record<PstreeEntry>> = self.all(0, Fact::Task)?;
        let mut pids: Vec<u32> = tree.iter().map(|task| task.entry.pid).collect();
        if pids.is_empty() {
            // A dump that was killed early: every process has its ids image before the tree's own is complete.
            pids = self.images.ids(ImageKind::Ids);
            pids.iter().try_for_each(|_| self.budget.charge(Fact::Task, 0))?;
        }
        for pid in pids {
            let ids: Option<Record<TaskKobjIds>> = self.first(pid)?;
            let core: Option<Record<CoreEntry>> = self.first(pid)?;
            let (legacy_ids, task) = match core {
                Some(core) => (core.entry.ids, core.entry.tc),
                None => (None, None),
            };
            let personality = task.as_ref().and_then(|task| task.personality).unwrap_or_default();
            let name = task.map(|task| task.comm);
            let mm: Option<Record<MmEntry>> = self.first(pid)?;
            let memory = mm.as_ref().and_then(|mm| memory(&mm.entry, personality));
            if let Some(mm) = mm {
                programs.insert(pid, mm.entry.exe_file_id);
            }
            let ids = ids.map(|ids| ids.entry).or(legacy_ids);
            tasks.push(Task { pid, name, executable: None, memory, ids });
        }
        Ok((tasks, programs))
    }

    /// The mounts of the tree's namespaces. Other tables are of an earlier dump into the same directory, which CRIU
    /// does not empty, and their ids may have been given anew since.
    fn mounts(&mut self, tasks: &[Task]) -> Result<BTreeMap<u32, MountRecord>, ReadError> {
        let mut mounts = BTreeMap::new();
        let path = self.images.path().to_owned();
        let own: HashSet<u32> = tasks.iter().filter_map(|task| task.ids.as_ref()?.mnt_ns_id).collect();
        let tables = self.images.ids(ImageKind::Mountpoints);
        for namespace in tables.into_iter().filter(|namespace| own.is_empty() || own.contains(namespace)) {
            self.records(namespace, |entry: MntEntry, evidence, _, budget| {
                let names = [&entry.root, &entry.mountpoint, &entry.source, &entry.options];
                budget.charge(Fact::Mount, names.iter().map(|name| name.len()).sum::<usize>() / 2)?;
                let id = entry.mnt_id;
                match mounts.insert(id, MountRecord { entry, namespace, evidence: evidence.clone() }) {
                    None => Ok(()),
                    Some(_) => Err(entry_error(&path, evidence, "has the id of another mount")),
                }
            })?;
        }
        Ok(mounts)
    }

    fn network(&mut self, root: Option<&Task>) -> Result<Network, ReadError> {
        let mut network = Network::default();
        let Some(id) = root.and_then(|root| root.ids.as_ref()?.net_ns_id) else { return Ok(network) };
        if let Some(namespace) = self.first::<NetNsEntry>(id)? {
            network.external_key = namespace.entry.ext_key;
        }
        self.records(id, |device: NetDeviceEntry, _, _, budget| {
            budget.charge(Fact::Interface, device.name.len() + device.address.len())?;
            if device.device_type() != NetDeviceType::Loopback {
                let hardware_address = device.address;
                network.devices.push(Device { index: device.ifindex, name: device.name, hardware_address });
            }
            Ok(())
        })?;
        let devices: HashSet<u32> = network.devices.iter().map(|device| device.index).collect();
        let addresses = self.interface_addresses(id)?;
        network.addresses = addresses.into_iter().filter(|address| devices.contains(&address.index)).collect();
        Ok(network)
    }

    fn interface_addresses(&mut self, id: u32) -> Result<Vec<DeviceAddress>, ReadError> {
        let name = criu_images::interface_addresses_file_name(id);
        let Some(file) = self.images.image(&name)? else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        if file.take(ADDRESSES_LIMIT).read_to_end(&mut bytes).is_err() {
            return Ok(Vec::new());
        }
        // These addresses only ever add a tie to a namespace; an image that cannot be read adds none.
        let (addresses, error) = criu_images::interface_addresses(&bytes);
        if error.is_some() {
            return Ok(Vec::new());
        }
        Ok(addresses.into_iter().map(|found| DeviceAddress { index: found.ifindex, address: found.address }).collect())
    }

    /// A dump writes `stats-dump` when all images are written (`cr_dump_finish` in `criu/cr-dump.c`).
    fn end_of_dump(&mut self) -> Result<Option<EndOfDump>, ReadError> {
        let Some(file) = self.images.work_file("stats-dump")? else { return Ok(None) };
        let Some(Written { said: written, .. }) = file.written else { return Ok(None) };
        // Whoever may have written it but not the images has no say in whether they are whole.
        let is_believed = self.author.or(file.author) == self.author && self.is_later(written);
        let statistics = statistics(file).and_then(|statistics| statistics.dump).filter(|_| is_believed);
        Ok(statistics.map(|statistics| EndOfDump { written, statistics }))
    }

    /// What the dump left was made while the tree stood still, and the statistics are written right after that. Without
    /// them the images themselves are the only clock, and a second has to be enough for what came before the first.
    fn began(&self, end: Option<EndOfDump>) -> Option<Timestamp> {
        const SLACK: Duration = Duration::from_millis(20);
        const UNKNOWN: Duration = Duration::from_secs(1);
        match end {
            Some(EndOfDump { written, statistics }) => {
                let micros = |time: Option<u32>| Duration::from_micros(time.unwrap_or_default().into());
                let took = micros(statistics.freezing_time) + micros(statistics.frozen_time);
                Some(written.minus(took + SLACK))
            }
            None => self.times.first_of_all().map(|first| first.minus(UNKNOWN)),
        }
    }

    /// Whether something was written after the images, as far as is known.
    fn is_later(&self, written: Timestamp) -> bool {
        self.times.last().is_none_or(|images| images.said <= written.latest())
    }

    /// A restore writes `stats-restore` only when it succeeded (`criu/stats.c`). Older ones than the images are from
    /// an earlier use of the directory.
    fn restore_evidence(&mut self) -> Result<Option<RestoreEvidence>, ReadError> {
        for name in ["stats-restore", "restore.log"] {
            let Some(file) = self.images.work_file(name)? else { continue };
            let Some(Written { said: written, .. }) = file.written else { continue };
            if self.is_later(written) && shows_restore(name, file) {
                return Ok(Some(RestoreEvidence { file: name.into(), written }));
            }
        }
        Ok(None)
    }

    /// The log of the dump. One whose run id is not the inventory's is of another run in the same directory: then the
    /// images may be a mixture, and nothing of the log is used.
    fn dump_log(&mut self, inventory: Option<&Record<Inventory>>) -> Result<LogFacts, ReadError> {
        let name = "dump.log";
        let file = match self.images.work_file(name) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(LogFacts::default()),
            // CRIU lets only its own user read it. It is a hint, and whoever may not read it can be told the rest.
            Err(error) if error.is_not_permitted() => {
                self.problems.push(ImageProblem { image: name.into(), kind: ImageProblemKind::NotPermitted });
                return Ok(LogFacts::default());
            }
            Err(error) => return Err(error.into()),
        };
        let author = file.author;
        let Ok(facts) = log::read(BufReader::with_capacity(BUFFER, file)) else { return Ok(LogFacts::default()) };
        let recorded = inventory.and_then(|inventory| inventory.entry.dump_criu_run_id.as_deref());
        if let (Some(logged), Some(recorded)) = (&facts.run_id, recorded)
            && logged.text.as_bytes() != recorded
        {
            self.problems.push(ImageProblem { image: name.into(), kind: ImageProblemKind::OtherRun });
            return Ok(LogFacts::default());
        }
        self.author = self.author.or(author);
        Ok(facts)
    }

    /// An image that ends between two records looks whole. That it is not can be told from other images, where they
    /// have what it should name.
    fn note_lacking_links(&mut self, remaps: &[RemapRecord], link_remaps: &[u32]) {
        let linked: HashSet<u32> = remaps
            .iter()
            .filter_map(|remap| {
                let Remap::Linked { file_id } = remap.entry.remap() else { return None };
                Some(file_id)
            })
            .collect();
        let links = link_remaps.iter().filter(|id| !linked.contains(id)).count();
        if links > 0 {
            let image = ImageKind::RemapFilePath.file_name(0);
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::LacksLinkRemaps { count: links } });
        }
    }

    /// The same for the sockets of connections.
    fn note_lacking_sockets(&mut self, sockets: &HashSet<u32>) {
        let queues = self.images.ids(ImageKind::TcpStream).into_iter().filter(|inode| !sockets.contains(inode)).count();
        if queues > 0 {
            let image = ImageKind::Files.file_name(0);
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::LacksSockets { count: queues } });
        }
    }

    /// Every process has files open, its program at least. A pre-dump writes none of them.
    fn note_missing(&mut self, inventory: Option<&Record<Inventory>>, lacks_files: bool) {
        let is_pre_dump = inventory.is_some_and(|inventory| inventory.entry.img_version == 0);
        if inventory.is_none() {
            self.note_missing_image(ImageKind::Inventory);
        }
        if lacks_files && !is_pre_dump {
            self.note_missing_image(ImageKind::Files);
        }
    }

    fn note_missing_image(&mut self, kind: ImageKind) {
        let image = kind.file_name(0);
        if !self.problems.iter().any(|problem| problem.image == image) {
            self.problems.push(ImageProblem { image, kind: ImageProblemKind::Missing });
        }
    }
}

enum Failure {
    Image(criu_images::Error),
    Entry(ReadError),
}

fn read_records<E: Entry>(
    name: &str,
    file: ImageFile,
    each: &mut impl FnMut(E, Evidence, criu_images::ByteOrder) -> Result<(), ReadError>,
) -> Result<(), Failure> {
    let reader = ImageReader::open(BufReader::with_capacity(BUFFER, file)).map_err(Failure::Image)?;
    let order = reader.byte_order();
    let image: Arc<str> = name.into();
    for record in reader {
        let record = record.map_err(Failure::Image)?;
        let evidence = Evidence { image: Arc::clone(&image), record: record.index, offset: record.offset };
        each(record.entry, evidence, order).map_err(Failure::Entry)?;
    }
    Ok(())
}

/// The ids of the files to keep.
fn wanted_files(remaps: &[RemapRecord], programs: &HashMap<u32, u32>) -> HashSet<u32> {
    let mut wanted: HashSet<u32> = programs.values().copied().collect();
    for remap in remaps {
        match remap.entry.remap() {
            Remap::Linked { file_id } => wanted.extend([file_id, remap.entry.orig_id]),
            Remap::Ghost { .. } => wanted.extend([remap.entry.orig_id]),
            Remap::Procfs { .. } | Remap::Unknown { .. } | _ => {}
        }
    }
    wanted
}

fn memory(mm: &MmEntry, personality: u32) -> Option<DumpedMemory> {
    let layout =
        MemoryLayout { start_code: mm.mm_start_code?, start_stack: mm.mm_start_stack?, start_brk: mm.mm_start_brk? };
    Some(DumpedMemory { layout, randomisation: Randomisation::of_personality(personality) })
}

fn shows_restore(name: &str, file: ImageFile) -> bool {
    let file = BufReader::with_capacity(BUFFER, file);
    if name.ends_with(".log") {
        return log::read(file).is_ok_and(|facts| facts.restore_finished);
    }
    statistics(file).is_some_and(|statistics| statistics.restore.is_some())
}

fn statistics(file: impl Read) -> Option<StatsEntry> {
    let record = ImageReader::open(file).ok()?.next()?;
    Some(record.ok()?.entry)
}

fn entry_error(directory: &std::path::Path, evidence: Evidence, text: &'static str) -> ReadError {
    ReadError::Entry { path: directory.join(&*evidence.image), evidence, text }
}
