// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens the file for messages (`--log-file`).
//!
//! Other users may write to its directory, and its name is arbitrary. So no link is followed, and only a regular file
//! with a single name is truncated, and none of CRIU's own files.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use criu_images::ImageKind;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, ftruncate, openat};
use rustix::io::Errno;

use crate::cli::Arguments;

/// How long its filesystem may take: a disk may have to spin up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no log file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// Its filesystem takes too long.
    #[error("cannot write messages into {}: its filesystem does not answer", .0.display())]
    Silent(PathBuf),
    /// The path ends in no name.
    #[error("cannot write messages into {}: it has no file name", .0.display())]
    Nameless(PathBuf),
    /// It would take the place of something that CRIU wrote.
    #[error("cannot write messages into {}: CRIU uses this name for its own file", .0.display())]
    FileOfCriu(PathBuf),
    /// A call failed.
    #[error("cannot {operation} {}", path.display())]
    Call {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
}

/// Opens the log file, if one is wanted, unless its filesystem does not answer.
pub(crate) fn open(arguments: &Arguments) -> Result<Option<File>, LogError> {
    let Some(path) = arguments.log_file.clone() else { return Ok(None) };
    let (sender, receiver) = mpsc::channel();
    let (arguments, named) = (arguments.clone(), path.clone());
    // A thread that hangs is left behind.
    let start = thread::Builder::new().spawn(move || sender.send(open_in_work_directory(&arguments, &named)));
    match start.ok().and_then(|_| receiver.recv_timeout(PATIENCE).ok()) {
        Some(opened) => opened.map(Some),
        None => Err(LogError::Silent(path)),
    }
}

/// As CRIU does; an archive has no work directory, so a relative path is one in the current directory then.
fn open_in_work_directory(arguments: &Arguments, path: &Path) -> Result<File, LogError> {
    let first = arguments.all_directories().into_iter().next().filter(|named| named.is_dir());
    let full = arguments.work_dir.clone().or(first).unwrap_or_default().join(path);
    let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
        return Err(LogError::Nameless(path.to_owned()));
    };
    if is_file_of_criu(name) {
        return Err(LogError::FileOfCriu(full));
    }
    let parent = if parent == Path::new("") { Path::new(".") } else { parent };
    create(parent, name)
}

/// Whether CRIU gives this name to an image, a log or statistics of its own.
fn is_file_of_criu(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.ends_with(b".img")
        || ImageKind::from_file_name(name).is_some()
        || matches!(bytes, b"dump.log" | b"restore.log")
}

fn create(directory: &Path, name: &OsStr) -> Result<File, LogError> {
    let path = directory.join(name);
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| LogError::Call { operation, path, source }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, directory, flags, Mode::empty()).map_err(failed("open directory", directory))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed("create", &path))?;
    let stat = fstat(&file).map_err(failed("look at", &path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(failed("write, because it is not a regular file with a single name:", &path)(Errno::INVAL));
    }
    ftruncate(&file, 0).map_err(failed("empty", &path))?;
    Ok(File::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_criu_are_known_by_their_names() {
        for name in ["inventory.img", "pages-1.img", "stats-dump", "dump.log", "restore.log", "new-in-criu-9.img"] {
            assert!(is_file_of_criu(name.as_ref()), "{name}");
        }
        for name in ["gc.log", "dump.log.1", "img", "files"] {
            assert!(!is_file_of_criu(name.as_ref()), "{name}");
        }
    }
}
