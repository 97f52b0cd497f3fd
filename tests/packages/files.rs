// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `cargo xtask packages` made.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::Artifacts;

/// The package with this extension.
#[track_caller]
pub(crate) fn package(extension: &str) -> PathBuf {
    let directory = Artifacts::of_workspace().target().join("dist/files");
    let entries = fs::read_dir(&directory).expect("the packages: run `cargo xtask packages`").flatten();
    let mut found = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == extension));
    found.next().unwrap_or_else(|| panic!("no .{extension} is in {}", directory.display()))
}

/// The smallest Debian.
pub(crate) fn bare() -> PathBuf {
    Artifacts::of_workspace().target().join("packages/bare")
}

/// One with lintian, rpm, rpmlint and shells.
pub(crate) fn tools() -> PathBuf {
    Artifacts::of_workspace().target().join("packages/tools")
}

/// All files of a root that packages and criu-gc may change. Empty directories are left by rpm.
pub(crate) fn names(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for top in ["etc", "usr", "var/lib/criu-gc"] {
        walk(&root.join(top), root, &mut names);
    }
    names.sort();
    names
}

fn walk(directory: &Path, root: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, root, names);
        } else {
            names.push(path.strip_prefix(root).expect("a path below the root").display().to_string());
        }
    }
}
