// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Repeats in a record what the images say about residue, so that it can be found and judged without them.

use std::collections::BTreeSet;

use criu_images::TaskKobjIds;

use crate::carrier::name::FileMount;
use crate::checkpoint::{self, Checkpoint, MountRecord};
use crate::host;
use crate::json::Bytes;
use crate::kind::Residue;
use crate::memory::Randomisation;
use crate::mounts;
use crate::probe::Survey;
use crate::record::document::Link;
use crate::record::facts::{Ends, Facts, ImagesDirectory, LinkFacts, Memory, Mount, Namespaces, Task};
use crate::record::fields::{Device, Time};
use crate::system::machine;

/// What the images say about the links that are recorded, about the locks, and about the processes.
pub(super) fn facts(
    checkpoint: &Checkpoint,
    survey: &Survey,
    recorded: &[Link],
    images: Option<ImagesDirectory>,
) -> Facts {
    let recorded: BTreeSet<u32> = recorded.iter().map(|link| link.id).collect();
    let links: Vec<LinkFacts> = survey
        .findings
        .iter()
        .filter_map(|finding| link(&finding.residue))
        .filter(|link| recorded.contains(&link.id))
        .collect();
    let inventory = checkpoint.inventory.as_ref().map(|inventory| &inventory.entry);
    Facts {
        images,
        began: checkpoint.began.map(Time),
        since_boot: u64::try_from(machine::since_boot().as_micros()).unwrap_or(u64::MAX),
        time_namespace: host::own_time_namespace(),
        network_lock: inventory.and_then(|inventory| inventory.network_lock_method),
        external_network: checkpoint.network.external_key.clone().map(Bytes),
        root_pid: checkpoint.real_root_pid(),
        criu: inventory.and_then(|inventory| inventory.root_ids.as_ref()).map(namespaces),
        tasks: checkpoint.tasks.iter().map(task).collect(),
        mounts: needed_mounts(checkpoint, &links),
        links,
        connections: checkpoint.locked_sockets().map(|socket| Ends::from(socket.connection)).collect(),
    }
}

fn link(residue: &Residue) -> Option<LinkFacts> {
    // No other kind is recorded by this.
    let Residue::LinkRemap(link) = residue else { return None };
    let mount = match link.mount {
        FileMount::Id(id) => Some(id),
        FileMount::Shared | FileMount::ControlGroup | FileMount::Unknown => None,
    };
    let original = Bytes(link.original.clone()?);
    Some(LinkFacts { id: link.id, original, mode: link.mode, size: link.size, mount })
}

fn task(task: &checkpoint::Task) -> Task {
    Task {
        pid: task.pid,
        name: task.name.clone().map(Bytes),
        program: task.executable.clone().map(Bytes),
        memory: task.memory.map(|memory| Memory {
            start_code: memory.layout.start_code,
            start_stack: memory.layout.start_stack,
            start_brk: memory.layout.start_brk,
            is_random: memory.randomisation == Randomisation::On,
        }),
        namespaces: task.ids.as_ref().map(namespaces),
    }
}

fn namespaces(ids: &TaskKobjIds) -> Namespaces {
    Namespaces { pid: ids.pid_ns_id, network: ids.net_ns_id, mount: ids.mnt_ns_id }
}

/// The mounts of the links, and the root mount of the tree, which tells one container from another.
fn needed_mounts(checkpoint: &Checkpoint, links: &[LinkFacts]) -> Vec<Mount> {
    let of_links: BTreeSet<u32> = links.iter().filter_map(|link| link.mount).collect();
    let is_root = |record: &MountRecord| {
        Some(record.namespace) == checkpoint.root_mount_namespace() && mounts::mountpoint(&record.entry) == b"/"
    };
    let is_needed = |(id, record): &(&u32, &MountRecord)| of_links.contains(id) || is_root(record);
    checkpoint.mounts.iter().filter(is_needed).map(|(_, record)| mount(record)).collect()
}

fn mount(record: &MountRecord) -> Mount {
    let entry = &record.entry;
    Mount {
        namespace: record.namespace,
        id: entry.mnt_id,
        parent: entry.parent_mnt_id,
        kind: entry.fstype,
        name: entry.fsname.clone().map(Bytes),
        device: Device(entry.device()),
        root: Bytes(entry.root.clone()),
        mountpoint: Bytes(entry.mountpoint.clone()),
        source: Bytes(entry.source.clone()),
        options: Bytes(entry.options.clone()),
        has_plugin: entry.with_plugin,
        is_external: entry.ext_mount,
        is_deleted: entry.deleted,
        key: entry.ext_key.clone().map(Bytes),
    }
}
