// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a directory is empty. In a control group the kernel keeps files of its own: it is empty if there is no group
//! below it and no process in it, and then rmdir(2) removes it.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use crate::system::dir::{Directory, EntryType, FileError, Reach};
use crate::system::filesystem::is_control_group;

/// Whether the directory of this name is empty.
pub(super) fn is_empty(above: &Directory, name: &OsStr) -> Result<bool, FileError> {
    let directory = above.below_to_read(Path::new(name), Reach::SameMount)?;
    if is_control_group(&directory) {
        return Ok(!has_group(&directory)? && !has_process(&directory)?);
    }
    let mut is_empty = true;
    directory.each_entry(|_, _| is_empty = false)?;
    Ok(is_empty)
}

fn has_group(directory: &Directory) -> Result<bool, FileError> {
    let mut has_group = false;
    directory.each_entry(|_, kind| has_group |= kind == EntryType::Directory)?;
    Ok(has_group)
}

fn has_process(directory: &Directory) -> Result<bool, FileError> {
    let Some(mut processes) = directory.read_file(OsStr::new("cgroup.procs"))? else { return Ok(true) };
    let mut first = [0];
    // A group of threads refuses to be read, and has some.
    Ok(processes.read(&mut first).map_or(true, |read| read > 0))
}
