// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens the file for messages (`--log-file`), once nothing can be wrong with the command line any more.
//!
//! Other users may write to its directory, and its name is arbitrary. So no link is followed, and only a regular file
//! with a single name is truncated, and none of CRIU's own files.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criu_images::ImageKind;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, ftruncate, openat};
use rustix::io::{Errno, pread};

use crate::cli::Arguments;
use crate::process;
use crate::terminal::Messages;

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

/// Where messages are to go, for now.
pub(crate) fn wanted(arguments: &Arguments) -> Messages {
    match &arguments.log_file {
        None => Messages::StandardError,
        // Nothing but the document belongs on standard output then, and twice on one terminal is once too often.
        Some(path) if path == Path::new("-") => match arguments.json || process::has_one_output() {
            true => Messages::StandardError,
            false => Messages::StandardOutput,
        },
        Some(_) => Messages::Held(Vec::new()),
    }
}

/// Opens the log file, if one is wanted, unless its filesystem does not answer.
pub(crate) fn open(arguments: &Arguments) -> Result<Option<File>, LogError> {
    let Some(path) = arguments.log_file.clone().filter(|path| path != Path::new("-")) else { return Ok(None) };
    let (theirs, named) = (arguments.clone(), path.clone());
    process::within(PATIENCE, move || open_in_work_directory(&theirs, &named))
        .unwrap_or(Err(LogError::Silent(path)))
        .map(Some)
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
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed("create", &path))?;
    let stat = fstat(&file).map_err(failed("look at", &path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(failed("write, because it is not a regular file with a single name:", &path)(Errno::INVAL));
    }
    let mut head = [0; 32];
    let read = pread(&file, &mut head, 0).map_err(failed("read", &path))?;
    if is_log_of_criu(&head[..read]) {
        return Err(LogError::FileOfCriu(path));
    }
    ftruncate(&file, 0).map_err(failed("empty", &path))?;
    Ok(File::from(file))
}

/// Whether CRIU has written this: its lines begin with the time since its start, `(00.012345)`.
fn is_log_of_criu(text: &[u8]) -> bool {
    let time = text.strip_prefix(b"(").and_then(|rest| rest.split(|byte| *byte == b')').next());
    time.is_some_and(|time| {
        let is_part = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        text.len() > time.len() + 1 && time.contains(&b'.') && time.split(|byte| *byte == b'.').all(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_criu_is_known_by_its_first_line() {
        for text in ["(00.000000) Version: 4.3", "(12.345678) Error (criu/x.c:1): no", "(100.0) "] {
            assert!(is_log_of_criu(text.as_bytes()), "{text}");
        }
        for text in ["", "criu-gc: waiting", "(a.b) x", "(00000) x", "(00.000000", "notes (1.5)"] {
            assert!(!is_log_of_criu(text.as_bytes()), "{text}");
        }
    }

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
