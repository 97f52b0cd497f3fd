// SPDX-License-Identifier: Apache-2.0 OR MIT
//! This process itself: how many files it may open, and which signals it ignores.

use std::fs;
use std::io;

use rustix::process::{Resource, Signal, getrlimit, setrlimit};

/// Allows this process as many open files as the system lets it have: each network namespace that is looked at holds
/// one. Where that fails, fewer can be looked at, and that is said then.
pub fn allow_many_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Ends this process by a signal, as if nobody had waited for it.
pub fn end_by_signal(number: i32) -> io::Result<()> {
    if number == signal_hook::consts::SIGKILL {
        rustix::process::kill_process(rustix::process::getpid(), Signal::KILL)?;
    }
    signal_hook::low_level::emulate_default_handler(number)
}

/// A set of signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals(u64);

impl Signals {
    /// Whether the signal of this number is one of them.
    pub fn contains(self, number: i32) -> bool {
        number > 0 && self.0.checked_shr(number.unsigned_abs() - 1).is_some_and(|bits| bits & 1 == 1)
    }
}

/// The signals that this process ignores, by the will of whoever started it; none where that cannot be read.
pub fn ignored_signals() -> Signals {
    parse(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "SigIgn:")
}

/// The signals of one kind in the text of `/proc/PID/status`.
pub fn parse(status: &str, kind: &str) -> Signals {
    let mask = status.lines().find_map(|line| line.strip_prefix(kind));
    Signals(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_told() {
        let ignored = parse("Name:\tsh\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000004001\n", "SigIgn:");
        assert_eq!(
            [1, 2, 15, 0, -1, 99].map(|number| ignored.contains(number)),
            [true, false, true, false, false, false]
        );
        assert_eq!(parse("SigIgn:\tx\n", "SigIgn:"), Signals::default());
    }
}
