// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that a killed restore left: ended by a descriptor of the process, never by a number.

use std::time::Duration;

use super::Outcome;
use crate::causes::with_causes;
use crate::host;
use crate::system::task;
use crate::tree::{LiveTask, Role, Stranded};

/// How long a process may take to end after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTask {
    /// The process.
    pub task: LiveTask,
    /// How long after the boot it started.
    pub after_boot: Duration,
    /// What it was in the restore.
    pub role: Role,
}

impl From<&Stranded> for FoundTask {
    fn from(stranded: &Stranded) -> Self {
        FoundTask { task: stranded.task.clone(), after_boot: stranded.after_boot, role: stranded.role }
    }
}

impl FoundTask {
    /// Whether this is the same process.
    pub fn is(&self, stranded: &Stranded) -> bool {
        (self.task.pid, self.after_boot) == (stranded.task.pid, stranded.after_boot)
    }
}

/// Ends the processes. All of them are killed before any is waited for: a parent may end its children.
pub(crate) fn end(tasks: &[FoundTask]) -> Vec<Outcome> {
    let killed: Vec<Result<Option<task::Task>, String>> = tasks.iter().map(kill).collect();
    let wait = |killed: Result<Option<task::Task>, String>| match killed {
        Ok(Some(task)) if task.has_ended_within(PATIENCE) => Outcome::Removed,
        Ok(Some(_)) => Outcome::Failed("it does not end".to_owned()),
        Ok(None) => Outcome::AlreadyGone,
        Err(why) => Outcome::Failed(why),
    };
    killed.into_iter().map(wait).collect()
}

/// The descriptor is opened first: what is compared after that is the process that gets the signal.
fn kill(found: &FoundTask) -> Result<Option<task::Task>, String> {
    let Some(task) = task::Task::open(found.task.pid).map_err(|error| with_causes(&error))? else { return Ok(None) };
    if !host::is_same_process(found.task.pid, found.after_boot) {
        return Ok(None);
    }
    let was_there = task.kill().map_err(|error| with_causes(&error))?;
    Ok(was_there.then_some(task))
}
