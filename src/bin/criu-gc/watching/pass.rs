// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One pass: a scan in a process of its own, which is killed if it hangs.
//!
//! So a watch needs no more memory after a year than after an hour, and no filesystem can hold it up. A pass is a process
//! group, so that all of it can be killed, whatever it has just started.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, kill_process_group, pidfd_open, wait};

use super::seen::Seen;
use crate::supervisor;

/// A longer document is not read.
const LIMIT: u64 = 64 << 20;
/// How long a pass may take to end after it was asked to: the current step of a removal.
const GRACE: Duration = Duration::from_secs(3);

/// A pass that runs.
#[derive(Debug)]
pub(crate) struct Pass {
    child: Child,
    descriptor: OwnedFd,
    /// Where it prints its document.
    output: File,
}

/// Why a pass has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// It could not be started.
    #[error("a pass could not be started: {0}")]
    Start(#[from] io::Error),
    /// An earlier one still has a process.
    #[error("a process of an earlier pass has not ended: no new pass is started")]
    Unended,
    /// It was killed.
    #[error("a pass took longer than {} seconds and was killed", .0.as_secs_f64())]
    Hung(Duration),
    /// It did not print what it was to print.
    #[error("a pass printed no report: {0}")]
    Report(String),
}

/// What ended the wait for a pass.
#[derive(Debug)]
pub(crate) enum Wait {
    /// It has ended.
    Ended,
    /// Something else is to be done.
    Woken,
    /// The time is over.
    Over,
}

impl Pass {
    /// Starts one, unless something of an earlier one is left. Whoever calls this is a subreaper: all that a pass leaves
    /// behind becomes its child.
    pub(crate) fn start(words: &[OsString]) -> Result<Self, PassError> {
        reap()?;
        let output =
            File::from(rustix::fs::memfd_create("criu-gc-pass", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
        let mut command = supervisor::pass();
        command.args(words).process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?);
        let mut child = command.spawn()?;
        match pid(&child).and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?)) {
            Ok(descriptor) => Ok(Pass { child, descriptor, output }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// Waits until it ends, until there is something to read from the descriptor, or until that time.
    pub(crate) fn wait(&self, wake: Option<BorrowedFd<'_>>, until: Instant) -> Wait {
        let descriptors = [Some(self.descriptor.as_fd()), wake];
        let descriptors = descriptors.iter().flatten().map(|descriptor| PollFd::new(descriptor, PollFlags::IN));
        let mut descriptors: Vec<PollFd<'_>> = descriptors.collect();
        // A signal ends it early.
        let _ = poll(&mut descriptors, Some(&time_until(until)));
        if descriptors.first().is_some_and(|descriptor| !descriptor.revents().is_empty()) {
            return Wait::Ended;
        }
        if Instant::now() >= until { Wait::Over } else { Wait::Woken }
    }

    /// What it printed, once it has ended.
    pub(crate) fn report(mut self) -> Result<Seen, PassError> {
        let status = self.child.wait()?;
        let length = self.output.metadata()?.len();
        if length > LIMIT {
            return Err(PassError::Report(format!("it is {} MiB long", length >> 20)));
        }
        let mut document = vec![0; usize::try_from(length).unwrap_or_default()];
        self.output.read_exact_at(&mut document, 0)?;
        serde_json::from_slice(&document).map_err(|error| match document.is_empty() {
            true => PassError::Report(status.to_string()),
            false => PassError::Report(format!("line {} column {} of it", error.line(), error.column())),
        })
    }

    /// Asks it to end, waits a moment, and kills it. A look ends at once; a removal ends after its current step.
    pub(crate) fn end(self) -> Result<Seen, PassError> {
        kill_process(pid(&self.child)?, Signal::TERM).map_err(io::Error::from)?;
        let until = Instant::now() + GRACE;
        while let Wait::Woken = self.wait(None, until) {}
        self.kill()
    }

    /// Kills it.
    pub(crate) fn kill(self) -> Result<Seen, PassError> {
        // It has not been waited for, so the group is still its own.
        kill_process_group(pid(&self.child)?, Signal::KILL).map_err(io::Error::from)?;
        self.report()
    }
}

fn pid(child: &Child) -> io::Result<Pid> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("its number is none of a process"))
}

/// Collects what has ended. Nothing may be left that does not end within a moment.
fn reap() -> Result<(), PassError> {
    const INTERVAL: Duration = Duration::from_millis(10);
    let until = Instant::now() + GRACE;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) if Instant::now() >= until => return Err(PassError::Unended),
            Ok(None) => thread::sleep(INTERVAL),
            // There is none.
            Err(_) => return Ok(()),
        }
    }
}

/// The time until then.
pub(crate) fn time_until(until: Instant) -> Timespec {
    let left = until.saturating_duration_since(Instant::now());
    Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 })
}
