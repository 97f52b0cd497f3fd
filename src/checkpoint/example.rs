// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Handmade checkpoints, for unit tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use criu_images::{Inventory, MntEntry, RegFileEntry, RemapFilePathEntry, TaskKobjIds};

use super::{
    BrokenRestore, Checkpoint, Completeness, Ending, ImageTimes, Layout, LogFacts, MountRecord, Network, Odd, Record,
    Restores, SocketRecord, Task,
};
use crate::connection::Connection;
use crate::evidence::Evidence;
use crate::record::Beside;
use crate::system::author::Author;
use crate::time::Timestamp;

/// The run id of the example.
pub(crate) const RUN_ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// Namespaces that a task has in common with criu; each kind has another number.
fn shared() -> TaskKobjIds {
    TaskKobjIds::default().with(|ids| {
        ids.pid_ns_id = Some(1);
        ids.net_ns_id = Some(2);
        ids.ipc_ns_id = Some(3);
        ids.uts_ns_id = Some(4);
        ids.mnt_ns_id = Some(5);
        ids.user_ns_id = Some(6);
        ids.cgroup_ns_id = Some(7);
        ids.time_ns_id = Some(8);
    })
}

/// The place of a record; its offset is a hundred times its number.
pub(crate) fn evidence(image: &str, record: u64) -> Evidence {
    Evidence { image: Arc::from(image), record, offset: record * 100 }
}

/// A restore that was killed, without control groups.
pub(crate) fn broken_restore() -> BrokenRestore {
    BrokenRestore {
        log: evidence("restore.log", 0),
        ended: Timestamp::new(1101, 0),
        has_locked: false,
        groups: Vec::new(),
        bound: Vec::new(),
    }
}

/// A whole checkpoint without residue: of one task that shares all namespaces with criu, written at second 1000.
pub(crate) fn checkpoint() -> Checkpoint {
    let inventory = Inventory::default().with(|inventory| {
        inventory.img_version = 2;
        inventory.root_ids = Some(shared());
        inventory.network_lock_method = Some(0);
        inventory.dump_criu_run_id = Some(RUN_ID.into());
    });
    let task = Task {
        pid: 100,
        name: Some(b"job".to_vec()),
        executable: Some(b"/usr/bin/job".to_vec()),
        memory: None,
        ids: Some(shared()),
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
        ending: Ending::Unknown,
        remaps: Vec::new(),
        shaped: Vec::new(),
        held: HashMap::new(),
        layer: None,
        logged_links: Vec::new(),
        link_counts: None,
        files: HashMap::new(),
        ghosts: HashMap::new(),
        sockets: Vec::new(),
        deleted_sockets: Vec::new(),
        mounts: BTreeMap::new(),
        tasks: vec![task],
        network: Network::default(),
        log: LogFacts::default(),
        rolled_back: None,
        log_file: None,
        restores: Restores::default(),
        record: Beside::Nothing,
        layout: Layout::Files,
        odd: Odd::default(),
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
        let entry = RemapFilePathEntry::default().with(|remap| {
            remap.orig_id = orig_id;
            remap.remap_id = remap_id;
            remap.remap_type = remap_type;
        });
        self.remaps.push(Record { entry, evidence });
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
