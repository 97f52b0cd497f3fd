// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the tests have images and files in a host, and the link remaps there.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::TestHost;

/// Where the tests have the images of a host's dump: outside of what snapshots show.
pub(crate) fn images_of(host: &TestHost) -> PathBuf {
    host.dir().with_file_name("images")
}

/// Makes a directory of this name in the host's own.
pub(crate) fn make_directory(host: &TestHost, name: &str) -> PathBuf {
    let directory = host.dir().join(name);
    fs::create_dir(&directory).expect("a new directory");
    directory
}

/// The only link remap in the directory.
pub(crate) fn link_in(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path());
    let is_link = |path: &PathBuf| path.to_string_lossy().contains("/link_remap.");
    let mut links: Vec<PathBuf> = entries.filter(is_link).collect();
    assert_eq!(links.len(), 1, "void: {links:?}");
    links.remove(0)
}

/// Whether a link remap is in the directory.
pub(crate) fn has_link(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("link_remap."))
    })
}
