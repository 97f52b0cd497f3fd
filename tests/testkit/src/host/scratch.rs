// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A host's directory on a real disk, removed with the host.
//!
//! A killed test leaves its directory; its name tells whose it was, so that a later one removes it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process;

#[derive(Debug)]
pub(super) struct Scratch {
    directory: TempDir,
    tests: PathBuf,
    root: PathBuf,
}

impl Scratch {
    pub(super) fn new(parent: &Path) -> Self {
        fs::create_dir_all(parent).expect("the target directory");
        let parent = fs::canonicalize(parent).expect("the target directory");
        remove_abandoned(&parent);
        let prefix = format!("{}.", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
        let directory = directory.expect("a directory");
        let [tests, root] = ["dir", "root"].map(|name| directory.path().join(name));
        for path in [&tests, &root] {
            fs::create_dir(path).expect("an empty directory");
        }
        Self { directory, tests, root }
    }

    /// What the host's mount table is built on; empty for everybody else.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The options of an overlay in which whoever writes to the tree writes to a directory of this host instead.
    pub(super) fn overlay(&self, tree: &Path) -> String {
        let [upper, work] = ["upper", "work"].map(|name| self.own().join(name));
        for path in [&upper, &work] {
            fs::create_dir(path).expect("an empty directory");
        }
        format!("lowerdir={},upperdir={},workdir={}", tree.display(), upper.display(), work.display())
    }

    /// What belongs to the test.
    pub(super) fn tests(&self) -> &Path {
        &self.tests
    }

    /// What belongs to the testkit, away from what a test takes pictures of.
    pub(super) fn own(&self) -> &Path {
        self.directory.path()
    }
}

fn remove_abandoned(parent: &Path) {
    for path in fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if owner(&path).is_some_and(|pid| !process::exists(pid)) {
            // Another test may be removing it just now.
            fs::remove_dir_all(&path).unwrap_or(());
        }
    }
}

fn owner(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}
