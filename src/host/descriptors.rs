// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What processes have open, without touching it: another user's file may be on a filesystem that never answers.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

use super::bounded;
use super::process::{Process, Processes, numbers_in, read_file};
use crate::system::dir::InodeId;
use crate::system::mount::UnknownUser;

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

/// The files that processes have open or mapped. One that does not answer is not among them.
pub(super) fn open_files(pids: Vec<u32>) -> HashSet<InodeId> {
    let answers = bounded::each(pids, |pid: &u32| files_of(&PathBuf::from(format!("/proc/{pid}"))));
    answers.into_iter().flatten().flatten().collect()
}

fn files_of(process: &Path) -> HashSet<InodeId> {
    let descriptors = numbers_in(&process.join("fd")).unwrap_or_default();
    let links = descriptors.into_iter().map(|descriptor| process.join(format!("fd/{descriptor}")));
    // Pipes, sockets and the like have no path.
    let files = links.filter(|link| fs::read_link(link).is_ok_and(|target| target.is_absolute()));
    let open = files.filter_map(|link| {
        let stat = statx(CWD, &link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
        Some(((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
    });
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let mapped = maps.split(|byte| *byte == b'\n').filter_map(mapped_file);
    open.chain(mapped).collect()
}

/// The file in a line of `/proc/PID/maps`: `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH`.
fn mapped_file(line: &[u8]) -> Option<InodeId> {
    let fields: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().take(5).collect();
    let [_, _, _, device, inode] = fields[..] else { return None };
    let (major, minor) = device.split_once(':')?;
    let inode: u64 = inode.parse().ok().filter(|inode| *inode != 0)?;
    Some(((u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?), inode))
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
