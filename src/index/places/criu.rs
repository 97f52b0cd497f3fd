// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Directories that a criu works in, or that a killed one left open: current directories, command lines, descriptors.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::Holder;
use super::{Base, Place, Places};
use crate::host::{Host, Process};
use crate::tree;

/// No more directories are taken from one process.
const MOST: usize = 16;

pub(super) fn add(host: &Host, places: &mut Places) {
    let own = std::process::id();
    let is_meant = |process: &&Process| {
        process.pid != own && !process.is_kernel_thread && (process.is_criu() || tree::may_be_stranded(process))
    };
    for process in host.processes().list.iter().filter(is_meant) {
        let base = match process.has_own_mounts() {
            Some(false) => Base::Store(PathBuf::from("/")),
            Some(true) | None => Base::Process(process.root()),
        };
        places.list.extend(directories(process).into_iter().take(MOST).map(|path| Place {
            base: base.clone(),
            relative: path.strip_prefix("/").unwrap_or(&path).to_owned(),
            holder: Holder::default(),
            process: Some(process.pid),
        }));
    }
}

/// The directories that may have its images. They are paths in its own mount namespace.
fn directories(process: &Process) -> BTreeSet<PathBuf> {
    let current = process.directory();
    let named = images_directory(&process.arguments());
    let named = named.map(|path| current.as_deref().unwrap_or(Path::new("/")).join(path));
    // Of what a restored task has open, only CRIU's log is about the images.
    let open = process.open_paths().into_iter().filter(|path| path.extension() == Some(OsStr::new("log")));
    let of_logs = open.filter_map(|path| path.parent().map(Path::to_owned));
    let current = current.filter(|_| process.is_criu());
    let found = current.into_iter().chain(named.filter(|_| process.is_criu())).chain(of_logs);
    found.filter(|path| path.is_absolute()).collect()
}

/// What `-D` or `--images-dir` names.
fn images_directory(arguments: &[Vec<u8>]) -> Option<PathBuf> {
    let named = arguments.iter().enumerate().find_map(|(at, argument)| match argument.as_slice() {
        b"-D" | b"--images-dir" => arguments.get(at + 1).map(Vec::as_slice),
        argument => argument.strip_prefix(b"--images-dir=").or_else(|| argument.strip_prefix(b"-D")),
    });
    named.map(|path| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_directory_is_named_in_each_form() {
        for line in [
            &["criu", "-D", "/x"][..],
            &["criu", "--images-dir=/x"],
            &["criu", "--images-dir", "/x"],
            &["criu", "-D/x"],
        ] {
            let arguments: Vec<Vec<u8>> = line.iter().map(|argument| argument.as_bytes().to_vec()).collect();
            assert_eq!(images_directory(&arguments), Some(PathBuf::from("/x")), "{line:?}");
        }
        assert_eq!(images_directory(&[b"criu".to_vec(), b"dump".to_vec()]), None);
    }
}
