// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which filesystem a file is on, beyond its reusable device number. Read-only.

use std::fs;
use std::os::fd::AsFd;

use criu_gc_sys::{Uuid, filesystem_uuid};

/// What tells a filesystem from another one that gets its device number later. What the kernel does not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilesystemId {
    /// The UUID of the filesystem (Linux 6.9).
    pub uuid: Option<Uuid>,
    /// The `diskseq` of the disk that it is on (Linux 5.15): it grows with each disk that is attached, and is never given
    /// again before the machine restarts.
    pub disk_sequence: Option<u64>,
}

/// Where an overlay keeps its UUID, on its upper directory.
const OVERLAY_UUID: &str = "trusted.overlay.uuid";

impl FilesystemId {
    /// That of an open directory, which has to be open for reading, on a device with this number.
    pub fn of(directory: impl AsFd, device: (u32, u32)) -> Self {
        FilesystemId { uuid: filesystem_uuid(directory).ok().flatten(), disk_sequence: disk_sequence(device) }
    }

    /// That of the overlay whose upper directory this is. The kernel writes a UUID there for each new overlay (Linux 6.6).
    pub fn of_overlay(upper: impl AsFd) -> Self {
        let mut uuid = [0; 16];
        let length = rustix::fs::fgetxattr(upper, OVERLAY_UUID, &mut uuid[..]);
        FilesystemId { uuid: (length == Ok(uuid.len())).then_some(Uuid(uuid)), disk_sequence: None }
    }
}

/// Whether an open directory is a control group, of either version.
pub fn is_control_group(directory: impl AsFd) -> bool {
    /// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` (`linux/magic.h`).
    const MAGIC: [u64; 2] = [0x0027_e0eb, 0x6367_7270];
    rustix::fs::fstatfs(directory)
        .is_ok_and(|filesystem| u64::try_from(filesystem.f_type).is_ok_and(|magic| MAGIC.contains(&magic)))
}

/// The `diskseq` of a disk, or of the disk that a partition is on.
pub fn disk_sequence((major, minor): (u32, u32)) -> Option<u64> {
    if major == 0 {
        return None;
    }
    let device = format!("/sys/dev/block/{major}:{minor}");
    let read = |path: String| fs::read_to_string(path).ok()?.trim().parse().ok();
    read(format!("{device}/diskseq")).or_else(|| read(format!("{device}/../diskseq")))
}
