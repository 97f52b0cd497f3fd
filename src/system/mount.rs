// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filesystems mounted detached: in no mount namespace, for this process alone, and gone with its last descriptor.
//!
//! A block device whose only mount ended with a container can be looked at in no other way. To look, it is mounted
//! read-only and without journal recovery, so that not one byte on it changes; only to remove something that was found
//! that way is it mounted writable. Where a journal is known to hold changes that are not on their places yet, what can
//! be seen is not what is there, and nothing is. No set-user-id bit, no device node and no program on it counts.
//!
//! Since Linux 5.2 (fsopen, fsmount).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::dir::Directory;
use super::process;

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
    /// A crash left changes in the journal, or somebody has it mounted where this process cannot see it.
    #[error("the journal of {} has not been replayed: the filesystem has to be mounted once, or is elsewhere", path.display())]
    NotReplayed {
        /// The device.
        path: PathBuf,
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

/// The types of filesystem that have hard links and an option to leave their journal alone.
const FILESYSTEMS: [(&str, &str, Option<&str>); 3] =
    [("ext4", "noload", None), ("xfs", "norecovery", None), ("btrfs", "rescue", Some("nologreplay"))];

/// How often a device is tried that another mount has not quite let go yet, and how long to wait in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Mounts the filesystem on a block device, and gives its root directory. The mount ends with that value.
pub fn block_device(device: (u32, u32), purpose: Purpose) -> Result<Directory, MountError> {
    let path = find(device).ok_or(MountError::NoDevice { device })?;
    if purpose == Purpose::Remove
        && let Some(pid) = process::user_of_device(rustix::fs::makedev(device.0, device.1))
    {
        return Err(MountError::InUse { path, pid });
    }
    if has_pending_journal(&path) {
        return Err(MountError::NotReplayed { path });
    }
    let available = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for (fstype, option, value) in FILESYSTEMS {
        // Asking for a type that is not there would make the kernel load a module.
        if !available.lines().any(|line| line.trim() == fstype) {
            continue;
        }
        match mount(&path, fstype, (option, value), purpose) {
            Ok(directory) => return Ok(directory),
            // The superblock is of another type.
            Err(Errno::INVAL) => {}
            Err(source) => return Err(MountError::Refused { path, fstype, source }),
        }
    }
    Err(MountError::UnknownFilesystem { path })
}

fn mount(
    path: &Path,
    fstype: &str,
    without_recovery: (&str, Option<&str>),
    purpose: Purpose,
) -> Result<Directory, Errno> {
    let mut attempt = 1;
    loop {
        match mount_once(path, fstype, without_recovery, purpose) {
            // The kernel frees an unmounted filesystem a moment later, and until then keeps it read-only or writable.
            Err(Errno::BUSY) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            result => return result,
        }
        attempt += 1;
    }
}

fn mount_once(
    path: &Path,
    fstype: &str,
    (option, value): (&str, Option<&str>),
    purpose: Purpose,
) -> Result<Directory, Errno> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", path)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    if purpose == Purpose::Look {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        fsconfig_set_flag(&context, "ro")?;
        match value {
            Some(value) => fsconfig_set_string(&context, option, value)?,
            None => fsconfig_set_flag(&context, option)?,
        }
    }
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(Directory::of_mount(root, path))
}

/// Whether the superblock of an ext4 or a btrfs says that changes wait in the journal. XFS tells only in the log itself.
fn has_pending_journal(path: &Path) -> bool {
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        fs::File::open(path).and_then(|device| device.read_exact_at(&mut bytes, offset)).ok().map(|()| bytes)
    };
    let has_magic = |offset: u64, magic: &[u8]| read(offset, magic.len()).is_some_and(|bytes| bytes == magic);
    if has_magic(0x438, &[0x53, 0xef]) {
        // INCOMPAT_RECOVER, which the kernel sets for as long as it has the filesystem mounted writable.
        return read(0x460, 1).is_some_and(|features| features[0] & 4 != 0);
    }
    // log_root
    has_magic(0x1_0040, b"_BHRfS_M") && read(0x1_0060, 8).is_some_and(|root| root.iter().any(|byte| *byte != 0))
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
    FILESYSTEMS.map(|(fstype, ..)| fstype).join(", ")
}
