// SPDX-License-Identifier: Apache-2.0 OR MIT
//! This process, its parent and its child: open files, signals, and how the child ends.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Signal, getrlimit, setrlimit};

/// Allows this process as many open files as the system lets it have: each network namespace that is looked at holds
/// one. Where that fails, fewer can be looked at, and that is said then.
pub(crate) fn allow_many_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Does the work on a thread that is left behind if it hangs; `None` then.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let start = thread::Builder::new().spawn(move || sender.send(work()));
    start.ok().and_then(|_| receiver.recv_timeout(limit).ok())
}

/// Whether standard output and standard error are the same file.
pub(crate) fn has_one_output() -> bool {
    let stats = ["/proc/self/fd/1", "/proc/self/fd/2"].map(rustix::fs::stat::<&str>);
    matches!(stats, [Ok(output), Ok(error)] if (output.st_dev, output.st_ino) == (error.st_dev, error.st_ino))
}

/// Ends this process by a signal, as if nobody had waited for it.
pub(crate) fn end_by_signal(number: i32) -> io::Result<()> {
    if number == signal_hook::consts::SIGKILL {
        rustix::process::kill_process(rustix::process::getpid(), Signal::KILL)?;
    }
    signal_hook::low_level::emulate_default_handler(number)
}

/// A set of signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signals(u64);

impl Signals {
    /// Whether the signal of this number is one of them.
    pub(crate) fn contains(self, number: i32) -> bool {
        number > 0 && self.0.checked_shr(number.unsigned_abs() - 1).is_some_and(|bits| bits & 1 == 1)
    }
}

/// The signals that this process ignores, by the will of whoever started it; none where that cannot be read.
pub(crate) fn ignored_signals() -> Signals {
    parse(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "SigIgn:")
}

/// The program of this process, whatever has its name by now.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Whether the child waits for the signal of this number, which then does not end it.
pub(crate) fn catches(child: u32, number: i32) -> bool {
    let status = fs::read(format!("/proc/{child}/status")).unwrap_or_default();
    parse(&String::from_utf8_lossy(&status), "SigCgt:").contains(number)
}

/// Whether the child has ended as far as it can: its first thread has, and another may wait for a filesystem for ever.
pub(crate) fn has_exited(child: u32) -> bool {
    let stat = fs::read(format!("/proc/{child}/stat")).unwrap_or_default();
    matches!(state(&stat), None | Some(b'Z' | b'X'))
}

/// The state letter in the text of `/proc/PID/stat`; the name before it can hold anything.
fn state(stat: &[u8]) -> Option<u8> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end_of_name + 2).copied()
}

/// Waits until the parent process has the network namespace of this one, but not for ever.
pub(crate) fn await_namespaces_of_parent(limit: Duration) {
    let Some(parent) = rustix::process::getppid() else { return };
    let parent = format!("/proc/{}/ns/net", parent.as_raw_nonzero());
    let namespace = |link: &str| -> Option<PathBuf> { fs::read_link(link).ok() };
    let started = Instant::now();
    while namespace(&parent) != namespace("/proc/self/ns/net") && started.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The signals of one kind in the text of `/proc/PID/status`.
fn parse(status: &str, kind: &str) -> Signals {
    let mask = status.lines().find_map(|line| line.strip_prefix(kind));
    Signals(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_the_name() {
        assert_eq!(state(b"7 (a) R (b)) Z 1 7"), Some(b'Z'));
        assert_eq!((state(b"7 (cut"), state(b"7 (cut)")), (None, None));
    }

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
