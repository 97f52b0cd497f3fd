// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What processes have open, without touching it: another user's file may be on a filesystem that never answers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

use super::bounded;
use super::namespace::{Kind, Link};
use super::proc::{numbers_in, read_file};
use super::process::{Process, Processes};
use crate::system::dir::InodeId;
use crate::system::mount::UnknownUser;

/// No more sockets are listed: a user can have any number.
pub(super) const MOST_SOCKETS: usize = 1_000_000;

/// What descriptors of processes lead to, by the text of their links, all read once.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    /// A few links to each namespace: one may be gone when it is needed.
    namespaces: BTreeMap<(Kind, u64), Vec<Link>>,
    /// The sockets of each process that none before it has. A process whose descriptors may not be read has none.
    pub(super) sockets: Vec<Sockets>,
    /// Whether there are more sockets than are listed.
    pub(super) has_more_sockets: bool,
    /// The sockets of each process that one before it has too, while not too many are listed.
    shared: HashMap<u32, Vec<(i32, u64)>>,
    /// How many those are.
    shared_count: usize,
    /// The processes whose sockets are not all listed.
    unlisted: HashSet<u32>,
}

/// Some of the sockets of a process.
#[derive(Debug, Clone)]
pub(super) struct Sockets {
    pub(super) pid: u32,
    /// By descriptor and inode number.
    pub(super) list: Vec<(i32, u64)>,
}

impl Descriptors {
    pub(super) fn read(processes: &Processes) -> Self {
        let mut descriptors = Descriptors::default();
        let mut seen = HashSet::new();
        for process in processes.list.iter().filter(|process| !process.is_kernel_thread) {
            descriptors.add(process.pid, &mut seen);
        }
        descriptors
    }

    fn add(&mut self, pid: u32, seen: &mut HashSet<u64>) {
        const LINKS: usize = 4;
        let directory = PathBuf::from(format!("/proc/{pid}/fd"));
        let is_own = pid == std::process::id();
        let mut list = Vec::new();
        let numbers = numbers_in(&directory).unwrap_or_else(|_| {
            self.unlisted.insert(pid);
            BTreeSet::new()
        });
        for number in numbers {
            let path = directory.join(number.to_string());
            let Ok(link) = fs::read_link(&path) else { continue };
            let text = link.as_os_str().as_bytes();
            if let Some((kind, namespace)) = Kind::ALL.into_iter().find_map(|kind| Some((kind, kind.number(text)?))) {
                let links = self.namespaces.entry((kind, namespace)).or_default();
                if links.len() < LINKS {
                    links.push(Link { path, number: namespace });
                }
            } else if let (Some(inode), Ok(number), false) = (inode_in(text), i32::try_from(number), is_own) {
                self.has_more_sockets |= seen.len() == MOST_SOCKETS;
                if self.has_more_sockets {
                    self.unlisted.insert(pid);
                } else if seen.insert(inode) {
                    list.push((number, inode));
                } else {
                    self.add_shared(pid, (number, inode));
                }
            }
        }
        if !list.is_empty() {
            self.sockets.push(Sockets { pid, list });
        }
    }

    fn add_shared(&mut self, pid: u32, socket: (i32, u64)) {
        if self.shared_count == MOST_SOCKETS {
            self.unlisted.insert(pid);
            return;
        }
        self.shared_count += 1;
        self.shared.entry(pid).or_default().push(socket);
    }

    /// The sockets of each of these processes, by descriptor and inode number; `None` for one of which not all are listed.
    pub(super) fn sockets_of(&self, pids: &[u32]) -> Vec<Option<Vec<(i32, u64)>>> {
        let first: HashMap<u32, &Vec<(i32, u64)>> =
            self.sockets.iter().map(|sockets| (sockets.pid, &sockets.list)).collect();
        let all =
            |pid: &u32| first.get(pid).copied().into_iter().chain(self.shared.get(pid)).flatten().copied().collect();
        pids.iter().map(|pid| (!self.unlisted.contains(pid)).then(|| all(pid))).collect()
    }

    /// The links to namespaces of this kind.
    pub(super) fn namespaces(&self, kind: Kind) -> impl Iterator<Item = &Link> {
        self.namespaces.range((kind, 0)..=(kind, u64::MAX)).flat_map(|(_, links)| links)
    }
}

/// The number in `socket:[NUMBER]`.
fn inode_in(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.strip_prefix(b"socket:[")?.strip_suffix(b"]")?).ok()?.parse().ok()
}

/// The socket that a link below `/proc` leads to.
pub(super) fn inode_of_socket(link: &Path) -> Option<u64> {
    inode_in(fs::read_link(link).ok()?.as_os_str().as_bytes())
}

/// Whether the process has a descriptor of the inode. `fdinfo` tells the inode since Linux 5.14; before that the text
/// of the link has to do.
pub(super) fn holds_open(process: &Process, path: &Path, inode: u64) -> bool {
    let directory = PathBuf::from(format!("/proc/{}", process.pid));
    let descriptors = numbers_in(&directory.join("fd")).unwrap_or_default();
    descriptors.into_iter().any(|descriptor| {
        match inode_of(&directory.join(format!("fdinfo/{descriptor}"))) {
            Some(found) if found != inode => false,
            // Another filesystem may have an inode of this number; then something is kept that need not be.
            Some(_) => true,
            None => fs::read_link(directory.join(format!("fd/{descriptor}"))).is_ok_and(|link| link == path),
        }
    })
}

fn inode_of(fdinfo: &Path) -> Option<u64> {
    let text = read_file(fdinfo).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find_map(|line| line.strip_prefix("ino:"))?.trim().parse().ok()
}

/// The files without a name that processes have open or mapped, with the name that each had. A process that does not answer
/// has none.
pub(super) fn deleted_files(pids: Vec<u32>) -> HashMap<InodeId, Vec<u8>> {
    let answers = bounded::each(pids, |pid: &u32| deleted_files_of(&PathBuf::from(format!("/proc/{pid}"))));
    answers.into_iter().flatten().flatten().collect()
}

/// Which of these processes have one of these inodes open or mapped without a name, and which do not answer.
pub(super) fn holders_of_deleted(pids: Vec<u32>, wanted: HashSet<InodeId>) -> (Vec<(u32, Vec<InodeId>)>, Vec<u32>) {
    let look = move |pid: &u32| -> Vec<InodeId> {
        let held = deleted_files_of(&PathBuf::from(format!("/proc/{pid}")));
        held.into_keys().filter(|inode| wanted.contains(inode)).collect()
    };
    let answers = bounded::each(pids.clone(), look);
    let (mut holders, mut silent) = (Vec::new(), Vec::new());
    for (pid, answer) in pids.into_iter().zip(answers) {
        match answer {
            Some(inodes) if inodes.is_empty() => {}
            Some(inodes) => holders.push((pid, inodes)),
            None => silent.push(pid),
        }
    }
    (holders, silent)
}

fn deleted_files_of(process: &Path) -> HashMap<InodeId, Vec<u8>> {
    let descriptors = numbers_in(&process.join("fd")).unwrap_or_default();
    let open = descriptors.into_iter().filter_map(|descriptor| {
        let link = process.join(format!("fd/{descriptor}"));
        let name = deleted_name(fs::read_link(&link).ok()?.as_os_str().as_bytes())?;
        let stat = statx(CWD, &link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
        Some((((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino), name))
    });
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let mapped = maps.split(|byte| *byte == b'\n').filter_map(deleted_mapping);
    open.chain(mapped).collect()
}

fn deleted_name(text: &[u8]) -> Option<Vec<u8>> {
    Some(text.strip_suffix(b" (deleted)").filter(|name| name.starts_with(b"/"))?.to_vec())
}

/// The file in a line of `/proc/PID/maps`: `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH (deleted)`.
fn deleted_mapping(line: &[u8]) -> Option<(InodeId, Vec<u8>)> {
    let name = deleted_name(&line[line.iter().position(|byte| *byte == b'/')?..])?;
    let mut fields = line.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty()).skip(3);
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (major, minor) = field()?.split_once(':')?;
    let inode: u64 = field()?.parse().ok()?;
    Some((((u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?), inode), name))
}

/// A process that has the block device with this number open.
pub(super) fn user_of_device(processes: &Processes, number: u64) -> Result<Option<u32>, UnknownUser> {
    let mut open = Vec::new();
    for process in processes.list.iter().filter(|process| !process.is_kernel_thread) {
        let directory = PathBuf::from(format!("/proc/{}/fd", process.pid));
        for descriptor in numbers_in(&directory).unwrap_or_default() {
            let path = directory.join(descriptor.to_string());
            // Pipes, sockets and the like have no path.
            if fs::read_link(&path).is_ok_and(|link| link.is_absolute()) {
                open.push((process.pid, path));
            }
        }
    }
    let pids: Vec<u32> = open.iter().map(|(pid, _)| *pid).collect();
    let answers = bounded::each(open, move |(_, path): &(u32, PathBuf)| is_device(path, number));
    let mut silent = None;
    for (pid, answer) in pids.into_iter().zip(answers) {
        match answer {
            Some(true) => return Ok(Some(pid)),
            Some(false) => {}
            None => silent = Some(pid),
        }
    }
    match silent {
        None => Ok(None),
        Some(pid) => Err(UnknownUser { pid }),
    }
}

/// No server is asked: the type and the number of a node never change.
fn is_device(path: &Path, number: u64) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC;
    statx(CWD, path, flags, StatxFlags::TYPE).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice
            && rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor) == number
    })
}
