// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filesystems mounted detached: in no mount namespace, for this process alone, and gone with its last descriptor.
//!
//! To look at an ext4 whose only mount ended with a container, its device is read; an XFS is mounted read-only and without
//! journal recovery, so that not one byte on it changes. Only to remove something that was found that way is either mounted
//! writable. Where a journal is known to hold changes that are not on their places yet, what can be seen is not what is
//! there, and nothing is. No set-user-id bit, no device node and no program on it counts.
//!
//! Since Linux 5.2 (fsopen, fsmount).

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use super::dir::Directory;
use super::ext4::{Ext4, Ext4Error};
use super::journal::{self, Journal};
use super::reading;

/// What a filesystem is mounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look: nothing on the device changes.
    Look,
    /// To remove something from it.
    Remove,
}

/// Why a device could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is no such device here.
    #[error("there is no block device {}:{} here", device.0, device.1)]
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
    #[error("{} may be in use, so it is not mounted writable: {why}", path.display())]
    PerhapsInUse {
        /// The device.
        path: PathBuf,
        /// Why it is not known.
        why: String,
    },
    /// A crash left changes in the journal, or somebody has it mounted where this process cannot see it.
    #[error("the journal of {} has not been replayed: the filesystem has to be mounted once, or is elsewhere", path.display())]
    NotReplayed {
        /// The device.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The device.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is an ext4 of which nothing can be told, or nothing must be changed.
    #[error("{} is not looked into", path.display())]
    Ext4 {
        /// The device.
        path: PathBuf,
        /// Why.
        source: Ext4Error,
    },
    /// Nobody knows who wrote its number.
    #[error("others than root may have written the images, so the device {}:{} that they name is not looked at", device.0, device.1)]
    OfOthers {
        /// Its number.
        device: (u32, u32),
    },
    /// None of the filesystems that can be looked at without changing them is on it.
    #[error("{} holds no filesystem of a kind that can be mounted without changing it ({})", path.display(), known())]
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

/// The types of filesystem that have hard links and device numbers of their own. (A btrfs has an anonymous number, so that
/// no number leads to its device.)
const FILESYSTEMS: [&str; 2] = [EXT4, XFS];
/// It is never mounted to look, but read by [`super::ext4`]: of an error that it meets the kernel writes a note to the
/// device, also of one that is mounted read-only.
const EXT4: &str = "ext4";
const XFS: &str = "xfs";

/// How often a device is tried that another mount has not quite let go yet, and how long to wait in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Mounts the filesystem on a block device, and gives its root directory. The mount ends with that value.
///
/// `user` tells which process has the device with a number open, or why that is not known.
pub fn block_device(
    device: (u32, u32),
    purpose: Purpose,
    user: &dyn Fn(u64) -> Result<Option<u32>, String>,
) -> Result<Directory, MountError> {
    let path = find(device).ok_or(MountError::NoDevice { device })?;
    if purpose == Purpose::Remove {
        match user(rustix::fs::makedev(device.0, device.1)) {
            Ok(None) => {}
            Ok(Some(pid)) => return Err(MountError::InUse { path, pid }),
            Err(why) => return Err(MountError::PerhapsInUse { path, why }),
        }
    }
    // Nor is anything removed from one that has errors.
    let found = open_ext4(&path, device)?;
    let available = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for fstype in FILESYSTEMS {
        // Asking for a type that is not there would make the kernel load a module.
        if (fstype == EXT4) != found.is_some() || !available.lines().any(|line| line.trim() == fstype) {
            continue;
        }
        match mount(&path, fstype, purpose) {
            Ok(directory) => return Ok(directory),
            // The superblock is of another type.
            Err(Errno::INVAL) => {}
            Err(source) => return Err(MountError::Refused { path, fstype, source }),
        }
    }
    Err(MountError::UnknownFilesystem { path })
}

/// The same directory on a copy of its mount that nothing is mounted on. The copy is in no mount namespace, and ends with
/// that value. The kernel makes none of a mount that must not be bound, or of one whose owner hides what it covers.
pub fn uncovered(directory: &Directory) -> Result<Directory, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(Directory::of_descriptor(open_tree(directory, "", flags)?, directory.path()))
}

/// The ext4 on a block device, to be read without mounting it; `None` where there is another filesystem.
pub fn unmounted_ext4(device: (u32, u32)) -> Result<Option<Ext4>, MountError> {
    let path = find(device).ok_or(MountError::NoDevice { device })?;
    open_ext4(&path, device)
}

fn open_ext4(node: &Path, device: (u32, u32)) -> Result<Option<Ext4>, MountError> {
    let path = || node.to_owned();
    let unreadable = |source| MountError::Unreadable { path: path(), source };
    let opened = reading::open(CWD, node, OFlags::empty());
    let file = opened.map(fs::File::from).map_err(|source| unreadable(source.into()))?;
    match journal::of_device(&file).map_err(unreadable)? {
        Journal::Empty => Ext4::open(file, device).map_err(|source| MountError::Ext4 { path: path(), source }),
        Journal::Pending => Err(MountError::NotReplayed { path: path() }),
    }
}

fn mount(path: &Path, fstype: &str, purpose: Purpose) -> Result<Directory, Errno> {
    let mut attempt = 1;
    loop {
        match mount_once(path, fstype, purpose) {
            // The kernel frees an unmounted filesystem a moment later, and until then keeps it read-only or writable.
            Err(Errno::BUSY) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            result => return result,
        }
        attempt += 1;
    }
}

fn mount_once(path: &Path, fstype: &str, purpose: Purpose) -> Result<Directory, Errno> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", path)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    if purpose == Purpose::Look {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        fsconfig_set_flag(&context, "ro")?;
        fsconfig_set_flag(&context, if fstype == EXT4 { "noload" } else { "norecovery" })?;
    }
    // Whatever its superblock says: that may be to panic.
    if fstype == EXT4 {
        fsconfig_set_string(&context, "errors", "remount-ro")?;
    }
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(Directory::of_descriptor(root, path))
}

/// The node of a block device, whatever it is called, and only if it has that number.
fn find(device: (u32, u32)) -> Option<PathBuf> {
    let (major, minor) = device;
    let event = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    let path = Path::new("/dev").join(name);
    let node = rustix::fs::stat(&path).ok()?;
    let is_device = FileType::from_raw_mode(node.st_mode) == FileType::BlockDevice;
    (is_device && node.st_rdev == rustix::fs::makedev(major, minor)).then_some(path)
}

fn known() -> String {
    FILESYSTEMS.join(", ")
}
