// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Open files whose name is gone while the inode lives on under another name, `PATH.keep`: what
//! CRIU can only save by a link of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use crate::Outcome;

/// A regular file, opened once.
pub(crate) fn deleted(path: &Path) -> Outcome<Vec<OwnedFd>> {
    let file = created(path)?;
    delete(path)?;
    Ok(vec![file])
}

/// Removes what an earlier run of the program left, as a program does that is started again and again.
pub(crate) fn remove_old(path: &Path) -> Outcome {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Ok(other?),
    }
}

/// A regular file with two open file descriptions: CRIU makes a link for each.
pub(crate) fn deleted_twice(path: &Path) -> Outcome<Vec<OwnedFd>> {
    let first = created(path)?;
    let second = File::open(path)?.into();
    delete(path)?;
    Ok(vec![first, second])
}

/// A FIFO.
pub(crate) fn deleted_fifo(path: &Path) -> Outcome<Vec<OwnedFd>> {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600))?;
    let fifo = open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    delete(path)?;
    Ok(vec![fifo])
}

/// A Unix socket that listens.
pub(crate) fn deleted_socket(path: &Path) -> Outcome<Vec<OwnedFd>> {
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    fs::remove_file(path)?;
    Ok(vec![listener.into()])
}

/// A symbolic link itself, which only O_PATH can open.
pub(crate) fn deleted_symlink(path: &Path) -> Outcome<Vec<OwnedFd>> {
    std::os::unix::fs::symlink("where nothing is", path)?;
    let link = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    delete(path)?;
    Ok(vec![link])
}

/// A regular file whose directory goes as well: the other name is one level up, where CRIU's link
/// will be too.
pub(crate) fn deleted_with_directory(path: &Path) -> Outcome<Vec<OwnedFd>> {
    let directory = path.parent().ok_or("the path has no directory")?;
    let above = directory.parent().ok_or("the path has only one directory")?;
    let name = path.file_name().ok_or("the path has no last name")?;
    fs::create_dir(directory)?;
    let file = created(path)?;
    fs::hard_link(path, kept(&above.join(name)))?;
    fs::remove_file(path)?;
    fs::remove_dir(directory)?;
    Ok(vec![file])
}

/// Goes on as a copy of this program whose file is deleted: mapped and executed, held by no
/// descriptor.
pub(crate) fn become_deleted_program(path: &Path, rest: &[OsString]) -> Outcome {
    fs::copy("/proc/self/exe", path)?;
    fs::hard_link(path, kept(path))?;
    Err(Command::new(path).arg("remove").arg(path).args(rest).exec().into())
}

fn created(path: &Path) -> Outcome<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::from_raw_mode(0o640))?;
    rustix::io::write(&file, b"the content of a file whose name is gone\n")?;
    Ok(file)
}

fn delete(path: &Path) -> Outcome {
    fs::hard_link(path, kept(path))?;
    Ok(fs::remove_file(path)?)
}

/// `PATH.keep`, whatever bytes PATH holds.
fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".keep");
    name.into()
}
