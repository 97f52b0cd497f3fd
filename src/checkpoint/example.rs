// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checkpoints made by hand, for unit tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use criu_images::{Inventory, MntEntry, RegFileEntry, RemapFilePathEntry, TaskKobjIds};

use super::{Checkpoint, Completeness, ImageTimes, Layout, LogFacts, MountRecord, Network, Record, SocketRecord, Task};
use crate::connection::Connection;
use crate::evidence::Evidence;
use crate::record::Beside;
use crate::system::author::Author;
use crate::time::Timestamp;

/// The run id of the example.
pub(crate) const RUN_ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// Namespaces that a task has in common with criu; each kind has another number.
pub(crate) const SHARED: TaskKobjIds = TaskKobjIds {
    pid_ns_id: Some(1),
    net_ns_id: Some(2),
    ipc_ns_id: Some(3),
    uts_ns_id: Some(4),
    mnt_ns_id: Some(5),
    user_ns_id: Some(6),
    cgroup_ns_id: Some(7),
    time_ns_id: Some(8),
};

/// The place of a record; its offset is a hundred times its number.
pub(crate) fn evidence(image: &str, record: u64) -> Evidence {
    Evidence { image: Arc::from(image), record, offset: record * 100 }
}

/// A whole checkpoint without residue: of one task that shares all namespaces with criu, written at second 1000.
pub(crate) fn checkpoint() -> Checkpoint {
    let inventory = Inventory {
        img_version: 2,
        root_ids: Some(SHARED),
        network_lock_method: Some(0),
        dump_criu_run_id: Some(RUN_ID.into()),
        ..Inventory::default()
    };
    let task = Task {
        pid: 100,
        name: Some(b"job".to_vec()),
        executable: Some(b"/usr/bin/job".to_vec()),
        memory: None,
        ids: Some(SHARED),
    };
    Checkpoint {
        completeness: Completeness::Complete,
        inventory: Some(Record { entry: inventory, evidence: evidence("inventory.img", 0) }),
        written: Some(Timestamp::new(1000, 0)),
        began: Some(Timestamp::new(990, 0)),
        written_until: Some(Timestamp::new(1000, 0)),
        times: ImageTimes::default(),
        author: Author::Trusted,
        absence: Author::Trusted,
        remaps: Vec::new(),
        files: HashMap::new(),
        sockets: Vec::new(),
        mounts: BTreeMap::new(),
        tasks: vec![task],
        network: Network::default(),
        log: LogFacts::default(),
        restored: None,
        record: Beside::Nothing,
        layout: Layout::Files,
        problems: Vec::new(),
    }
}

impl Checkpoint {
    /// The inventory, which must be there.
    pub(crate) fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory.as_mut().unwrap().entry
    }

    /// The namespaces of the root task, which must be known.
    pub(crate) fn ids_mut(&mut self) -> &mut TaskKobjIds {
        self.tasks[0].ids.as_mut().unwrap()
    }

    /// Adds a regular file, as record number `id` of `files.img`.
    pub(crate) fn add_file(&mut self, entry: RegFileEntry) {
        let evidence = evidence("files.img", u64::from(entry.id));
        self.files.insert(entry.id, Record { entry, evidence });
    }

    /// Adds a remap.
    pub(crate) fn add_remap(&mut self, orig_id: u32, remap_id: u32, remap_type: Option<i32>) {
        let evidence = evidence("remap-fpath.img", self.remaps.len() as u64);
        self.remaps.push(Record { entry: RemapFilePathEntry { orig_id, remap_id, remap_type }, evidence });
    }

    /// Adds a TCP socket.
    pub(crate) fn add_socket(&mut self, local: &str, peer: &str) {
        let connection = Connection { local: local.parse().unwrap(), peer: peer.parse().unwrap() };
        let evidence = evidence("files.img", 50 + self.sockets.len() as u64);
        self.sockets.push(SocketRecord { connection, evidence });
    }

    /// Adds a mount to the mount namespace with CRIU's number `namespace`.
    pub(crate) fn add_mount(&mut self, namespace: u32, entry: MntEntry) {
        let image = format!("mountpoints-{namespace}.img");
        let evidence = evidence(&image, self.mounts.len() as u64);
        self.mounts.insert(entry.mnt_id, MountRecord { entry, namespace, evidence });
    }
}
