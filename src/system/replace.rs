// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replaces a small file atomically.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::dir::{Directory, FileError};

/// What the name of the file ends with until it is whole.
pub const UNFINISHED: &str = ".part";

/// Writes `content` as the file `name`, which only its owner may read. When this returns, the file and its name are on
/// disk; on failure the older file is what it was.
pub fn replace(directory: &Directory, name: &OsStr, content: &[u8]) -> Result<(), FileError> {
    let mut part = OsString::from(name);
    part.push(UNFINISHED);
    let failed = |operation, source| FileError { operation, path: directory.path().join(name), source };
    let file = create(directory, &part).map_err(|source| failed("create", source))?;
    let written = write(file, content)
        .map_err(|error| failed("write", Errno::from_io_error(&error).unwrap_or(Errno::IO)))
        .and_then(|()| {
            rustix::fs::renameat(directory, &part, directory, name).map_err(|source| failed("replace", source))
        });
    if written.is_err() {
        // What cannot be taken away either is overwritten the next time.
        let _ = rustix::fs::unlinkat(directory, &part, AtFlags::empty());
    }
    written?;
    rustix::fs::fsync(directory).map_err(|source| failed("write to disk", source))
}

/// A new file. One that an earlier run was killed over is taken away: its mode or owner may be another.
fn create(directory: &Directory, part: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(directory, part, flags, Mode::RUSR | Mode::WUSR).map(File::from);
    match open() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(directory, part, AtFlags::empty())?;
            open()
        }
        opened => opened,
    }
}

fn write(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn an_older_file_and_what_a_killed_run_left_are_replaced() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let path = |name: &str| place.path().join(name);
        fs::write(path("precious"), "precious").unwrap();
        symlink("precious", path("record.part")).unwrap();
        symlink("precious", path("record")).unwrap();
        for content in ["first", "second"] {
            replace(&directory, OsStr::new("record"), content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(path("record")).unwrap(), content);
            assert_eq!(fs::metadata(path("record")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_to_string(path("precious")).unwrap(), "precious");
        assert_eq!(directory.names().unwrap(), [b"precious".to_vec(), b"record".to_vec()]);
    }

    #[test]
    fn on_failure_the_older_file_stays() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        fs::create_dir(place.path().join("record")).unwrap();
        let error = replace(&directory, OsStr::new("record"), b"new").unwrap_err();
        assert_eq!(error.operation, "replace");
        assert_eq!(directory.names().unwrap(), [b"record".to_vec()]);
        // Whatever is in the way of the new file.
        fs::create_dir(place.path().join("other.part")).unwrap();
        assert_eq!(replace(&directory, OsStr::new("other"), b"new").unwrap_err().operation, "create");
    }
}
