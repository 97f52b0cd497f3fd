// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mounts of a checkpoint.

use std::collections::{BTreeMap, HashSet};

use criu_images::{ImageKind, MntEntry};

use super::super::problem::ReadError;
use super::Reader;
use crate::checkpoint::budget::Fact;
use crate::checkpoint::{MountRecord, Oddity, Task};
use crate::evidence::Evidence;

impl Reader<'_> {
    /// The mounts of the tree's namespaces. Other tables are of an earlier dump into the same directory, which CRIU
    /// does not empty, and their ids may have been reused since.
    pub(super) fn mounts(&mut self, tasks: &[Task]) -> Result<BTreeMap<u32, MountRecord>, ReadError> {
        let mut mounts = BTreeMap::new();
        let mut odd: Vec<(u32, Evidence)> = Vec::new();
        let own: HashSet<u32> = tasks.iter().filter_map(|task| task.ids.as_ref()?.mnt_ns_id).collect();
        let tables = self.images.ids(ImageKind::Mountpoints);
        for namespace in tables.into_iter().filter(|namespace| own.is_empty() || own.contains(namespace)) {
            self.records(namespace, |entry: MntEntry, evidence, _, budget| {
                let names = [&entry.root, &entry.mountpoint, &entry.source, &entry.options];
                budget.charge(Fact::Mount, names.iter().map(|name| name.len()).sum::<usize>() / 2)?;
                let id = entry.mnt_id;
                if mounts.insert(id, MountRecord { entry, namespace, evidence: evidence.clone() }).is_some() {
                    odd.push((id, evidence));
                }
                Ok(())
            })?;
        }
        // Which of two mounts with one id is meant is not known.
        for (id, evidence) in odd {
            mounts.remove(&id);
            self.note_odd(Oddity::SameMountId, evidence);
        }
        Ok(mounts)
    }
}
