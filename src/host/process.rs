// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The processes that `/proc` shows, each read once.
//!
//! A process may exit while it is read. It is then left out, as a look a moment later would do. What cannot be read is
//! stored as such, so that nobody takes "not seen" for "not there".

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::ClockId;

use super::namespace::number_of;
use super::proc::{has_ended, numbers_in, read_file};
use super::stat::{Stat, Status};
use crate::memory::MemoryLayout;
use crate::system::mountinfo::{self, HostMount};
use crate::time::Timestamp;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The pid in the pid namespace of this `/proc`.
    pub pid: u32,
    /// Its pids in all pid namespaces from that one down to its own; never empty.
    pub pids: Vec<u32>,
    /// `comm`: the first 15 bytes of the name.
    pub name: Vec<u8>,
    /// State letter (`R`, `S`, `D`, `T`, `Z`, …).
    pub state: u8,
    /// When it started, to a hundredth of a second, by the clock of now.
    pub started: Timestamp,
    /// How long after the boot it started: no clock that is set moves that.
    pub after_boot: Duration,
    /// Whether it is a thread of the kernel's, which is of no tree.
    pub is_kernel_thread: bool,
    /// How many threads it has.
    pub threads: u32,
    /// Who traces it.
    pub tracer: Option<u32>,
    /// Its parent; 0 for one in another pid namespace.
    pub parent: Option<u32>,
    /// The signals that its first thread blocks, the first in the lowest bit.
    pub blocked: u64,
    /// Where its parts lie in memory, where the kernel tells.
    pub layout: Option<MemoryLayout>,
    /// The program file; `None` where it cannot be read (another user's, a kernel thread).
    pub executable: Option<PathBuf>,
    /// Whether it is a criu, once somebody asked.
    pub(crate) criu: OnceLock<bool>,
}

/// What one walk through `/proc` gave.
#[derive(Debug, Default)]
pub struct Processes {
    /// The processes, by ascending pid, but zombies: those hold nothing any more.
    pub list: Vec<Process>,
    /// Those that showed themselves but could not be read.
    pub unreadable: Vec<u32>,
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

impl Processes {
    /// Reads every process.
    pub(super) fn read() -> io::Result<Self> {
        let clock = BootClock::read();
        let mut processes = Processes::default();
        for pid in pids()? {
            match read(pid, clock) {
                Ok(Some(process)) => processes.list.push(process),
                Ok(None) => {}
                Err(error) if has_ended(&error) => {}
                Err(_) => processes.unreadable.push(pid),
            }
        }
        Ok(processes)
    }

    /// The process with this pid.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.list.binary_search_by_key(&pid, |process| process.pid).ok().map(|at| &self.list[at])
    }

    /// The processes that trace another one.
    pub fn tracers(&self) -> BTreeSet<u32> {
        self.list.iter().filter_map(|process| process.tracer).collect()
    }
}

impl Process {
    /// Its root directory, by a path through the process.
    pub fn root(&self) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join("root")
    }

    /// The mounts on the root directory that it sees; `None` where that cannot be read.
    pub fn root_mounts(&self) -> Option<Vec<HostMount>> {
        let table = fs::File::open(format!("/proc/{}/mountinfo", self.pid)).ok()?;
        let mut mounts = Vec::new();
        let is_root = |brief: mountinfo::Brief<'_>| brief.mountpoint == b"/";
        mountinfo::read(BufReader::new(table), is_root, |mount| mounts.push(mount)).ok()?;
        Some(mounts)
    }

    /// The mounts that it sees; `None` where they cannot be read, or are more than any real tree has.
    pub fn mounts(&self) -> Option<Vec<HostMount>> {
        const MOST: usize = 10_000;
        let table = fs::File::open(format!("/proc/{}/mountinfo", self.pid)).ok()?;
        let (mut mounts, mut count) = (Vec::new(), 0);
        let is_wanted = |_: mountinfo::Brief<'_>| {
            count += 1;
            count <= MOST
        };
        mountinfo::read(BufReader::new(table), is_wanted, |mount| mounts.push(mount)).ok()?;
        (count <= MOST).then_some(mounts)
    }

    /// Whether it is in another mount namespace than criu-gc; `None` where that cannot be told.
    pub fn has_own_mounts(&self) -> Option<bool> {
        let of = |process: &str| number_of(&format!("/proc/{process}/ns/mnt"));
        Some(of(&self.pid.to_string())? != of("self")?)
    }

    /// The number of the system call in which its first thread waits; `None` while it runs, and where that cannot be read.
    pub fn waits_in(&self) -> Option<u64> {
        let text = read_file(&PathBuf::from(format!("/proc/{}/syscall", self.pid))).ok()?;
        std::str::from_utf8(&text).ok()?.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Its current directory.
    pub fn directory(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// The paths of what it has open, by the kernel's word. Nothing of it is touched.
    pub fn open_paths(&self) -> Vec<PathBuf> {
        let directory = PathBuf::from(format!("/proc/{}/fd", self.pid));
        let descriptors = numbers_in(&directory).unwrap_or_default();
        let links = descriptors.into_iter().filter_map(|number| fs::read_link(directory.join(number.to_string())).ok());
        links.filter(|link| link.is_absolute()).collect()
    }

    /// Whether CRIU's restorer is in its memory: code that may be written, and what the tasks of a restore share.
    pub fn has_restorer(&self) -> bool {
        let maps = fs::read(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps);
        maps.lines().any(|line| line.contains(" rwxp ") && !line.contains('/'))
            && maps.lines().any(|line| line.contains(" rw-s ") && line.ends_with("/dev/zero (deleted)"))
    }

    /// Whether its first thread waits in the memory that the tasks of a restore share: the address that it waits for lies
    /// there, and CRIU's restorer is in its memory.
    pub fn waits_in_restorer(&self) -> bool {
        let Ok(text) = read_file(&PathBuf::from(format!("/proc/{}/syscall", self.pid))) else { return false };
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut words = text.split_ascii_whitespace().skip(1);
        let hexadecimal = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let Some(address) = words.next().and_then(hexadecimal) else { return false };
        let maps = fs::read(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps);
        let is_there = |line: &&str| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let range = range.and_then(|(start, end)| Some(hexadecimal(start)?..hexadecimal(end)?));
            range.is_some_and(|range| range.contains(&address))
        };
        let shared = maps.lines().find(is_there);
        shared.is_some_and(|line| line.contains(" rw-s ") && line.ends_with("/dev/zero (deleted)"))
            && self.has_restorer()
    }

    /// Whether its mount table has, or may have, a mount at this path or below.
    pub(super) fn may_have_mounts_at(&self, path: &Path) -> bool {
        let has = |mount: &HostMount| Path::new(OsStr::from_bytes(&mount.mountpoint)).starts_with(path);
        match fs::read(format!("/proc/{}/mountinfo", self.pid)) {
            Ok(table) => mountinfo::parse(&table).0.iter().any(has),
            Err(error) => !has_ended(&error),
        }
    }

    /// The command line, argument by argument; empty where it cannot be read.
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        let bytes = read_file(&PathBuf::from(format!("/proc/{}/cmdline", self.pid))).unwrap_or_default();
        bytes.split(|byte| *byte == 0).filter(|argument| !argument.is_empty()).map(<[u8]>::to_owned).collect()
    }
}

/// Whether the process that has this pid now started at this time after the boot.
pub fn is_same_process(pid: u32, after_boot: Duration) -> bool {
    let stat = read_file(&PathBuf::from(format!("/proc/{pid}/stat"))).ok();
    let started = stat.and_then(|stat| Stat::parse(&stat)).map(|stat| stat.ticks.saturating_mul(10));
    started.map(Duration::from_millis) == Some(after_boot)
}

/// The first few of some processes, for people.
pub(super) fn listed(processes: &[&Process]) -> String {
    const FEW: usize = 3;
    let named = |process: &&Process| format!("{} ({})", process.pid, String::from_utf8_lossy(&process.name));
    let named: Vec<String> = processes.iter().take(FEW).map(named).collect();
    let more = match processes.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let word = if processes.len() == 1 { "process" } else { "processes" };
    format!("{word} {}{more}", named.join(", "))
}

/// The pids that `/proc` lists, ascending.
fn pids() -> io::Result<BTreeSet<u32>> {
    numbers_in(Path::new("/proc"))
}

/// `None` for what holds nothing any more.
fn read(pid: u32, clock: BootClock) -> io::Result<Option<Process>> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let stat = Stat::parse(&read_file(&directory.join("stat"))?).ok_or_else(|| malformed(&directory))?;
    let is_dead = matches!(stat.state, b'Z' | b'X');
    // The first thread of a process may end before the others.
    if is_dead && stat.threads <= 1 {
        return Ok(None);
    }
    let Status { mut pids, tracer, parent, blocked } = Status::parse(&read_file(&directory.join("status"))?);
    if pids.is_empty() {
        pids.push(pid);
    }
    let layout = if is_dead { of_other_threads(pid, &directory) } else { stat.layout };
    Ok(Some(Process {
        pid,
        pids,
        name: stat.name,
        state: stat.state,
        started: clock.at(stat.ticks),
        after_boot: Duration::from_millis(stat.ticks.saturating_mul(10)),
        is_kernel_thread: stat.is_kernel_thread,
        threads: stat.threads,
        tracer,
        parent,
        blocked,
        layout,
        executable: if stat.is_kernel_thread { None } else { fs::read_link(directory.join("exe")).ok() },
        criu: OnceLock::new(),
    }))
}

fn of_other_threads(pid: u32, process: &Path) -> Option<MemoryLayout> {
    let threads = numbers_in(&process.join("task")).ok()?;
    let stat = |thread: u32| Stat::parse(&read_file(&process.join(format!("task/{thread}/stat"))).ok()?)?.layout;
    threads.into_iter().filter(|thread| *thread != pid).find_map(stat)
}

fn malformed(directory: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot understand {}/stat", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_and_has_started_before_now() {
        let processes = Processes::read().unwrap();
        let own = processes.get(std::process::id()).unwrap();
        let now = rustix::time::clock_gettime(ClockId::Realtime);
        assert!(own.started <= Timestamp::new(now.tv_sec, 999_999_999));
        assert!(own.executable.is_some() && own.layout.is_some() && !own.is_kernel_thread);
        assert_eq!(own.pids.first(), Some(&own.pid));
    }
}
