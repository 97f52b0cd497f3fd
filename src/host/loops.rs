// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filesystems with backing files of loop devices: the kernel has these files open, but no process needs to.
//!
//! criu-gc asks a device (`LOOP_GET_STATUS64`) through its node, opened for reading. If it may not open the node, as in
//! a container without device access, the path in sysfs must lead to a file on another filesystem.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, major, makedev, minor, openat2, statx};
use rustix::io::Errno;

use super::bounded;

/// A device number, `(major, minor)`.
type Device = (u32, u32);

/// What a loop device may keep.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// This filesystem.
    Device(Device, String),
    /// Any.
    Perhaps(String),
}

/// Which of the filesystems loop devices keep, or may keep.
pub(super) fn look(wanted: &BTreeSet<Device>) -> Vec<Kept> {
    let names = match names() {
        Ok(names) => names,
        Err(error) => return vec![Kept::Perhaps(format!("cannot list the loop devices: {error}"))],
    };
    let answers = bounded::each(names.clone(), |name: &String| device_below(name));
    let judge = |(name, answer): (&String, Option<io::Result<Option<Device>>>)| match answer {
        Some(Ok(Some(device))) if wanted.contains(&device) => {
            Some(Kept::Device(device, format!("the backing file of loop device {name} is on it")))
        }
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(Kept::Perhaps(unknown(name, &error))),
        None => Some(Kept::Perhaps(format!("the loop device {name} does not answer"))),
    };
    names.iter().zip(answers).filter_map(judge).collect()
}

fn unknown(name: &str, error: &io::Error) -> String {
    let why = match error.kind() == io::ErrorKind::NotFound {
        true => format!("/dev/{name} does not exist"),
        false => error.to_string(),
    };
    format!("loop device {name} may have its backing file there: {why}")
}

/// The names of the loop devices that have a file.
fn names() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.starts_with("loop") && told(&name).join("loop/backing_file").exists() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Where sysfs tells about a block device.
fn told(name: &str) -> PathBuf {
    Path::new("/sys/block").join(name)
}

/// The filesystem of the file behind a loop device; `None` if it has none any more.
fn device_below(name: &str) -> io::Result<Option<Device>> {
    match asked(name) {
        Ok(device) => Ok(Some(device)),
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
        Err(error) => by_path(name).map_err(|_| error),
    }
}

fn asked(name: &str) -> io::Result<Device> {
    let number = fs::read_to_string(told(name).join("dev"))?;
    let number =
        number.trim().split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let number = number.map(|(major, minor)| makedev(major, minor));
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let node: File = OpenOptions::new().read(true).custom_flags(flags).open(Path::new("/dev").join(name))?;
    if Some(node.metadata()?.rdev()) != number {
        return Err(io::Error::other("/dev has another device of this name"));
    }
    let device = criu_gc_sys::loop_backing_file(&node)?.device;
    Ok((major(device), minor(device)))
}

fn by_path(name: &str) -> io::Result<Option<Device>> {
    let text = match fs::read(told(name).join("loop/backing_file")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let path = Path::new(OsStr::from_bytes(text.strip_suffix(b"\n").unwrap_or(&text)));
    let file = openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let stat = statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::empty())?;
    Ok(Some((stat.stx_dev_major, stat.stx_dev_minor)))
}
