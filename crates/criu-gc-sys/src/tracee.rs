// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thread that is stopped by `ptrace`, for as long as the value lives.
//!
//! rustix has no `ptrace`, and no crate has `PTRACE_SETSIGMASK`. The stop is that of `PTRACE_INTERRUPT`: no signal is sent,
//! and when this process ends, however it ends, the kernel lets the thread run on.

use std::marker::PhantomData;
use std::ptr::null_mut;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::socket_option::last_error;

/// The size of the kernel's set of signals, which `PTRACE_GETSIGMASK` wants to be told.
const MASK_SIZE: usize = size_of::<u64>();
/// How often a thread is asked whether it has stopped.
const INTERVAL: Duration = Duration::from_millis(1);

/// A stopped thread. Only the thread that stopped it may use the value, so it is not `Send`.
#[derive(Debug)]
pub struct Tracee {
    thread: Pid,
    /// The signal that was about to be delivered when the thread stopped.
    signal: i32,
    is_stopped: bool,
    of_thread: PhantomData<*mut ()>,
}

/// Why a thread could not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeizeError {
    /// The kernel refused: `EPERM` if somebody else traces it, `ESRCH` if it has ended.
    Refused(Errno),
    /// It did not stop in time: it may be frozen, or wait for a filesystem.
    DoesNotStop,
    /// It ended meanwhile.
    Ended,
}

impl Tracee {
    /// Stops a thread, which takes no longer than `patience`. The caller needs the right to trace it.
    ///
    /// # Errors
    /// See [`SeizeError`]. The thread runs on in each case.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let thread = rustix::process::Pid::from_raw(4711).unwrap();
    /// let tracee = criu_gc_sys::Tracee::seize(thread, Duration::from_secs(1)).unwrap();
    /// println!("{:016x}", tracee.blocked_signals()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn seize(thread: Pid, patience: Duration) -> Result<Self, SeizeError> {
        let mut tracee = Tracee { thread, signal: 0, is_stopped: false, of_thread: PhantomData };
        tracee.request(libc::PTRACE_SEIZE, null_mut(), null_mut()).map_err(SeizeError::Refused)?;
        tracee.request(libc::PTRACE_INTERRUPT, null_mut(), null_mut()).map_err(SeizeError::Refused)?;
        let since = Instant::now();
        while !tracee.has_stopped()? {
            if since.elapsed() > patience {
                return Err(SeizeError::DoesNotStop);
            }
            sleep(INTERVAL);
        }
        Ok(tracee)
    }

    /// The signals that the thread blocks, the first signal in the lowest bit (`PTRACE_GETSIGMASK`, Linux 3.11).
    ///
    /// # Errors
    /// `ESRCH` if it has ended.
    pub fn blocked_signals(&self) -> Result<u64, Errno> {
        let mut mask = 0_u64;
        let size = std::ptr::without_provenance_mut(MASK_SIZE);
        self.request(libc::PTRACE_GETSIGMASK, size, (&raw mut mask).cast()).map(|()| mask)
    }

    /// Makes the thread block these signals and no others (`PTRACE_SETSIGMASK`). Those that are pending and not blocked any
    /// more are delivered when it runs on.
    ///
    /// # Errors
    /// `ESRCH` if it has ended.
    pub fn block_signals(&self, mut mask: u64) -> Result<(), Errno> {
        let size = std::ptr::without_provenance_mut(MASK_SIZE);
        self.request(libc::PTRACE_SETSIGMASK, size, (&raw mut mask).cast())
    }

    fn has_stopped(&mut self) -> Result<bool, SeizeError> {
        let mut status = 0;
        let pid = self.thread.as_raw_nonzero().get();
        // SAFETY: the kernel writes one `int` to `status`.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        match waited {
            0 => Ok(false),
            -1 => Err(SeizeError::Refused(last_error())),
            _ if !libc::WIFSTOPPED(status) => Err(SeizeError::Ended),
            _ => {
                self.is_stopped = true;
                // A stop for an event delivers nothing; any other is that of a signal on its way, which must arrive.
                let is_event = status >> 16 == libc::PTRACE_EVENT_STOP;
                self.signal = if is_event { 0 } else { libc::WSTOPSIG(status) };
                Ok(true)
            }
        }
    }

    fn request(&self, request: libc::c_uint, address: *mut libc::c_void, data: *mut libc::c_void) -> Result<(), Errno> {
        // SAFETY: of the requests that this module makes, SEIZE, INTERRUPT and DETACH touch no memory of ours, and the two
        // about signals read or write the `MASK_SIZE` bytes of a `u64` at `data`.
        let result = unsafe { libc::ptrace(request, self.thread.as_raw_nonzero().get(), address, data) };
        if result == -1 { Err(last_error()) } else { Ok(()) }
    }
}

impl Drop for Tracee {
    /// Lets the thread run on. One that has not stopped cannot be detached: the kernel does it when the calling thread ends.
    fn drop(&mut self) {
        if self.is_stopped {
            let signal = usize::try_from(self.signal).unwrap_or_default();
            let _ = self.request(libc::PTRACE_DETACH, null_mut(), std::ptr::without_provenance_mut(signal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sleeper() -> (Sleeper, Pid) {
        let child = Sleeper(Command::new("sleep").arg("60").spawn().unwrap());
        let pid = Pid::from_raw(i32::try_from(child.0.id()).unwrap()).unwrap();
        (child, pid)
    }

    #[test]
    fn a_thread_gets_another_set_of_blocked_signals_and_runs_on() {
        let (mut child, pid) = sleeper();
        let seize = || Tracee::seize(pid, Duration::from_secs(10)).unwrap();
        assert_eq!(seize().blocked_signals(), Ok(0));
        // SIGTERM, which is not delivered then.
        seize().block_signals(1 << 14).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(seize().blocked_signals(), Ok(1 << 14));
        assert!(child.0.try_wait().unwrap().is_none());
        seize().block_signals(0).unwrap();
        let status = child.0.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }

    #[test]
    fn a_thread_that_somebody_traces_is_refused() {
        let (_child, pid) = sleeper();
        let _tracee = Tracee::seize(pid, Duration::from_secs(10)).unwrap();
        let again = std::thread::scope(|scope| {
            let again = || Tracee::seize(pid, Duration::from_secs(10)).map(drop);
            scope.spawn(again).join().unwrap()
        });
        assert_eq!(again, Err(SeizeError::Refused(Errno::PERM)));
    }
}
