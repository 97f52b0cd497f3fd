// SPDX-License-Identifier: Apache-2.0 OR MIT
//! File systems made of directories.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::program;
use crate::tree::{file, write};

/// Makes an image of ext4 with what is in the directory, of this size in MiB. The image is sparse.
pub(crate) fn ext4(directory: &Path, image: &Path, megabytes: u32) -> Result<(), Error> {
    let new = image.with_extension("new");
    write(&new, "")?;
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", "-d"]);
    program::output(command.arg(directory).arg(&new).arg(format!("{megabytes}M")))?;
    fs::rename(&new, image).map_err(file("make", image))
}

/// How many MiB the directory's files take.
pub(crate) fn size(directory: &Path) -> Result<u32, Error> {
    let said = program::output(Command::new("du").args(["--summarize", "--block-size=1M"]).arg(directory))?;
    let number = said.split_whitespace().next().and_then(|number| number.parse().ok());
    Ok(number.unwrap_or(u32::MAX))
}
