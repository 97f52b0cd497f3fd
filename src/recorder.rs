// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc as CRIU's action script: makes the record, and never anything else.
//!
//! CRIU calls a script at `post-dump` when all images are written, while the tree is still frozen, the links and locks
//! are in place, and CRIU waits (`cr_dump_finish` in `criu/cr-dump.c`). A status other than 0 undoes the dump, and while
//! there is none the tree stands still; so a failure is told, in CRIU's log, and is a success all the same unless the
//! user wants it otherwise.

mod make;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::carrier::Query;
use crate::checkpoint::{self, NetworkScope};
use crate::exit::ExitStatus;
use crate::host::Host;
use crate::kind;
use crate::locate::Images;
use crate::probe::{self, Hints, Search};
use crate::record::FILE_NAME;
use crate::record::document::Document;

use crate::system::dir::Directory;
use crate::system::netns::{self, NetNamespace};
use crate::system::privilege::{self, Duty};
use crate::system::replace;
use crate::terminal::Terminal;

/// The dumped processes stand still until the record is made.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// CRIU goes on.
const SUCCESS: u8 = 0;
/// CRIU undoes the dump.
const FAILURE: u8 = 1;

/// What becomes of a dump that could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is as good as any other without a record.
    KeepDump,
    /// CRIU undoes it, and lets the tree run on.
    FailDump,
}

/// Does what CRIU called for.
pub fn run(on_failure: OnFailure) -> u8 {
    let mut terminal = Terminal::new(0, None);
    let Some(action) = env::var_os("CRTOOLS_SCRIPT_ACTION") else {
        terminal.error("this name of criu-gc is for CRIU: criu dump --action-script PATH (docs/record.md)");
        return ExitStatus::Unusable as u8;
    };
    if action != "post-dump" {
        return SUCCESS;
    }
    // The record is written into a directory of any owner's. What cannot be given up is no reason to fail a dump.
    let confined = privilege::confine(Duty::Remove);
    if let Err(error) = confined {
        terminal.message(&format!("privileges that are not needed cannot be given up: {error}"));
    }
    match within(TIME_LIMIT, record) {
        Ok(told) => {
            terminal.message(&told);
            SUCCESS
        }
        Err(why) => {
            terminal.error(&format!("the dump could not be recorded: {why}"));
            match on_failure {
                OnFailure::KeepDump => SUCCESS,
                OnFailure::FailDump => FAILURE,
            }
        }
    }
}

/// Runs `work` on a thread of its own; one that panics or hangs has failed.
fn within(limit: Duration, work: fn() -> Result<String, String>) -> Result<String, String> {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::Builder::new().spawn(move || sender.send(work()));
    worker.map_err(|error| format!("cannot start a thread: {error}"))?;
    receiver.recv_timeout(limit).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(format!("it took longer than {} seconds", limit.as_secs_f32())),
        RecvTimeoutError::Disconnected => Err("criu-gc has a defect".to_owned()),
    })
}

fn record() -> Result<String, String> {
    let directory = env::var_os("CRTOOLS_IMAGE_DIR").ok_or("CRIU does not name the images directory")?;
    // CRIU runs its scripts in its work directory.
    let path = Path::new(&directory);
    let images = Images::open(path, Some(Path::new("."))).map_err(|error| error.to_string())?;
    let document = document(&images, &target(path))?;
    let text = serde_json::to_vec_pretty(&document).map_err(|error| error.to_string())?;
    // The same directory: the name is that of CRIU's descriptor.
    Directory::open(path)
        .and_then(|directory| replace::replace(&directory, OsStr::new(FILE_NAME), &text))
        .map_err(|error| error.to_string_with_cause())?;
    Ok(told(&document))
}

fn document(images: &Images, directory: &Path) -> Result<Document, String> {
    let checkpoint = checkpoint::read(images).map_err(|error| error.to_string())?;
    let derived = kind::claims(&checkpoint).map_err(|error| error.to_string())?;
    let (namespace, hints) = match checkpoint.network_scope() {
        NetworkScope::Criu => (Some(netns::current().map_err(|error| error.to_string())?), Vec::new()),
        NetworkScope::Own => {
            let path = namespace_of_tree()?;
            (Some(netns::open(&path).map_err(|error| error.to_string())?), vec![path])
        }
        NetworkScope::Unknown => (None, Vec::new()),
    };
    let hints = Hints { namespaces: hints, search: Search::Named, ..Hints::default() };
    let host = Host::look(probe::wanted(&checkpoint, &derived));
    let survey = probe::objects(&host, &checkpoint, derived, &hints).map_err(|error| error.to_string())?;
    let is_locked = survey.findings.iter().any(|finding| matches!(finding.residue.query(), Query::Filter(_)));
    let namespace: Option<&NetNamespace> = namespace.as_ref().filter(|_| is_locked);
    Ok(make::document(directory, &checkpoint, &survey, namespace))
}

/// The network namespace of the tree, by the root task, which CRIU holds.
fn namespace_of_tree() -> Result<PathBuf, String> {
    let pid = env::var("CRTOOLS_INIT_PID").map_err(|_| "CRIU does not name the root task")?;
    let pid: u32 = pid.parse().map_err(|_| "CRIU names no root task")?;
    Ok(PathBuf::from(format!("/proc/{pid}/ns/net")))
}

/// The directory behind the name that CRIU gives it, `/proc/PID/fd/N`.
fn target(directory: &Path) -> PathBuf {
    fs::read_link(directory).unwrap_or_else(|_| directory.to_owned())
}

fn told(document: &Document) -> String {
    let network = document.network.as_ref();
    let locks = network.map_or(0, |each| each.connections.len() + each.tables.len() + each.chains.len());
    let links = document.links.len();
    let mut told = format!("recorded in {FILE_NAME}: link remaps: {links}, network locks: {locks}");
    for missing in &document.not_recorded {
        told = format!("{told}; not recorded: {missing}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_that_panics_or_hangs_has_failed() {
        assert_eq!(within(TIME_LIMIT, || Ok("done".to_owned())), Ok("done".to_owned()));
        assert_eq!(within(TIME_LIMIT, || Err("not done".to_owned())), Err("not done".to_owned()));
        assert_eq!(within(TIME_LIMIT, || panic!("a defect")), Err("criu-gc has a defect".to_owned()));
        let hangs = || -> Result<String, String> {
            thread::sleep(TIME_LIMIT);
            Ok(String::new())
        };
        let limit = Duration::from_millis(10);
        assert_eq!(within(limit, hangs), Err("it took longer than 0.01 seconds".to_owned()));
    }
}
