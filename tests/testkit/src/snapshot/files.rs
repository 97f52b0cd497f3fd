// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Directories, recursively: what each name is, never what it points to.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::host::TestHost;

pub(super) fn section(host: &TestHost, directory: &Path) -> (String, Vec<String>) {
    let mut lines = Vec::new();
    walk(&host.path(directory), &host.path(directory), &mut lines);
    lines.sort();
    (format!("files of {}", directory.display()), lines)
}

fn walk(top: &Path, directory: &Path, lines: &mut Vec<String>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    for path in entries.map(|entry| entry.expect("a directory's entry").path()) {
        let metadata = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let relative = path.strip_prefix(top).expect("a path below the directory");
        lines.push(line(relative, &metadata));
        if metadata.is_dir() {
            walk(top, &path, lines);
        }
    }
}

/// A directory's size is the file system's business, and shrinks never or at random.
fn line(relative: &Path, metadata: &fs::Metadata) -> String {
    let size = if metadata.is_dir() { 0 } else { metadata.size() };
    format!(
        "{} {} mode {:o} owner {}:{} inode {} links {} size {size}",
        escaped(relative.as_os_str().as_bytes()),
        kind(metadata.file_type()),
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.ino(),
        metadata.nlink(),
    )
}

fn kind(kind: fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_file() => "file",
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_socket() => "socket",
        kind if kind.is_char_device() => "character device",
        _ => "block device",
    }
}

fn escaped(name: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'!'..=b'~' if *byte != b'\\' => char::from(*byte).to_string(),
        other => format!("\\x{other:02x}"),
    };
    name.iter().map(escape).collect()
}
