// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mounts of a tree that runs on after its dump was interrupted. CRIU writes them when all processes are dumped, so the
//! images mostly lack them; but the ids that the entries of files have are those of the kernel, and the mounts are still there.

use std::sync::Arc;

use criu_images::{FsType, MntEntry};

use super::LiveTask;
use crate::checkpoint::{Checkpoint, MountRecord};
use crate::evidence::Evidence;
use crate::host::{Host, Process};
use crate::system::mountinfo::HostMount;

/// Adds the mounts of the living root process to images that have none. One that is in the mount namespace of criu-gc has
/// none of its own.
pub fn add_living_mounts(host: &Host, tree: &[LiveTask], checkpoint: &mut Checkpoint) {
    let is_shared = !checkpoint.files.is_empty() && !checkpoint.has_own_mount_namespace();
    if !checkpoint.mounts.is_empty() || is_shared {
        return;
    }
    let Some(root) = tree.first().and_then(|task| host.processes().get(task.pid)) else { return };
    let namespace = checkpoint.root_mount_namespace().unwrap_or_default();
    let image: Arc<str> = format!("mounts of process {}", root.pid).into();
    for (line, mount) in mounts_of(root).into_iter().enumerate() {
        let evidence = Evidence { image: Arc::clone(&image), record: line as u64, offset: 0 };
        checkpoint.mounts.insert(mount.id, MountRecord { entry: entry(mount), namespace, evidence });
    }
}

fn mounts_of(process: &Process) -> Vec<HostMount> {
    if process.has_own_mounts() == Some(true) { process.mounts().unwrap_or_default() } else { Vec::new() }
}

/// The entry that CRIU would have written.
fn entry(mount: HostMount) -> MntEntry {
    MntEntry::default().with(|entry| {
        entry.fstype = u32::from(match mount.fstype.as_slice() {
            b"tmpfs" => FsType::Tmpfs,
            b"overlay" => FsType::Overlayfs,
            b"proc" => FsType::Proc,
            b"sysfs" => FsType::Sysfs,
            _ => FsType::Auto,
        });
        entry.fsname = (entry.fstype == u32::from(FsType::Auto)).then_some(mount.fstype);
        (entry.mnt_id, entry.parent_mnt_id) = (mount.id, mount.parent);
        entry.root_dev = kernel_form(mount.device);
        (entry.root, entry.mountpoint) = (mount.root, [b".", mount.mountpoint.as_slice()].concat());
        (entry.source, entry.options) = (mount.source, mount.options);
    })
}

/// A device number with twenty bits of minor number.
fn kernel_form((major, minor): (u32, u32)) -> u32 {
    major << 20 | minor
}
