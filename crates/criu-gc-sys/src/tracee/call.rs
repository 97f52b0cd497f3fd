// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One system call that a stopped thread makes for somebody else, and then its own.
//!
//! No program counter is set, and no code is written: the thread comes to its own next system call, which is nearly always
//! the one that the stop interrupted. At its entry the number and the arguments are replaced, and at its exit all registers
//! are as before, so that the kernel starts the thread's own call again. If this process ends in between, the thread runs on
//! behind its own call.

use std::mem::offset_of;
use std::ptr::{null_mut, without_provenance_mut};
use std::time::Duration;
#[cfg(target_arch = "x86_64")]
use std::time::Instant;

use rustix::io::Errno;

#[cfg(target_arch = "x86_64")]
use super::registers::Registers;
use super::{SeizeError, Stop, Tracee};

/// Whether [`Tracee::unmap`] knows the registers of this architecture.
pub const CAN_UNMAP: bool = cfg!(target_arch = "x86_64");

/// Why a thread did not make a system call for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// The kernel refused the call, or to trace it.
    Refused(Errno),
    /// It made no system call in time.
    NoCall,
    /// A signal has stopped the process, and not in a system call.
    Stopped,
    /// It runs code of another architecture, or this one is not known.
    OtherArchitecture,
    /// It ended meanwhile.
    Ended,
}

impl From<SeizeError> for CallError {
    fn from(error: SeizeError) -> Self {
        match error {
            SeizeError::Refused(Errno::SRCH) | SeizeError::Ended => CallError::Ended,
            SeizeError::Refused(error) => CallError::Refused(error),
            SeizeError::DoesNotStop => CallError::NoCall,
        }
    }
}

impl From<Errno> for CallError {
    fn from(error: Errno) -> Self {
        SeizeError::Refused(error).into()
    }
}

/// Where a stopped thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its program counter.
    pub code: u64,
    /// Its stack pointer.
    pub stack: u64,
}

/// The beginning of `struct ptrace_syscall_info`.
#[repr(C)]
#[derive(Debug, Default)]
struct CallInfo {
    operation: u8,
    padding: [u8; 3],
    architecture: u32,
    code: u64,
    stack: u64,
}

const _: () = assert!(size_of::<CallInfo>() == 24 && offset_of!(CallInfo, stack) == 16, "the layout of the kernel");

/// `PTRACE_SYSCALL_INFO_ENTRY`.
#[cfg(target_arch = "x86_64")]
const ENTRY: u8 = 1;
/// The number of `munmap`.
#[cfg(target_arch = "x86_64")]
const MUNMAP: u64 = 11;
/// `AUDIT_ARCH_X86_64`, which a process has whose code has 64 bits.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;

impl Tracee {
    /// Where it is (`PTRACE_GET_SYSCALL_INFO`, Linux 5.3).
    ///
    /// # Errors
    /// `ESRCH` if it has ended.
    pub fn position(&self) -> Result<Position, Errno> {
        self.call_info().map(|info| Position { code: info.code, stack: info.stack })
    }

    fn call_info(&self) -> Result<CallInfo, Errno> {
        let mut info = CallInfo::default();
        let size = without_provenance_mut(size_of::<CallInfo>());
        self.request(libc::PTRACE_GET_SYSCALL_INFO, size, (&raw mut info).cast()).map(|()| info)
    }

    /// Whether the stop interrupted a system call that starts again, so that [`unmap`](Tracee::unmap) does not wait.
    pub fn is_in_call(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.registers().is_ok_and(|registers| registers.is_interrupted());
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Makes the thread unmap a part of its memory, in place of its next system call, which it makes afterwards. It has to come
    /// to one within `patience`. The filters that it has for system calls (seccomp) do not see this one.
    ///
    /// # Errors
    /// See [`CallError`]. Nothing was unmapped.
    #[cfg(target_arch = "x86_64")]
    pub fn unmap(&mut self, start: u64, length: u64, patience: Duration) -> Result<(), CallError> {
        if self.call_info()?.architecture != NATIVE {
            return Err(CallError::OtherArchitecture);
        }
        let mut interrupted = Some(self.registers()?).filter(Registers::is_interrupted);
        if interrupted.is_none() && self.stop == Stop::Group {
            return Err(CallError::Stopped);
        }
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_SUSPEND_SECCOMP;
        self.request(libc::PTRACE_SETOPTIONS, null_mut(), without_provenance_mut(options.unsigned_abs() as usize))?;
        if self.await_entry(Instant::now() + patience)? == Arrival::AfterSignal {
            // A handler may have run, so that it is another call.
            interrupted = None;
        }
        let own = self.registers()?;
        let afterwards = interrupted.unwrap_or_else(|| own.before_call());
        let replaced = own.with_call(MUNMAP, [start, length]);
        // From here to `restored`, an end of this process makes the thread take the result of `munmap` for that of its own
        // call. The wait has no limit: before its end nothing can be given back.
        self.set_registers(&replaced)?;
        let result = self.finish_call();
        let restored = self.set_registers(&afterwards);
        result.and_then(|()| Ok(restored?))
    }

    /// The same, where the registers are not known.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn unmap(&mut self, _start: u64, _length: u64, _patience: Duration) -> Result<(), CallError> {
        Err(CallError::OtherArchitecture)
    }
}

/// How a thread came to a system call.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Straight,
    AfterSignal,
}

#[cfg(target_arch = "x86_64")]
impl Tracee {
    fn registers(&self) -> Result<Registers, Errno> {
        let mut registers = Registers::default();
        self.request(libc::PTRACE_GETREGS, null_mut(), registers.as_ptr()).map(|()| registers)
    }

    fn set_registers(&self, registers: &Registers) -> Result<(), Errno> {
        self.request(libc::PTRACE_SETREGS, null_mut(), registers.clone().as_ptr())
    }

    /// Lets the thread run to the beginning or the end of a system call.
    fn run_to_call(&mut self) -> Result<(), Errno> {
        self.request(libc::PTRACE_SYSCALL, null_mut(), self.signal())?;
        self.stop = Stop::Not;
        Ok(())
    }

    /// Lets it run to the entry of a system call. Signals arrive as always.
    fn await_entry(&mut self, until: Instant) -> Result<Arrival, CallError> {
        let mut arrival = Arrival::Straight;
        // One that was stopped before runs none of its own code until then, and may say once more that it is stopped.
        let was_stopped = self.stop == Stop::Group;
        loop {
            if matches!(self.stop, Stop::Signal(_)) {
                arrival = Arrival::AfterSignal;
            }
            self.run_to_call()?;
            self.await_stop(until)?;
            match self.stop {
                Stop::Call => {
                    let info = self.call_info()?;
                    if info.architecture != NATIVE {
                        return Err(CallError::OtherArchitecture);
                    }
                    if info.operation == ENTRY {
                        return Ok(arrival);
                    }
                }
                Stop::Group if !was_stopped => return Err(CallError::Stopped),
                Stop::Not | Stop::Interrupt | Stop::Group | Stop::Signal(_) => {}
            }
        }
    }

    /// Lets it make the call at whose entry it is.
    fn finish_call(&mut self) -> Result<(), CallError> {
        self.run_to_call()?;
        while !self.has_stopped(0)? {}
        match self.registers()?.error() {
            0 => Ok(()),
            error => Err(CallError::Refused(i32::try_from(error).map_or(Errno::IO, Errno::from_raw_os_error))),
        }
    }
}
