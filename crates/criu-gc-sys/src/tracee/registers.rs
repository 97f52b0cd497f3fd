// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The registers of a stopped thread of x86-64, as the kernel's rules for system calls read them.

/// The errors of a call that starts again: `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK`.
const RESTARTS: [u64; 4] = [512, 513, 514, 516];
/// `orig_rax` outside of system calls.
const NO_CALL: u64 = u64::MAX;
/// The size of the instruction `syscall`.
const INSTRUCTION: u64 = 2;

/// All registers but those of floating point, which none of this touches.
#[derive(Debug, Clone)]
pub(super) struct Registers(libc::user_regs_struct);

impl Default for Registers {
    fn default() -> Self {
        // SAFETY: it is a structure of integers, for which zero is valid.
        Registers(unsafe { std::mem::zeroed() })
    }
}

impl Registers {
    pub(super) fn as_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.0).cast()
    }

    /// The error that a system call returned; 0 if it returned 0.
    pub(super) fn error(&self) -> u64 {
        self.0.rax.wrapping_neg()
    }

    /// Whether the stop interrupted a system call, which the kernel starts again when the thread runs on.
    pub(super) fn is_interrupted(&self) -> bool {
        self.0.orig_rax != NO_CALL && RESTARTS.contains(&self.error())
    }

    /// At the entry of a system call: those of another one.
    pub(super) fn with_call(&self, number: u64, arguments: [u64; 2]) -> Self {
        let [rdi, rsi] = arguments;
        Registers(libc::user_regs_struct { orig_rax: number, rdi, rsi, ..self.0 })
    }

    /// At the entry of a system call: those of right before it.
    pub(super) fn before_call(&self) -> Self {
        let rip = self.0.rip.wrapping_sub(INSTRUCTION);
        Registers(libc::user_regs_struct { rax: self.0.orig_rax, rip, orig_rax: NO_CALL, ..self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(orig_rax: u64, error: u64) -> Registers {
        let mut registers = Registers::default();
        registers.0.orig_rax = orig_rax;
        registers.0.rax = error.wrapping_neg();
        registers.0.rip = 0x1002;
        registers.0.rdi = 7;
        registers
    }

    #[test]
    fn a_call_that_starts_again_is_told_from_a_result() {
        let poll = 7;
        assert!(registers(poll, 516).is_interrupted() && registers(poll, 514).is_interrupted());
        for (call, error) in [(poll, 4), (poll, 0), (poll, 515), (NO_CALL, 516)] {
            assert!(!registers(call, error).is_interrupted(), "{call} {error}");
        }
    }

    #[test]
    fn the_own_call_is_made_again_with_its_own_arguments() {
        let entry = registers(7, 38);
        let other = entry.with_call(11, [0x7000, 0x2000]);
        assert_eq!((other.0.orig_rax, other.0.rdi, other.0.rsi, other.0.rip), (11, 0x7000, 0x2000, 0x1002));
        let again = entry.before_call();
        assert_eq!((again.0.rax, again.0.rip, again.0.rdi, again.0.orig_rax), (7, 0x1000, 7, NO_CALL));
    }
}
