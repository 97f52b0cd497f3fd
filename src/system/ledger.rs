// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file of lines that only grows: no crash and no full disk destroys an earlier line.
//!
//! When [`Ledger::append`] returns, the line is in the file, or nothing of it is; and on disk after [`Ledger::sync`]. A line without an end comes from a killed
//! run; it is ended, not removed, before the next one begins.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::author::Author;
use super::dir::Directory;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A call failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The ledger.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// What has its name is something else, or has more names.
    #[error("{} is not a regular file with a single name", .0.display())]
    NotRegular(PathBuf),
    /// Its lines may be anybody's.
    #[error("{} is writable by users other than root and the one who runs criu-gc", .0.display())]
    OthersWrite(PathBuf),
    /// Another process writes it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
}

impl LedgerError {
    /// What becomes of an error of the standard library.
    pub fn failed(operation: &'static str, path: &Path, source: io::Error) -> Self {
        LedgerError::Io { operation, path: path.to_owned(), source }
    }
}

/// A ledger that this process, and no other, appends to.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    /// Where the next line begins.
    end: u64,
}

impl Ledger {
    /// Opens the ledger `name` of a directory, or begins it.
    pub fn open(directory: &Directory, name: &OsStr) -> Result<Self, LedgerError> {
        let path = directory.path().join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| failed("open", &path)(error.into()))?;
        let file = File::from(fd);
        check(&file, &path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LedgerError::InUse(path)),
            Err(error) => return Err(failed("lock", &path)(error.into())),
        }
        let end = end_of_lines(&file).map_err(failed("append to", &path))?;
        Ok(Ledger { file, path, end })
    }

    /// Appends a line, given without its end.
    pub fn append(&mut self, line: &[u8]) -> Result<(), LedgerError> {
        let line = [line, b"\n"].concat();
        let written = self.file.write_all_at(&line, self.end);
        match written {
            Ok(()) => self.end += line.len() as u64,
            // If this fails too, the next line overwrites what there is of this one, and what is left of it after
            // that is no line of its own.
            Err(_) => self.file.set_len(self.end).unwrap_or(()),
        }
        written.map_err(failed("append to", &self.path))
    }

    /// Waits until all lines are on disk.
    pub fn sync(&self) -> Result<(), LedgerError> {
        self.file.sync_data().map_err(failed("write to disk", &self.path))
    }
}

/// Opens the ledger `name` of a directory to read it; `None` if there is none.
pub fn read(directory: &Directory, name: &OsStr) -> Result<Option<File>, LedgerError> {
    let path = directory.path().join(name);
    let file = directory.read_file(name).map_err(|error| failed(error.operation, &path)(error.source.into()))?;
    if let Some(file) = &file {
        check(file, &path)?;
    }
    Ok(file)
}

/// The end of the file, after an end was given to a line that has none.
fn end_of_lines(file: &File) -> io::Result<u64> {
    let end = file.metadata()?.len();
    let mut last = [b'\n'];
    if end > 0 {
        file.read_exact_at(&mut last, end - 1)?;
    }
    if last == [b'\n'] {
        return Ok(end);
    }
    file.write_all_at(b"\n", end)?;
    Ok(end + 1)
}

/// In a directory where others may make entries, as in `/tmp`, the ledger could be theirs.
fn check(file: &File, path: &Path) -> Result<(), LedgerError> {
    let metadata = file.metadata().map_err(failed("look at", path))?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(LedgerError::NotRegular(path.to_owned()));
    }
    match Author::of(file).map_err(|error| failed("look at", path)(error.into()))? {
        Author::Trusted => Ok(()),
        Author::User(_) | Author::Anybody => Err(LedgerError::OthersWrite(path.to_owned())),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
    move |source| LedgerError::failed(operation, path, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        (place, directory)
    }

    #[test]
    fn lines_are_appended_also_after_one_that_has_no_end() {
        let (place, directory) = directory();
        let name = OsStr::new("lines");
        Ledger::open(&directory, name).unwrap().append(b"one").unwrap();
        let path = place.path().join(name);
        std::fs::write(&path, b"one\ncut").unwrap();
        let mut ledger = Ledger::open(&directory, name).unwrap();
        ledger.append(b"two").unwrap();
        ledger.append(b"three").unwrap();
        ledger.sync().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ncut\ntwo\nthree\n");
    }

    #[test]
    fn one_process_at_a_time_appends() {
        let (_place, directory) = directory();
        let first = Ledger::open(&directory, OsStr::new("lines")).unwrap();
        let second = Ledger::open(&directory, OsStr::new("lines"));
        assert!(matches!(second, Err(LedgerError::InUse(_))), "{second:?}");
        drop(first);
        assert!(Ledger::open(&directory, OsStr::new("lines")).is_ok());
    }

    #[test]
    fn what_may_be_somebody_elses_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let (place, directory) = directory();
        let path = |name: &str| place.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("file", path("symlink")).unwrap();
        let link = Ledger::open(&directory, OsStr::new("symlink"));
        assert!(matches!(link, Err(LedgerError::Io { operation: "open", .. })), "{link:?}");
        std::fs::hard_link(path("file"), path("hard link")).unwrap();
        let linked = Ledger::open(&directory, OsStr::new("file"));
        assert!(matches!(linked, Err(LedgerError::NotRegular(_))), "{linked:?}");
        std::fs::remove_file(path("hard link")).unwrap();
        std::fs::set_permissions(path("file"), std::fs::Permissions::from_mode(0o620)).unwrap();
        let open = Ledger::open(&directory, OsStr::new("file"));
        assert!(matches!(open, Err(LedgerError::OthersWrite(_))), "{open:?}");
        assert!(matches!(read(&directory, OsStr::new("file")), Err(LedgerError::OthersWrite(_))));
    }
}
