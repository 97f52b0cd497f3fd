// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A checkpoint whose images are gone, as its record describes it.
//!
//! The record repeats what the images said, so everything that reads a checkpoint works as it does with images. It
//! names only what it identifies: links that existed when it was made, and locks of its network namespace.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use criu_images::{Inventory, MntEntry, NetworkLock, RegFileEntry, RemapFilePathEntry, TaskKobjIds};

use super::budget::{Budget, Fact};
use super::{
    Checkpoint, Completeness, DumpedMemory, Ending, ImageProblem, ImageProblemKind, ImageTimes, Layout, LogFacts,
    MountRecord, Network, Odd, ReadError, Record, RestoreEvidence, Restores, SocketRecord, Task,
};
use crate::evidence::Evidence;
use crate::memory::{MemoryLayout, Randomisation};
use crate::record::facts::{self, Namespaces};
use crate::record::{self, Beside, Boot, RecordFile};
use crate::system::author::Author;

/// The ids of the files that links stand for: CRIU counts its own from 1.
const FIRST_ORIGINAL: u32 = 0x8000_0000;
/// The remap type `LINKED`.
const LINKED: i32 = 0;
/// A version of the image format, and not 0, which would mean a pre-dump.
const IMAGE_VERSION: u32 = 2;

/// The checkpoint of a record.
pub fn from_record(file: &RecordFile) -> Result<Checkpoint, ReadError> {
    charge(file)?;
    let record = file.record();
    let written = file.document.dump.images_written.map(|written| written.0);
    let mut checkpoint = Checkpoint {
        completeness: Completeness::Complete,
        inventory: Some(Record { entry: inventory(file), evidence: evidence(file, "dump", 0) }),
        written,
        began: file.facts.began.map(|began| began.0),
        written_until: written,
        times: ImageTimes::default(),
        author: file.author,
        // With the images, every trace of a restore beside them is gone.
        absence: Author::Anybody,
        ending: Ending::Unknown,
        remaps: Vec::new(),
        shaped: Vec::new(),
        held: HashMap::new(),
        layer: None,
        logged_links: Vec::new(),
        link_counts: None,
        files: HashMap::new(),
        ghosts: HashMap::new(),
        sockets: sockets(file),
        deleted_sockets: Vec::new(),
        mounts: mounts(file),
        tasks: file.facts.tasks.iter().map(task).collect(),
        network: Network { external_key: file.facts.external_network.clone().map(|key| key.0), ..Network::default() },
        log: LogFacts { root_pid: file.facts.root_pid, ..LogFacts::default() },
        restores: Restores { succeeded: restore_of(&record), ..Restores::default() },
        rolled_back: None,
        log_file: None,
        odd: Odd::default(),
        record: Beside::Found(Box::new(record)),
        layout: Layout::Files,
        problems: file.document.not_recorded.iter().map(|what| problem(file, what.clone())).collect(),
    };
    add_links(&mut checkpoint, file);
    Ok(checkpoint)
}

/// The same limit as for images: anybody may have written the record.
fn charge(file: &RecordFile) -> Result<(), ReadError> {
    let mut budget = Budget::default();
    let links = file.document.links.len().max(file.facts.links.len());
    let (tasks, mounts, connections) = (file.facts.tasks.len(), file.facts.mounts.len(), file.facts.connections.len());
    for (fact, count) in
        [(Fact::Remap, links), (Fact::Task, tasks), (Fact::Mount, mounts), (Fact::Connection, connections)]
    {
        (0..count).try_for_each(|_| budget.charge(fact, 0))?;
    }
    Ok(())
}

/// The restore that a record notes.
pub fn restore_of(record: &record::Record) -> Option<RestoreEvidence> {
    record.restored().map(|written| RestoreEvidence { file: record.name.clone(), written })
}

/// What the record does not name is not known to be gone.
fn problem(file: &RecordFile, what: String) -> ImageProblem {
    ImageProblem { image: file.path().display().to_string(), kind: ImageProblemKind::NotRecorded(what) }
}

/// An entry of a list in the record.
fn evidence(file: &RecordFile, list: &str, index: usize) -> Evidence {
    let name = file.path().file_name().unwrap_or_default().to_string_lossy();
    Evidence { image: Arc::from(format!("{name} ({list})").as_str()), record: index as u64, offset: 0 }
}

fn inventory(file: &RecordFile) -> Inventory {
    Inventory::default().with(|inventory| {
        inventory.img_version = IMAGE_VERSION;
        inventory.root_ids = file.facts.criu.map(ids);
        inventory.network_lock_method = Some(lock_method(file));
        inventory.dump_criu_run_id = file.document.dump.run_id.clone().map(String::into_bytes);
    })
}

/// Rules and chains ended with their boot, and so did tables; but the name of a table can identify one that was saved.
fn lock_method(file: &RecordFile) -> u32 {
    let method = file.facts.network_lock.unwrap_or(NetworkLock::Iptables.into());
    let is_signed = method == u32::from(NetworkLock::Nftables) && file.document.dump.run_id.is_some();
    if file.boot == Boot::This || is_signed { method } else { NetworkLock::Skip.into() }
}

fn sockets(file: &RecordFile) -> Vec<SocketRecord> {
    let connections = file.facts.connections.iter().enumerate();
    let socket = |(at, ends): (usize, &facts::Ends)| SocketRecord {
        connection: (*ends).into(),
        evidence: evidence(file, "connections", at),
    };
    connections.map(socket).collect()
}

fn ids(namespaces: Namespaces) -> TaskKobjIds {
    TaskKobjIds::default().with(|ids| {
        ids.pid_ns_id = namespaces.pid;
        ids.net_ns_id = namespaces.network;
        ids.mnt_ns_id = namespaces.mount;
    })
}

fn task(task: &facts::Task) -> Task {
    let memory = task.memory.map(|facts::Memory { start_code, start_stack, start_brk, is_random }| DumpedMemory {
        layout: MemoryLayout { start_code, start_stack, start_brk },
        randomisation: if is_random { Randomisation::On } else { Randomisation::Off },
    });
    Task {
        pid: task.pid,
        name: task.name.clone().map(|name| name.0),
        executable: task.program.clone().map(|program| program.0),
        memory,
        ids: task.namespaces.map(ids),
    }
}

fn mounts(file: &RecordFile) -> BTreeMap<u32, MountRecord> {
    let mounts = file.facts.mounts.iter().enumerate();
    let record = |(at, mount): (usize, &facts::Mount)| {
        let evidence = evidence(file, "mounts", at);
        (mount.id, MountRecord { entry: mount_entry(mount), namespace: mount.namespace, evidence })
    };
    mounts.map(record).collect()
}

fn mount_entry(mount: &facts::Mount) -> MntEntry {
    let (major, minor) = mount.device.0;
    MntEntry::default().with(|entry| {
        entry.fstype = mount.kind;
        entry.fsname = mount.name.clone().map(|name| name.0);
        entry.mnt_id = mount.id;
        entry.parent_mnt_id = mount.parent;
        entry.root_dev = (major << 20) | (minor & 0x000f_ffff);
        entry.root = mount.root.0.clone();
        entry.mountpoint = mount.mountpoint.0.clone();
        entry.source = mount.source.0.clone();
        entry.options = mount.options.0.clone();
        entry.with_plugin = mount.has_plugin;
        entry.ext_mount = mount.is_external;
        entry.ext_key = mount.key.clone().map(|key| key.0);
        entry.deleted = mount.is_deleted;
    })
}

/// Each link as the three entries that name it in images.
fn add_links(checkpoint: &mut Checkpoint, file: &RecordFile) {
    let said: HashMap<u32, &facts::LinkFacts> = file.facts.links.iter().map(|link| (link.id, link)).collect();
    let links = file.document.links.iter().enumerate();
    for ((at, link), original_id) in links.zip(FIRST_ORIGINAL..) {
        let Some(said) = said.get(&link.id) else {
            let what = format!("it does not say what {} stands for", String::from_utf8_lossy(&link.link.0));
            checkpoint.problems.push(problem(file, what));
            continue;
        };
        let evidence = evidence(file, "links", at);
        let remap = RemapFilePathEntry::default().with(|remap| {
            remap.orig_id = original_id;
            remap.remap_id = link.id;
            remap.remap_type = Some(LINKED);
        });
        let of_link = RegFileEntry::default().with(|entry| {
            entry.id = link.id;
            entry.name.clone_from(&link.link.0);
        });
        let of_original = RegFileEntry::default().with(|entry| {
            entry.id = original_id;
            entry.name.clone_from(&said.original.0);
            entry.mnt_id = said.mount.and_then(|mount| i32::try_from(mount).ok());
            entry.size = said.size;
            entry.mode = said.mode;
        });
        checkpoint.remaps.push(Record { entry: remap, evidence: evidence.clone() });
        for entry in [of_link, of_original] {
            checkpoint.files.insert(entry.id, Record { entry, evidence: evidence.clone() });
        }
    }
}
