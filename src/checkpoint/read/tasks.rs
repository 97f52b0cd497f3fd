// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tasks of a checkpoint, from the tree's image and those of each task.

use std::collections::HashMap;

use criu_images::{CoreEntry, ImageKind, MmEntry, PstreeEntry, TaskKobjIds};

use super::super::problem::ReadError;
use super::Reader;
use crate::checkpoint::budget::Fact;
use crate::checkpoint::{DumpedMemory, Record, Task};
use crate::memory::{MemoryLayout, Randomisation};

impl Reader<'_> {
    /// The tasks, and the id of the program of each.
    pub(super) fn tasks(&mut self) -> Result<(Vec<Task>, HashMap<u32, u32>), ReadError> {
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
}

fn memory(mm: &MmEntry, personality: u32) -> Option<DumpedMemory> {
    let layout =
        MemoryLayout { start_code: mm.mm_start_code?, start_stack: mm.mm_start_stack?, start_brk: mm.mm_start_brk? };
    Some(DumpedMemory { layout, randomisation: Randomisation::of_personality(personality) })
}
