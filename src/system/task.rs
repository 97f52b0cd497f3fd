// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes by descriptor: a number may be given again, a descriptor stays the same process.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, whatever happens to its number.
#[derive(Debug)]
pub struct Task {
    fd: OwnedFd,
    pid: u32,
}

/// A call about a process that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} process {pid}")]
pub struct TaskError {
    operation: &'static str,
    pid: u32,
    #[source]
    source: Errno,
}

impl Task {
    /// The process with this number; `None` where there is none.
    pub fn open(pid: u32) -> Result<Option<Self>, TaskError> {
        let failed = |source| TaskError { operation: "open", pid, source };
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(failed(Errno::INVAL))?;
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Task { fd, pid })),
            Err(Errno::SRCH) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Kills it. `false` where it has ended.
    pub fn kill(&self) -> Result<bool, TaskError> {
        match pidfd_send_signal(&self.fd, Signal::KILL) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(source) => Err(TaskError { operation: "kill", pid: self.pid, source }),
        }
    }

    /// Whether it ends in this time.
    pub fn has_ended_within(&self, time: Duration) -> bool {
        let timeout = Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
        let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
        retry_on_intr(|| poll(&mut polled, Some(&timeout))).is_ok_and(|ready| ready > 0)
    }
}
