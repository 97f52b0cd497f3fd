// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files and directories below `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// What a file of `/proc/PID` that is read whole may have: no command line that starts a criu is as long.
const FILE_LIMIT: u64 = 64 * 1024;
/// What most of them have.
const USUAL_SIZE: usize = 2048;

/// The entries of a directory of `/proc` that are numbers.
pub(super) fn numbers_in(directory: &Path) -> io::Result<BTreeSet<u32>> {
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            numbers.insert(number);
        }
    }
    Ok(numbers)
}

/// A file of `/proc` that the kernel gives whole to a read that is long enough.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut content = vec![0; USUAL_SIZE];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, content.as_mut_slice()))?;
    content.truncate(length);
    if length == USUAL_SIZE {
        file.take(FILE_LIMIT - length as u64).read_to_end(&mut content)?;
    }
    Ok(content)
}

pub(super) fn has_ended(error: &io::Error) -> bool {
    // A read under way when the process ends gives ESRCH, an open after that ENOENT.
    const ESRCH: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}
