// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text of `/proc/PID/stat` and `/proc/PID/status` (proc_pid_stat(5), proc_pid_status(5)). Pure.

use crate::memory::MemoryLayout;

/// `PF_KTHREAD` of linux/sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What a line of `/proc/PID/stat` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: Vec<u8>,
    pub(super) state: u8,
    pub(super) is_kernel_thread: bool,
    pub(super) threads: u32,
    /// The start, in ticks since boot.
    pub(super) ticks: u64,
    /// Absent where the kernel does not tell it to this process, and of what has no memory.
    pub(super) layout: Option<MemoryLayout>,
}

/// What `/proc/PID/status` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// `NSpid` (since Linux 4.1): the pids in all pid namespaces from the reader's down to the process's own.
    pub(super) pids: Vec<u32>,
    /// Who traces it.
    pub(super) tracer: Option<u32>,
    /// Its parent; 0 for one in another pid namespace.
    pub(super) parent: Option<u32>,
    /// `SigBlk`: the signals that its first thread blocks, the first in the lowest bit.
    pub(super) blocked: u64,
}

impl Stat {
    /// The name may hold anything, parentheses and newlines too, so it ends at the last `)`.
    pub(super) fn parse(stat: &[u8]) -> Option<Self> {
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let name = stat.get(open + 1..close)?.to_vec();
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1, and the first after the name is the third.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at)?.parse::<u64>().ok();
        Some(Stat {
            name,
            state: *field(3)?.as_bytes().first()?,
            is_kernel_thread: number(9)? & KERNEL_THREAD != 0,
            threads: field(20)?.parse().ok()?,
            ticks: number(22)?,
            layout: layout(number(26), number(28), number(47)),
        })
    }
}

/// Without the right to trace the process the kernel gives 0 for the stack, and 1 for the code.
fn layout(start_code: Option<u64>, start_stack: Option<u64>, start_brk: Option<u64>) -> Option<MemoryLayout> {
    let layout = MemoryLayout { start_code: start_code?, start_stack: start_stack?, start_brk: start_brk? };
    (layout.start_stack != 0).then_some(layout)
}

impl Status {
    pub(super) fn parse(status: &[u8]) -> Self {
        let mut parsed = Status::default();
        for line in status.split(|byte| *byte == b'\n') {
            if let Some(pids) = line.strip_prefix(b"NSpid:") {
                parsed.pids = numbers(pids);
            } else if let Some(tracer) = line.strip_prefix(b"TracerPid:") {
                parsed.tracer = numbers(tracer).first().copied().filter(|tracer| *tracer != 0);
            } else if let Some(parent) = line.strip_prefix(b"PPid:") {
                parsed.parent = numbers(parent).first().copied();
            } else if let Some(blocked) = line.strip_prefix(b"SigBlk:") {
                let text = std::str::from_utf8(blocked).unwrap_or_default().trim();
                parsed.blocked = u64::from_str_radix(text, 16).unwrap_or_default();
            }
        }
        parsed
    }
}

fn numbers(text: &[u8]) -> Vec<u32> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_move_the_fields() {
        let stat = b"42 (a) b (c) S 1 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 3 0 987654 1000 10 0 4096 8192 70000 0";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.name.as_slice(), stat.state, stat.threads), (&b"a) b (c"[..], b'S', 3));
        assert_eq!((stat.ticks, stat.is_kernel_thread, stat.layout), (987_654, false, None));
    }

    #[test]
    fn the_layout_is_there_only_where_the_kernel_tells_it() {
        let line = |code: u32, stack: u32| {
            let zeros = "0 ".repeat(18);
            format!("2 (x) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 0 {code} 0 {stack} {zeros} 77 1 2 3")
        };
        let layout = |code, stack| Stat::parse(line(code, stack).as_bytes()).unwrap().layout;
        assert_eq!(layout(1, 0), None);
        assert_eq!(layout(5, 6), Some(MemoryLayout { start_code: 5, start_stack: 6, start_brk: 77 }));
        assert!(Stat::parse(line(1, 0).as_bytes()).unwrap().is_kernel_thread);
    }

    #[test]
    fn a_cut_line_is_refused() {
        for line in ["42 (sh) S 1 42", "42 sh", ") ("] {
            assert_eq!(Stat::parse(line.as_bytes()), None);
        }
    }

    #[test]
    fn all_pids_and_the_tracer_are_read() {
        let status = Status::parse(b"PPid:\t5\nTracerPid:\t7\nNSpid:\t901\t17\t1\nSigBlk:\tfffffffffffbfeff\n");
        let blocked = 0xffff_ffff_fffb_feff;
        assert_eq!(status, Status { pids: vec![901, 17, 1], tracer: Some(7), parent: Some(5), blocked });
        assert_eq!(Status::parse(b"TracerPid:\t0\n"), Status::default());
    }
}
