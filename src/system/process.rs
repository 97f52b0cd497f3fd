// SPDX-License-Identifier: Apache-2.0 OR MIT
//! This process itself: how many files it may open, and which signals it ignores.

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Allows this process as many open files as the system lets it have: each network namespace that is looked at holds
/// one. Where that fails, fewer can be looked at, and that is said then.
pub fn allow_many_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
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
    parse_ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn parse_ignored(status: &str) -> Signals {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    Signals(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_told() {
        let ignored = parse_ignored("Name:\tsh\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000004001\n");
        assert_eq!(
            [1, 2, 15, 0, -1, 99].map(|number| ignored.contains(number)),
            [true, false, true, false, false, false]
        );
        assert_eq!(parse_ignored("SigIgn:\tx\n"), Signals::default());
    }
}
