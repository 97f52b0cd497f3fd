// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What runc keeps of a container that it checkpointed, if it was killed before it could forget it: a state that says the
//! container has ended, and the empty file `checkpoint`. While it is there, no container can have that id, not even the
//! restored one. It is runc's, so it is shown and never removed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::causes::with_causes;
use crate::host::{self, Host};
use crate::json::shell_word;
use crate::locate::Given;
use crate::locate::engines::oci_runtime::{self, Checkpointed};
use crate::time::Timestamp;

/// Where runc keeps its states unless it is told otherwise.
const DEFAULT: &str = "/run/runc";

/// Such a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptState(Checkpointed);

/// Those of containers that have ended, and what could not be read. One that runs was checkpointed with `--leave-running`.
pub(crate) fn look(host: &Host) -> (Vec<KeptState>, Vec<String>) {
    let place = Path::new("/run");
    match host::answer(&[place], oci_runtime::checkpointed) {
        Some(Ok((found, unread))) => {
            let ended = found.into_iter().filter(|container| !runs(host, container)).map(KeptState);
            (ended.collect(), unread.iter().map(|error| with_causes(error)).collect())
        }
        Some(Err(error)) => (Vec::new(), vec![with_causes(&error)]),
        None => (Vec::new(), vec![host::does_not_answer(place)]),
    }
}

/// A process that cannot be read may be that of the container.
fn runs(host: &Host, container: &Checkpointed) -> bool {
    let (pid, ticks) = container.process;
    let started = Duration::from_millis(ticks.saturating_mul(10));
    let processes = host.processes();
    processes.unreadable.contains(&pid) || processes.get(pid).is_some_and(|process| process.after_boot == started)
}

/// What is to be said of the one whose bundle has these images.
pub(crate) fn note(host: &Host, given: &Given) -> Option<String> {
    let (images, _) = given.directory_and_inode()?;
    let images = images.location().ok()?;
    let is_its = |state: &KeptState| state.0.bundle.as_ref().is_some_and(|bundle| images.starts_with(bundle));
    let (states, _) = look(host);
    let state = states.into_iter().find(is_its)?;
    let command = String::from_utf8_lossy(&state.command()).into_owned();
    Some(format!("runc was killed before it forgot this container, which has ended; to restore it, first: {command}"))
}

impl KeptState {
    pub(crate) fn directory(&self) -> &Path {
        &self.0.directory
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.0.since
    }

    /// What makes runc forget it. It refuses to if the container runs after all.
    pub(crate) fn command(&self) -> Vec<u8> {
        let word = |part: Option<&OsStr>| shell_word(part.unwrap_or_default().as_bytes());
        let id = word(self.0.directory.file_name());
        match self.0.directory.parent() {
            Some(root) if root != Path::new(DEFAULT) => {
                [b"runc --root ".as_slice(), &word(Some(root.as_os_str())), b" delete ", &id].concat()
            }
            Some(_) | None => [b"runc delete ".as_slice(), &id].concat(),
        }
    }
}
