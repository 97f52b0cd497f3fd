// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filesystems mounted detached: in no mount namespace, for this process alone, until their last descriptor is closed.
//!
//! To examine a filesystem whose only mount ended with a container, criu-gc reads its device ([`super::unmounted`]). It
//! mounts the filesystem, writable, only to remove something that it found there. Set-user-id bits, device nodes and
//! programs on it have no effect.
//!
//! Since Linux 5.2 (fsopen, fsmount).

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use super::device;
use super::dir::{Directory, FileError, Name, failed};
use super::unmounted::{ReadError, UnmountedFilesystem};

/// Detaches the mount with this id from the name in a directory, with all that is mounted below it. What is mounted
/// there elsewhere stays as it is: a control group has one filesystem, and many mounts.
pub fn detach(directory: &Directory, name: Name<'_>, mount_id: u32) -> Result<(), FileError> {
    let path = directory.path().join(name.as_os_str());
    let Some(pinned) = directory.pin(name.as_os_str())? else { return Ok(()) };
    let now = pinned.identity()?.mount_id;
    if now != 0 && now != u64::from(mount_id) {
        return Err(failed("unmount (another filesystem is mounted there now)", &path)(Errno::BUSY));
    }
    // The descriptor names the mount, whatever becomes of the path.
    let link = format!("/proc/self/fd/{}", pinned.as_fd().as_raw_fd());
    rustix::mount::unmount(link, UnmountFlags::DETACH).map_err(failed("unmount", &path))
}

/// Why a device could not be read or mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is no such device here.
    #[error("there is no block device {}:{} on this host", device.0, device.1)]
    NoDevice {
        /// Its number.
        device: (u32, u32),
    },
    /// Somebody works on the device itself: a virtual machine, a tool. Two writers would destroy the filesystem.
    #[error("process {pid} has {} open, so it is not mounted writable", path.display())]
    InUse {
        /// The device.
        path: PathBuf,
        /// Who has it open.
        pid: u32,
    },
    /// Whether somebody works on the device is not known.
    #[error("{} may be in use, so it is not mounted writable", path.display())]
    PerhapsInUse {
        /// The device.
        path: PathBuf,
        /// Why it is not known.
        source: UnknownUser,
    },
    /// What is on the device need not be all that is in it.
    #[error("{} is mounted where this process cannot see it", path.display())]
    MountedElsewhere {
        /// The device.
        path: PathBuf,
    },
    /// Nothing can be told of it, and nothing must be changed.
    #[error("criu-gc does not search {}", path.display())]
    NotRead {
        /// The device.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// It is only looked at, for which it is read.
    #[error("criu-gc does not mount the device {}:{} to search it", device.0, device.1)]
    OnlyRead {
        /// Its number.
        device: (u32, u32),
    },
    /// Nobody knows who wrote its number.
    #[error("users other than root may have written the images, so criu-gc does not read the device {}:{} that they name", device.0, device.1)]
    OfOthers {
        /// Its number.
        device: (u32, u32),
    },
    /// None of the filesystems that can be read is on it. (A btrfs has an anonymous number, so that no number leads to its
    /// device.)
    #[error("{} has no filesystem that criu-gc can read (ext4, xfs)", path.display())]
    UnknownFilesystem {
        /// The device.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot mount {} as {fstype}", path.display())]
    Refused {
        /// The device.
        path: PathBuf,
        /// The filesystem type.
        fstype: &'static str,
        /// What the kernel answered.
        #[source]
        source: Errno,
    },
}

/// Not all that processes have open is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file that process {pid} has open does not answer and may be this device")]
pub struct UnknownUser {
    /// The process.
    pub pid: u32,
}

/// How often a device is tried that another mount has not quite let go yet, and how long to wait in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Mounts the filesystem on a block device writable, and gives its root directory. The mount ends with that value.
///
/// `user` tells which process has the device with a number open, or why that is not known.
pub fn block_device(
    device: (u32, u32),
    user: &dyn Fn(u64) -> Result<Option<u32>, UnknownUser>,
) -> Result<Directory, MountError> {
    let path = find(device).ok_or(MountError::NoDevice { device })?;
    match user(rustix::fs::makedev(device.0, device.1)) {
        Ok(None) => {}
        Ok(Some(pid)) => return Err(MountError::InUse { path, pid }),
        Err(source) => return Err(MountError::PerhapsInUse { path, source }),
    }
    // Nothing is removed from what cannot be looked at, because of errors for example.
    let fstype = read(&path, device)?.fstype();
    let available = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // Asking for a type that is not there would make the kernel load a module.
    if !available.lines().any(|line| line.trim() == fstype) {
        return Err(MountError::Refused { path, fstype, source: Errno::NODEV });
    }
    mount(&path, fstype).map_err(|source| MountError::Refused { path, fstype, source })
}

/// The same directory on a copy of its mount that nothing is mounted on. The copy is in no mount namespace, and ends with
/// that value. The kernel makes none of a mount that must not be bound, or of one whose owner hides what it covers.
pub fn uncovered(directory: &Directory) -> Result<Directory, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(Directory::of_descriptor(open_tree(directory, "", flags)?, directory.path()))
}

/// The filesystem on a block device, to be read without mounting it.
pub fn unmounted(device: (u32, u32)) -> Result<UnmountedFilesystem, MountError> {
    let path = find(device).ok_or(MountError::NoDevice { device })?;
    read(&path, device)
}

fn read(path: &Path, device: (u32, u32)) -> Result<UnmountedFilesystem, MountError> {
    let path = path.to_owned();
    if is_mounted_xfs(device) {
        return Err(MountError::MountedElsewhere { path });
    }
    match UnmountedFilesystem::open(&path, device) {
        Ok(Some(filesystem)) => Ok(filesystem),
        Ok(None) => Err(MountError::UnknownFilesystem { path }),
        Err(source) => Err(MountError::NotRead { path, source }),
    }
}

/// Whether there is an XFS on the device that is mounted in any mount namespace, or in none. An ext4 that is mounted says so
/// on the device; an XFS does not before its log is written.
fn is_mounted_xfs((major, minor): (u32, u32)) -> bool {
    let Ok(device) = fs::read_link(format!("/sys/dev/block/{major}:{minor}")) else { return true };
    let Some(name) = device.file_name() else { return true };
    match Path::new("/sys/fs/xfs").join(name).symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn mount(path: &Path, fstype: &str) -> Result<Directory, Errno> {
    let mut attempt = 1;
    loop {
        match mount_once(path, fstype) {
            // The kernel frees an unmounted filesystem a moment later, and until then keeps it read-only or writable.
            Err(Errno::BUSY) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            result => return result,
        }
        attempt += 1;
    }
}

fn mount_once(path: &Path, fstype: &str) -> Result<Directory, Errno> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", path)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    // Whatever its superblock says: that may be to panic.
    if fstype == "ext4" {
        fsconfig_set_string(&context, "errors", "remount-ro")?;
    }
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(Directory::of_descriptor(root, path))
}

/// The node of a block device, whatever it is called, and only if it has that number.
fn find(device: (u32, u32)) -> Option<PathBuf> {
    let (major, minor) = device;
    if !device::may_be_attached(device) {
        return None;
    }
    let event = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    let path = Path::new("/dev").join(name);
    let node = rustix::fs::stat(&path).ok()?;
    let is_device = FileType::from_raw_mode(node.st_mode) == FileType::BlockDevice;
    (is_device && node.st_rdev == rustix::fs::makedev(major, minor)).then_some(path)
}
