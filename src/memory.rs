// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory layout of a process, which distinguishes a dumped or restored process from any other.
//!
//! CRIU restores the layout to the byte; a newly started program gets a random one.

/// Addresses that the kernel chooses when a program is started, as `mm-<pid>.img` and `/proc/PID/stat` give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLayout {
    /// Where the code of the program begins.
    pub start_code: u64,
    /// Where the stack began when the program was started.
    pub start_stack: u64,
    /// Where the heap begins.
    pub start_brk: u64,
}

/// Whether the kernel chose the addresses at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Randomisation {
    /// It did: two processes with one layout are the same program, dumped and restored.
    On,
    /// It did not, or nobody knows: every process of a program may have the same layout.
    Off,
}

/// `ADDR_NO_RANDOMIZE` of linux/personality.h.
const NO_RANDOMISATION: u32 = 0x0004_0000;

impl Randomisation {
    /// What a process with this personality had.
    pub fn of_personality(personality: u32) -> Self {
        if personality & NO_RANDOMISATION == 0 { Randomisation::On } else { Randomisation::Off }
    }

    /// `On` only if both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Randomisation::On, Randomisation::On) => Randomisation::On,
            (Randomisation::Off, _) | (_, Randomisation::Off) => Randomisation::Off,
        }
    }
}

impl MemoryLayout {
    /// Whether both can be of one process or of a restored copy of it. A process can move its arguments and its
    /// heap's end (`prctl(PR_SET_MM)`), so the code and the stack decide.
    pub fn is_same_process(&self, other: &MemoryLayout) -> bool {
        (self.start_code, self.start_stack) == (other.start_code, other.start_stack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_stack_decide() {
        let layout = |start_code, start_stack, start_brk| MemoryLayout { start_code, start_stack, start_brk };
        assert!(layout(1, 2, 3).is_same_process(&layout(1, 2, 4)));
        assert!(!layout(1, 2, 3).is_same_process(&layout(9, 2, 3)));
        assert!(!layout(1, 2, 3).is_same_process(&layout(1, 9, 3)));
    }

    #[test]
    fn a_personality_can_turn_randomisation_off() {
        assert_eq!(Randomisation::of_personality(0), Randomisation::On);
        assert_eq!(Randomisation::of_personality(0x0004_0000), Randomisation::Off);
        assert_eq!(Randomisation::On.and(Randomisation::Off), Randomisation::Off);
    }
}
