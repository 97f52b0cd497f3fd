// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What keeps an unmounted filesystem alive: processes with a directory, a descriptor, a mapping or a bound socket on
//! it, and loop devices, which have their backing file open.
//!
//! A mount that was detached lazily, or never attached, is in no mount table. Its files still have the device number of
//! the filesystem. criu-gc asks the kernel for that number without asking a server (`AT_STATX_DONT_SYNC`), and gives up
//! on a filesystem that does not answer. The text of mappings contains the number, and criu-gc asks sockets for the
//! file of their address.
//!
//! Not found: filesystems kept alive only by a descriptor in flight between two sockets, by a thread with its own
//! descriptors, below the detached copy of another one (`open_tree` with `AT_RECURSIVE`), or by other open files of the
//! kernel (process accounting, an NFS server, an iSCSI target).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::bounded;
use super::descriptors::inode_of_socket;
use super::loops::{self, Kept};
use super::proc::{has_ended, numbers_in};
use super::process::{Process, Processes, listed};
use super::sockets::{self, Left};
use super::standing::may_examine_all;
use super::unseen::{Scope, Unseen};
use crate::system::privilege::{self, Capability};

/// A device number, `(major, minor)`.
type Device = (u32, u32);

/// Why each of these filesystems may still be there.
pub(super) fn of(processes: &Processes, devices: BTreeSet<Device>) -> BTreeMap<Device, Vec<Unseen>> {
    let mut held: BTreeMap<Device, Vec<Unseen>> = BTreeMap::new();
    if devices.is_empty() {
        return held;
    }
    let is_other = |process: &&Process| !process.is_kernel_thread && process.pid != std::process::id();
    let others: Vec<Process> = processes.list.iter().filter(is_other).cloned().collect();
    let devices = Arc::new(devices);
    let answers = {
        let (devices, left) = (Arc::clone(&devices), Left::all());
        bounded::each(others.clone(), move |process: &Process| devices_of(process, &devices, &left))
    };
    let (mut denied, mut silent) = (Vec::new(), Vec::new());
    let mut all = Vec::new();
    for (process, answer) in others.iter().zip(answers) {
        match answer {
            Some(Ok(found)) => {
                for device in found {
                    let why = format!("{} has a file on it open", listed(&[process]));
                    held.entry(device).or_default().push(unseen(why));
                }
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => denied.push(process),
            Some(Err(error)) => {
                all.push(unseen(format!("cannot see everything that {} holds open: {error}", listed(&[process]))))
            }
            None => silent.push(process),
        }
    }
    // What even root may not examine, as the first process of some machines, would make every tmpfs unknown.
    if !denied.is_empty() && !may_examine_all() {
        let advice = privilege::advice(Capability::SysPtrace);
        all.push(unseen(format!("not permitted to see what {} has open{advice}", listed(&denied))));
    }
    if !silent.is_empty() {
        all.push(unseen(format!("a file that {} has open does not answer", listed(&silent))));
    }
    for kept in loops::look(&devices) {
        match kept {
            Kept::Device(device, why) => held.entry(device).or_default().push(unseen(why)),
            Kept::Perhaps(why) => all.push(unseen(why)),
        }
    }
    if !all.is_empty() {
        for device in devices.iter() {
            held.entry(*device).or_default().extend(all.iter().cloned());
        }
    }
    held
}

fn unseen(why: String) -> Unseen {
    Unseen { scope: Scope::Mounts, why }
}

/// Which of the filesystems a process keeps. The error: it does not let that be seen.
fn devices_of(process: &Process, wanted: &BTreeSet<Device>, left: &Left) -> io::Result<BTreeSet<Device>> {
    let directory = PathBuf::from(format!("/proc/{}", process.pid));
    let mut found = BTreeSet::new();
    let looked = add_all(process, &directory, &mut found).and_then(|sockets| {
        found.extend(sockets::devices_of_bound(process.pid, &sockets, left)?);
        Ok(())
    });
    found.retain(|device| wanted.contains(device));
    match looked {
        // One that ends keeps nothing.
        Err(error) if has_ended(&error) || !directory.exists() => Ok(found),
        Err(error) => Err(error),
        Ok(()) => Ok(found),
    }
}

/// Adds the filesystem of each directory, file and mapping, and gives the sockets, by descriptor and inode number.
fn add_all(process: &Process, directory: &Path, found: &mut BTreeSet<Device>) -> io::Result<Vec<(i32, u64)>> {
    let mut add = |device: Option<Device>| found.extend(device);
    let mut sockets = Vec::new();
    for thread in threads(process, directory)? {
        for link in ["cwd", "root"] {
            add(device_of(&thread.join(link))?);
        }
    }
    let alive = living_thread(process, directory)?;
    let descriptors = alive.join("fd");
    for descriptor in numbers_in(&descriptors)? {
        let path = descriptors.join(descriptor.to_string());
        // Pipes and the like have no path.
        if fs::read_link(&path).is_ok_and(|link| link.is_absolute()) {
            add(device_of(&path)?);
        } else if let (Some(inode), Ok(number)) = (inode_of_socket(&path), i32::try_from(descriptor)) {
            sockets.push((number, inode));
        }
    }
    for line in BufReader::new(fs::File::open(alive.join("maps"))?).split(b'\n') {
        add(device_of_mapping(&line?));
    }
    Ok(sockets)
}

/// Each thread may have directories of its own.
fn threads(process: &Process, directory: &Path) -> io::Result<Vec<PathBuf>> {
    if process.threads <= 1 {
        return Ok(vec![directory.to_owned()]);
    }
    let threads = numbers_in(&directory.join("task"))?;
    Ok(threads.into_iter().map(|thread| directory.join(format!("task/{thread}"))).collect())
}

/// The first thread of a process may end before the others, and shows nothing then.
fn living_thread(process: &Process, directory: &Path) -> io::Result<PathBuf> {
    if process.state != b'Z' {
        return Ok(directory.to_owned());
    }
    let threads = numbers_in(&directory.join("task"))?;
    let other = threads.into_iter().find(|thread| *thread != process.pid);
    Ok(other.map_or_else(|| directory.to_owned(), |thread| directory.join(format!("task/{thread}"))))
}

/// The device of what a link of `/proc` leads to, or `None` if that is gone.
fn device_of(link: &Path) -> io::Result<Option<Device>> {
    match statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()) {
        Ok(stat) => Ok(Some((stat.stx_dev_major, stat.stx_dev_minor))),
        Err(error) if has_ended(&error.into()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The device in a line of `/proc/PID/maps`: `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH`.
fn device_of_mapping(line: &[u8]) -> Option<Device> {
    let field = line.split(|byte| *byte == b' ').nth(3)?;
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_of_a_mapping_is_hexadecimal() {
        let line = b"7f2c4a000000-7f2c4a021000 r--s 00000000 00:2f 1029                 /dev/shm/a b (deleted)";
        assert_eq!(device_of_mapping(line), Some((0, 0x2f)));
        assert_eq!(device_of_mapping(b"7ffd0-7ffd1 rw-p 00000000 00:00 0 [stack]"), Some((0, 0)));
        assert_eq!(device_of_mapping(b"nonsense"), None);
    }

    #[test]
    fn a_process_keeps_the_filesystem_of_its_root_and_of_its_program() {
        let processes = Processes::read().unwrap();
        let own = processes.get(std::process::id()).unwrap();
        let root = device_of("/proc/self/root".as_ref()).unwrap().unwrap();
        assert_eq!(devices_of(own, &[root, (0, 0xf_ffff)].into(), &Left::all()).unwrap(), [root].into());
    }
}
