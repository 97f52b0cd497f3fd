// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entering a container's root directory, as a runtime does: the mount namespace is already our
//! own; afterwards nothing of the host is mounted in it but what was asked for.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use crate::Outcome;
use crate::directive::{Entry, Mount};

/// Where the testkit puts this program below a container's root.
const PROGRAM: &str = "/workload";

/// Makes the mounts, turns the root, and goes on as the root's own copy of this program: CRIU
/// must find the running program's file inside the container.
pub(crate) fn enter(entry: &Entry) -> Outcome {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount_bind(&entry.root, &entry.root)?;
    mount("proc", &target(entry, "/proc".as_ref())?, "proc", MountFlags::empty(), None)?;
    for extra in &entry.mounts {
        make(entry, extra).map_err(|error| format!("{extra:?}: {error}"))?;
    }
    turn(&entry.root)?;
    Err(Command::new(PROGRAM).args(&entry.arguments).exec().into())
}

/// Binds a directory in a mount namespace that is from now on this process's own.
#[expect(deprecated, reason = "its successor is unsafe for the sake of descriptor tables, which this leaves alone")]
pub(crate) fn mount_alone(source: &Path, target: &Path) -> Outcome {
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNS)?;
    Ok(mount_bind(source, target)?)
}

fn make(entry: &Entry, extra: &Mount) -> Outcome {
    match extra {
        Mount::Bind(source, inside) => Ok(mount_bind(source, &target(entry, inside)?)?),
        Mount::ReadOnlyBind(source, inside) => {
            let place = target(entry, inside)?;
            mount_bind(source, &place)?;
            Ok(mount_remount(&place, MountFlags::BIND | MountFlags::RDONLY, "")?)
        }
        Mount::Tmpfs(inside) => {
            let place = target(entry, inside)?;
            Ok(mount("tmpfs", &place, "tmpfs", MountFlags::empty(), None)?)
        }
    }
}

fn target(entry: &Entry, inside: &Path) -> Outcome<PathBuf> {
    let place = entry.root.join(inside.strip_prefix("/")?);
    fs::create_dir_all(&place)?;
    Ok(place)
}

/// `pivot_root(".", ".")`: the old root ends up on top of the new one, and is taken off it.
fn turn(root: &Path) -> Outcome {
    chdir(root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}
