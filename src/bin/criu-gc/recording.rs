// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc as a CRIU action script: writes the record of a dump, notes a restore, and nothing else.
//!
//! A status other than 0 undoes the dump, and the tree is frozen until the script exits. So a failure is reported in
//! CRIU's log and counts as success, unless the user chose otherwise.

use std::env;
use std::ffi::OsString;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use criu_gc::{Dump, Noted, RecordStore, Recorded, Restore, Stored, with_causes};

use crate::exit::ExitStatus;
use crate::privilege::{self, Duty};
use crate::terminal::{Messages, Terminal};

/// The dumped processes stand still until the record is made.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The store is on the host's own disk, which may be busy. A dump does not depend on it.
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// CRIU goes on.
const SUCCESS: u8 = 0;
/// CRIU undoes the dump.
const FAILURE: u8 = 1;

/// What becomes of a dump that could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// The dump is valid without a record.
    KeepDump,
    /// CRIU undoes it, and lets the tree run on.
    FailDump,
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("CRIU does not name the images directory")]
    NoDirectory,
    #[error(transparent)]
    Record(#[from] criu_gc::Error),
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    #[error("it did not finish within {} seconds", .0.as_secs_f32())]
    Overdue(Duration),
    #[error("criu-gc failed, which is a bug")]
    Defect,
}

/// Does what CRIU called for.
pub(crate) fn run(on_failure: OnFailure) -> u8 {
    let terminal = Terminal::new(0, Messages::StandardError);
    let Some(action) = env::var_os("CRTOOLS_SCRIPT_ACTION") else {
        terminal.error("CRIU runs criu-gc under this name: criu dump --action-script PATH (docs/record.md)");
        return ExitStatus::Unusable as u8;
    };
    match action.to_str() {
        Some("post-dump") => record_dump(&terminal, on_failure),
        Some("pre-resume") => note_restore(&terminal),
        Some(_) | None => SUCCESS,
    }
}

fn record_dump(terminal: &Terminal, on_failure: OnFailure) -> u8 {
    confine(terminal);
    match within(TIME_LIMIT, record) {
        Ok(recorded) => {
            terminal.message(&told(&recorded));
            store(terminal, recorded);
            SUCCESS
        }
        Err(failure) => {
            terminal.error(&format!("cannot record the dump: {}", with_causes(&failure)));
            match on_failure {
                OnFailure::KeepDump => SUCCESS,
                OnFailure::FailDump => FAILURE,
            }
        }
    }
}

/// The record is written into a directory of any owner's. What cannot be given up is no reason to fail a dump.
fn confine(terminal: &Terminal) {
    if let Err(error) = privilege::confine(Duty::Remove) {
        terminal.message(&format!("cannot drop privileges: {error}"));
    }
}

/// The dump is recorded by now; that no copy outlives its images never undoes it.
fn store(terminal: &Terminal, recorded: Recorded) {
    match within(STORE_LIMIT, move || Ok(recorded.store()?)) {
        Ok(Some(Stored { path, dropped, .. })) => {
            terminal.message(&format!("stored as {}", path.display()));
            if dropped > 0 {
                terminal.message(&format!("the store was full: older records removed: {dropped}"));
            }
        }
        Ok(None) => {}
        Err(failure) => terminal.error(&format!("cannot store the record: {}", with_causes(&failure))),
    }
}

/// CRIU has finished the restore, and goes on whatever the script does.
fn note_restore(terminal: &Terminal) -> u8 {
    confine(terminal);
    match within(STORE_LIMIT, || Ok(criu_gc::record_restore(&restore()?)?)) {
        Ok(Noted::In(path)) => terminal.message(&format!("restore noted in {}", path.display())),
        Ok(_) => {}
        Err(failure) => terminal.error(&format!("cannot note the restore: {}", with_causes(&failure))),
    }
    SUCCESS
}

/// Runs `work` on a thread of its own; one that panics or hangs has failed.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || sender.send(work())).map_err(Failure::Thread)?;
    receiver.recv_timeout(limit).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(Failure::Overdue(limit)),
        RecvTimeoutError::Disconnected => Err(Failure::Defect),
    })
}

/// CRIU runs its scripts in its work directory, and says the rest in variables.
fn record() -> Result<Recorded, Failure> {
    let mut dump = Dump::new(images()?).work_dir(".").record_store(RecordStore::default());
    if let Some(pid) = root_task() {
        dump = dump.root_task(pid);
    }
    Ok(criu_gc::record(&dump)?)
}

fn restore() -> Result<Restore, Failure> {
    let restore = Restore::new(images()?, RecordStore::default());
    Ok(root_task().into_iter().fold(restore, Restore::root_task))
}

fn images() -> Result<OsString, Failure> {
    env::var_os("CRTOOLS_IMAGE_DIR").ok_or(Failure::NoDirectory)
}

fn root_task() -> Option<u32> {
    env::var("CRTOOLS_INIT_PID").ok()?.parse().ok()
}

fn told(recorded: &Recorded) -> String {
    let Recorded { file_name, links, locks, not_recorded, .. } = recorded;
    let mut told = format!("recorded in {file_name}: link remaps: {links}, network locks: {locks}");
    for missing in not_recorded {
        told = format!("{told}; not recorded: {missing}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_that_panics_or_hangs_has_failed() {
        let told = |done: Result<u8, Failure>| done.map_err(|failure| failure.to_string());
        assert_eq!(told(within(TIME_LIMIT, || Ok(7))), Ok(7));
        let failed = within(TIME_LIMIT, || Err(Failure::NoDirectory));
        assert_eq!(told(failed), Err("CRIU does not name the images directory".to_owned()));
        assert_eq!(told(within(TIME_LIMIT, || panic!("a defect"))), Err("criu-gc failed, which is a bug".to_owned()));
        let hangs = || -> Result<u8, Failure> {
            thread::sleep(TIME_LIMIT);
            Ok(7)
        };
        let limit = Duration::from_millis(10);
        assert_eq!(told(within(limit, hangs)), Err("it did not finish within 0.01 seconds".to_owned()));
    }
}
