// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changes to a running process: what its threads block, bytes of its code, a part of its memory, options of its sockets, its
//! control group.
//!
//! A process is named by its pid and its start, and compared right before each change. It is stopped only by `ptrace`, never
//! by a signal: whenever criu-gc ends, the kernel lets it run on.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use criu_gc_sys::{CallError, SeizeError, Tracee};
use rustix::io::Errno;
use rustix::process::Pid;

pub use criu_gc_sys::CAN_UNMAP;

/// How long a thread may take to stop.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a thread may take to come to a system call while all others of its process stand still.
const PATIENCE_FOR_CALL: Duration = Duration::from_millis(500);

/// Why a process was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thread could not be stopped.
    #[error("cannot stop thread {thread}: {}", why(*error))]
    Seize {
        /// Which one.
        thread: u32,
        /// Why.
        error: SeizeError,
    },
    /// It is not as it was.
    #[error("it changed since it was examined; not changed")]
    Changed,
    /// The kernel refused.
    #[error("cannot change it")]
    Refused(#[source] Errno),
    /// Its memory could not be written.
    #[error("cannot write to its memory")]
    Memory(#[source] io::Error),
    /// It has no thread any more.
    #[error("it ended; not changed")]
    Ended,
    /// It did not make the system call.
    #[error("{}; not changed", why_no_call(*.0))]
    Call(CallError),
    /// The memory is in use.
    #[error("thread {0} runs in it; not changed")]
    InUse(i32),
    /// There could be no thread for it.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The control file could not be written.
    #[error("cannot write {path}")]
    Control {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

fn why(error: SeizeError) -> String {
    match error {
        SeizeError::Refused(Errno::PERM) => "somebody else traces it, or it is not permitted".to_owned(),
        SeizeError::Refused(error) => error.to_string(),
        SeizeError::DoesNotStop => "it does not stop, so it may be frozen".to_owned(),
        SeizeError::Ended => "it ended".to_owned(),
    }
}

fn why_no_call(error: CallError) -> String {
    match error {
        CallError::Refused(error) => format!("the kernel refuses it: {error}"),
        CallError::NoCall => "no thread of it comes to a system call".to_owned(),
        CallError::Stopped => "a signal has stopped it (SIGCONT lets it run on)".to_owned(),
        CallError::OtherArchitecture => "its code is of another architecture".to_owned(),
        CallError::Ended => "it ended".to_owned(),
    }
}

/// A part of the memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
}

/// Some bytes of code to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Where they are in the memory of the process.
    pub address: u64,
    /// What is there.
    pub found: [u8; 8],
    /// What belongs there.
    pub original: [u8; 8],
}

/// Makes a thread block these signals, if it still blocks those.
pub fn block_signals(thread: u32, expected: u64, mask: u64) -> Result<(), Error> {
    stopped(
        || vec![thread],
        |tracees| {
            tracees.iter().try_for_each(|tracee| {
                if tracee.blocked_signals().map_err(Error::Refused)? != expected {
                    return Err(Error::Changed);
                }
                tracee.block_signals(mask).map_err(Error::Refused)
            })
        },
    )
}

/// Writes bytes of code while all threads of the process stand still. `is_same` tells whether it is still that process.
pub fn write_code(
    pid: u32,
    threads: impl Fn() -> Vec<u32> + Send,
    patches: &[Patch],
    is_same: impl Fn() -> bool + Send + Sync,
) -> Result<(), Error> {
    stopped(threads, |_| {
        if !is_same() {
            return Err(Error::Changed);
        }
        let path = format!("/proc/{pid}/mem");
        let memory = OpenOptions::new().read(true).write(true).open(path).map_err(Error::Memory)?;
        patches.iter().try_for_each(|patch| write_patch(&memory, *patch))
    })
}

fn write_patch(memory: &File, patch: Patch) -> Result<(), Error> {
    let mut now = [0; 8];
    memory.read_exact_at(&mut now, patch.address).map_err(Error::Memory)?;
    if now == patch.original {
        return Ok(());
    }
    if now != patch.found {
        return Err(Error::Changed);
    }
    memory.write_all_at(&patch.original, patch.address).map_err(Error::Memory)
}

/// Unmaps a part of the memory while all threads of the process stand still, if none of them runs in it or has its stack
/// there: one thread makes the system call in place of its own next one. `is_same` tells whether it is still that memory.
pub fn unmap(
    threads: impl Fn() -> Vec<u32> + Send,
    area: Area,
    is_same: impl Fn() -> bool + Send + Sync,
) -> Result<(), Error> {
    stopped(threads, |tracees| {
        if !is_same() {
            return Err(Error::Changed);
        }
        for tracee in &*tracees {
            let at = tracee.position().map_err(Error::Refused)?;
            if [at.code, at.stack].iter().any(|address| (area.start..=area.end).contains(address)) {
                return Err(Error::InUse(tracee.thread().as_raw_nonzero().get()));
            }
        }
        // The call of one that waits in its own starts at once.
        let place = tracees.iter().position(Tracee::is_in_call).unwrap_or_default();
        let tracee = tracees.get_mut(place).ok_or(Error::Ended)?;
        tracee.unmap(area.start, area.end - area.start, PATIENCE_FOR_CALL).map_err(Error::Call)
    })
}

/// Works while some threads are stopped, and those that they start before they are; on a thread of its own: what it could
/// not let go, the kernel does when that ends.
fn stopped<T: Send>(
    threads: impl Fn() -> Vec<u32> + Send,
    work: impl FnOnce(&mut [Tracee]) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let work = || work(&mut stop(threads)?);
        let thread = std::thread::Builder::new().name("tracer".to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(Error::Thread)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The error: one does not stop, or none is left.
fn stop(threads: impl Fn() -> Vec<u32>) -> Result<Vec<Tracee>, Error> {
    let mut tracees: Vec<Tracee> = Vec::new();
    let mut seen = BTreeSet::new();
    loop {
        let mut new = threads();
        new.retain(|thread| seen.insert(*thread));
        if new.is_empty() {
            return if tracees.is_empty() { Err(Error::Ended) } else { Ok(tracees) };
        }
        for thread in new {
            let Some(id) = i32::try_from(thread).ok().and_then(Pid::from_raw) else { continue };
            match Tracee::seize(id, PATIENCE) {
                Ok(tracee) => tracees.push(tracee),
                Err(SeizeError::Ended | SeizeError::Refused(Errno::SRCH)) => {}
                Err(error) => return Err(Error::Seize { thread, error }),
            }
        }
    }
}

/// Ends the repair mode of a TCP socket, and sets `SO_REUSEADDR`, which that turns off.
pub fn leave_tcp_repair(socket: impl AsFd, reuses_address: Option<bool>) -> Result<(), Error> {
    criu_gc_sys::leave_tcp_repair(&socket).map_err(Error::Refused)?;
    match reuses_address {
        Some(true) => rustix::net::sockopt::set_socket_reuseaddr(&socket, true).map_err(Error::Refused),
        Some(false) | None => Ok(()),
    }
}

/// Makes `MSG_PEEK` read from the start again.
pub fn reset_peek_offset(socket: impl AsFd) -> Result<(), Error> {
    criu_gc_sys::reset_peek_offset(socket).map_err(Error::Refused)
}

/// Thaws a control group: writes this word to this file of its directory.
pub fn thaw(directory: &Path, file: &str, word: &str) -> Result<(), Error> {
    let path = directory.join(file);
    let write = || OpenOptions::new().write(true).open(&path)?.write_all(word.as_bytes());
    write().map_err(|source| Error::Control { path: path.display().to_string(), source })
}
