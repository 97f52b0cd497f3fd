// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Stamps: what was brought is as it should be if its stamp says what it would say now.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::tree::{file, write};

/// Whether the stamp beside a file or directory says this.
pub(crate) fn holds(made: &Path, text: &str) -> bool {
    made.exists() && fs::read_to_string(beside(made)).is_ok_and(|found| found == text)
}

/// What the stamp of a file or directory says; empty if it has none.
pub(crate) fn text(made: &Path) -> String {
    fs::read_to_string(beside(made)).unwrap_or_default()
}

/// Writes the stamp of a file or directory that was made.
pub(crate) fn set(made: &Path, text: &str) -> Result<(), Error> {
    write(&beside(made), text)
}

/// A line for a stamp that changes whenever the file does.
pub(crate) fn of_file(path: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(path).map_err(file("read", path))?;
    let (size, seconds, nanoseconds) = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    Ok(format!("{} {size} {seconds}.{nanoseconds:09}\n", path.display()))
}

fn beside(made: &Path) -> PathBuf {
    let mut name = made.as_os_str().to_owned();
    name.push(".stamp");
    PathBuf::from(name)
}
