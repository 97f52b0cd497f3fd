// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes of a restore that was killed: tasks that never ran, and CRIU's own daemons. They keep pids, control groups,
//! network namespaces and ports. Nothing is lost with them, because the images are whole; but they are processes, so the
//! user has to ask for their end (`--kill`).

use super::{Basis, Claims, Description, Kind, LeftBy, Target};
use crate::carrier::{FoundTask, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;
use crate::tree::Role;

/// A process of a restore that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfRestored;

const SHAPE_OF_TASK: &str = "that it has this restore open, blocks all signals, and waits for a criu that is gone";
const SHAPE_OF_HELPER: &str = "that it is a criu of these images, has no children, and waits for a criu that is gone";

impl Kind for HalfRestored {
    type Found = FoundTask;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(_: &Checkpoint, claims: &mut Claims) {
        claims.add(HalfRestored);
    }

    fn evidence(&self) -> &[Evidence] {
        &[]
    }

    fn query(&self) -> Query {
        Query::Tasks
    }

    /// That it must be asked for is an objection to everything that depends on it, too: the plan has it.
    fn objections(&self, _: &FoundTask, _: &Basis<'_>) -> Vec<KeepReason> {
        Vec::new()
    }

    fn describe(&self, found: Option<&FoundTask>) -> Description {
        let name = found.map(|found| found.task.name.clone()).unwrap_or_default();
        let (label, shape) = match found.map(|found| found.role) {
            Some(Role::Task) | None => ("Half-restored process", SHAPE_OF_TASK),
            Some(Role::Helper) => ("Stray criu process", SHAPE_OF_HELPER),
        };
        Description {
            kind: "half-restored-process",
            fields: vec![("name", name.clone().into()), ("recognised_by", shape.into())],
            label,
            name,
            target: Target::None,
            remark: None,
            recognised: Some(shape),
        }
    }
}
