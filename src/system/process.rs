// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The processes of this machine, as `/proc` shows them to this one. Read-only.
//!
//! A process may end at any moment while it is read: then it is left out, which is what a look a moment later would
//! have given. What may not be read is counted, so that nobody takes "not seen" for "not there".

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::ClockId;

use crate::time::Timestamp;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The pid in the pid namespace of this `/proc`.
    pub pid: u32,
    /// The pids in the namespaces below that one, outermost first (`NSpid` of `/proc/PID/status` without its first).
    pub inner_pids: Vec<u32>,
    /// `comm`: the first 15 bytes of the name.
    pub name: Vec<u8>,
    /// State letter (`R`, `S`, `D`, `T`, `Z`, …).
    pub state: u8,
    /// When it started, to a hundredth of a second.
    pub started: Timestamp,
    /// The program file; `None` where it cannot be read (another user's, a kernel thread).
    pub executable: Option<PathBuf>,
}

/// What one walk through `/proc` gave.
#[derive(Debug, Default)]
pub struct Processes {
    /// The processes, by ascending pid.
    pub list: Vec<Process>,
    /// How many processes showed themselves but could not be read.
    pub unreadable: usize,
}

/// The clock that turns a start time in ticks since boot into a time of day.
#[derive(Debug, Clone, Copy)]
struct BootClock {
    booted_nanoseconds: i128,
}

impl BootClock {
    /// Ticks a second in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture that CRIU supports.
    const TICK_NANOSECONDS: i128 = 10_000_000;

    fn read() -> Self {
        let now = nanoseconds(rustix::time::clock_gettime(ClockId::Realtime));
        let since_boot = nanoseconds(rustix::time::clock_gettime(ClockId::Boottime));
        BootClock { booted_nanoseconds: now - since_boot }
    }

    fn at(self, ticks: u64) -> Timestamp {
        let total = self.booted_nanoseconds + i128::from(ticks) * Self::TICK_NANOSECONDS;
        let seconds = i64::try_from(total.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        Timestamp::new(seconds, u32::try_from(total.rem_euclid(1_000_000_000)).unwrap_or(0))
    }
}

fn nanoseconds(time: rustix::time::Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

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

/// Every process that `/proc` shows, but zombies: those hold nothing any more.
pub fn all() -> io::Result<Processes> {
    let clock = BootClock::read();
    let mut processes = Processes::default();
    for pid in pids()? {
        match read(pid, clock) {
            Ok(process) if process.state == b'Z' || process.state == b'X' => {}
            Ok(process) => processes.list.push(process),
            Err(error) if has_ended(&error) => {}
            Err(_) => processes.unreadable += 1,
        }
    }
    Ok(processes)
}

/// The pids that `/proc` lists, ascending.
pub fn pids() -> io::Result<BTreeSet<u32>> {
    let mut pids = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            pids.insert(pid);
        }
    }
    Ok(pids)
}

/// The command line of a process, argument by argument; empty where it cannot be read.
pub fn arguments(pid: u32) -> Vec<Vec<u8>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|argument| !argument.is_empty()).map(<[u8]>::to_owned).collect()
}

/// Whether the process holds the file or directory with this device and inode open, by a descriptor.
pub fn holds_open(pid: u32, device: u64, inode: u64) -> bool {
    open_files(pid).any(|file| file.dev() == device && file.ino() == inode)
}

/// What the descriptors of a process lead to; none where that may not be seen.
fn open_files(pid: u32) -> impl Iterator<Item = fs::Metadata> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| fs::metadata(descriptor.path()).ok())
}

/// A process that has the block device with this number open.
pub fn user_of_device(number: u64) -> Option<u32> {
    let is_device = |file: &fs::Metadata| file.file_type().is_block_device() && file.rdev() == number;
    pids().ok()?.into_iter().find(|pid| open_files(*pid).any(|file| is_device(&file)))
}

/// The mount table of the process's mount namespace, as `/proc/PID/mountinfo` gives it.
pub fn mountinfo(pid: u32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/mountinfo"))
}

/// The inode number of the process's mount namespace.
pub fn mount_namespace(pid: u32) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/ns/mnt"))?.ino())
}

/// The abstract unix sockets (without their leading NUL) of the calling thread's network namespace.
pub fn abstract_unix_sockets() -> io::Result<Vec<Vec<u8>>> {
    let table = fs::read("/proc/thread-self/net/unix")?;
    Ok(table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.iter().position(|byte| *byte == b'@').map(|at| line[at + 1..].to_vec()))
        .collect())
}

fn read(pid: u32, clock: BootClock) -> io::Result<Process> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read(directory.join("stat"))?;
    let (name, state, ticks) = parse_stat(&stat).ok_or_else(|| malformed(&directory, "stat"))?;
    let status = fs::read(directory.join("status"))?;
    Ok(Process {
        pid,
        inner_pids: parse_inner_pids(&status),
        name,
        state,
        started: clock.at(ticks),
        executable: fs::read_link(directory.join("exe")).ok(),
    })
}

/// Name, state letter and start time (ticks since boot: field 22) of a line of `/proc/PID/stat`. The name may hold
/// anything, parentheses and newlines too, so it ends at the last `)`.
fn parse_stat(stat: &[u8]) -> Option<(Vec<u8>, u8, u64)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    Some((name, state, ticks))
}

/// The pids of a process below the reader's own pid namespace, from `NSpid:` of `/proc/PID/status` (since 4.1).
fn parse_inner_pids(status: &[u8]) -> Vec<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"));
    let text = line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    text.split_ascii_whitespace().skip(1).filter_map(|pid| pid.parse().ok()).collect()
}

fn parse_ignored(status: &str) -> Signals {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    Signals(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
}

fn has_ended(error: &io::Error) -> bool {
    // A read under way when the process ends gives ESRCH, an open after that ENOENT.
    const ESRCH: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

fn malformed(directory: &Path, file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot understand {}/{file}", directory.display()))
}

/// Whether the path of a program ends in exactly this name.
pub fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file.as_bytes() == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_move_the_fields() {
        let stat = b"42 (a) b (c) S 1 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 987654 1000 10";
        assert_eq!(parse_stat(stat), Some((b"a) b (c".to_vec(), b'S', 987_654)));
    }

    #[test]
    fn a_cut_line_is_refused() {
        assert_eq!(parse_stat(b"42 (sh) S 1 42"), None);
        assert_eq!(parse_stat(b"42 sh"), None);
        assert_eq!(parse_stat(b") ("), None);
    }

    #[test]
    fn the_pids_of_inner_namespaces_follow_the_outer_one() {
        assert_eq!(parse_inner_pids(b"Name:\tsh\nNSpid:\t901\t17\t1\nState:\tS\n"), vec![17, 1]);
        assert_eq!(parse_inner_pids(b"Name:\tsh\nNSpid:\t901\n"), Vec::<u32>::new());
    }

    #[test]
    fn ignored_signals_are_told() {
        let ignored = parse_ignored("Name:\tsh\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000004001\n");
        assert_eq!(
            [1, 2, 15, 0, -1, 99].map(|number| ignored.contains(number)),
            [true, false, true, false, false, false]
        );
        assert_eq!(parse_ignored("SigIgn:\tx\n"), Signals::default());
    }

    #[test]
    fn this_process_is_seen_and_has_started_before_now() {
        let own = all().unwrap().list.into_iter().find(|process| process.pid == std::process::id()).unwrap();
        let now = rustix::time::clock_gettime(ClockId::Realtime);
        assert!(own.started <= Timestamp::new(now.tv_sec, 999_999_999));
        assert!(own.executable.is_some());
    }
}
