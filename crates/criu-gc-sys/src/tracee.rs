// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thread that is stopped by `ptrace`, for as long as the value lives.
//!
//! rustix has no `ptrace`, and no crate has `PTRACE_SETSIGMASK`. The stop is that of `PTRACE_INTERRUPT`: no signal is sent,
//! and when this process ends, however it ends, the kernel lets the thread run on.

mod call;
#[cfg(target_arch = "x86_64")]
mod registers;

use std::marker::PhantomData;
use std::ptr::{null_mut, without_provenance_mut};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::socket_option::last_error;

pub use call::{CAN_UNMAP, CallError, Position};

/// The size of the kernel's set of signals, which `PTRACE_GETSIGMASK` wants to be told.
const MASK_SIZE: usize = size_of::<u64>();
/// How often a thread is asked whether it has stopped.
const INTERVAL: Duration = Duration::from_millis(1);
/// What `PTRACE_O_TRACESYSGOOD` adds to the signal of a stop at a system call.
const AT_CALL: i32 = 0x80;

/// A stopped thread. Only the thread that stopped it may use the value, so it is not `Send`.
#[derive(Debug)]
pub struct Tracee {
    thread: Pid,
    stop: Stop,
    of_thread: PhantomData<*mut ()>,
}

/// How a thread is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It runs.
    Not,
    /// By `PTRACE_INTERRUPT`.
    Interrupt,
    /// By a signal that stops the whole process, until a SIGCONT.
    Group,
    /// By a signal that was about to be delivered, which must arrive.
    Signal(i32),
    /// At the beginning or the end of a system call.
    Call,
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
        let mut tracee = Tracee { thread, stop: Stop::Not, of_thread: PhantomData };
        tracee.request(libc::PTRACE_SEIZE, null_mut(), null_mut()).map_err(SeizeError::Refused)?;
        tracee.request(libc::PTRACE_INTERRUPT, null_mut(), null_mut()).map_err(SeizeError::Refused)?;
        tracee.await_stop(Instant::now() + patience)?;
        Ok(tracee)
    }

    /// Its id.
    pub fn thread(&self) -> Pid {
        self.thread
    }

    /// The signals that the thread blocks, the first signal in the lowest bit (`PTRACE_GETSIGMASK`, Linux 3.11).
    ///
    /// # Errors
    /// `ESRCH` if it has ended.
    pub fn blocked_signals(&self) -> Result<u64, Errno> {
        let mut mask = 0_u64;
        self.request(libc::PTRACE_GETSIGMASK, without_provenance_mut(MASK_SIZE), (&raw mut mask).cast()).map(|()| mask)
    }

    /// Makes the thread block these signals and no others (`PTRACE_SETSIGMASK`). Those that are pending and not blocked any
    /// more are delivered when it runs on.
    ///
    /// # Errors
    /// `ESRCH` if it has ended.
    pub fn block_signals(&self, mut mask: u64) -> Result<(), Errno> {
        self.request(libc::PTRACE_SETSIGMASK, without_provenance_mut(MASK_SIZE), (&raw mut mask).cast())
    }

    fn await_stop(&mut self, until: Instant) -> Result<(), SeizeError> {
        while !self.has_stopped(libc::WNOHANG)? {
            if Instant::now() > until {
                return Err(SeizeError::DoesNotStop);
            }
            sleep(INTERVAL);
        }
        Ok(())
    }

    /// Asks whether it has stopped, or with no option waits until it has.
    fn has_stopped(&mut self, option: i32) -> Result<bool, SeizeError> {
        let mut status = 0;
        let pid = self.thread.as_raw_nonzero().get();
        // SAFETY: the kernel writes one `int` to `status`.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | option) };
        match waited {
            0 => Ok(false),
            -1 if last_error() == Errno::INTR => Ok(false),
            -1 => Err(SeizeError::Refused(last_error())),
            _ if !libc::WIFSTOPPED(status) => Err(SeizeError::Ended),
            _ => {
                let is_event = status >> 16 == libc::PTRACE_EVENT_STOP;
                self.stop = match (is_event, libc::WSTOPSIG(status)) {
                    (true, libc::SIGTRAP) => Stop::Interrupt,
                    (true, _) => Stop::Group,
                    (false, signal) if signal == libc::SIGTRAP | AT_CALL => Stop::Call,
                    (false, signal) => Stop::Signal(signal),
                };
                Ok(true)
            }
        }
    }

    /// The signal that arrives when the thread runs on.
    fn signal(&self) -> *mut libc::c_void {
        match self.stop {
            Stop::Signal(signal) => without_provenance_mut(usize::try_from(signal).unwrap_or_default()),
            Stop::Not | Stop::Interrupt | Stop::Group | Stop::Call => null_mut(),
        }
    }

    fn request(&self, request: libc::c_uint, address: *mut libc::c_void, data: *mut libc::c_void) -> Result<(), Errno> {
        // SAFETY: of the requests that this module makes, SEIZE, INTERRUPT, SETOPTIONS, SYSCALL and DETACH touch no memory of
        // ours; the two about signals read or write the `MASK_SIZE` bytes of a `u64` at `data`, those about registers one
        // structure of the kernel's size, and GET_SYSCALL_INFO as many bytes as it is told.
        let result = unsafe { libc::ptrace(request, self.thread.as_raw_nonzero().get(), address, data) };
        if result == -1 { Err(last_error()) } else { Ok(()) }
    }
}

impl Drop for Tracee {
    /// Lets the thread run on. One that has not stopped cannot be detached: the kernel does it when the calling thread ends.
    fn drop(&mut self) {
        if self.stop != Stop::Not {
            let _ = self.request(libc::PTRACE_DETACH, null_mut(), self.signal());
        }
    }
}

#[cfg(test)]
mod tests;
