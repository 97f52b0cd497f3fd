// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A dump whose link remaps are removed with `--save`, and what is then in the save directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Criu, DumpOptions, Finished, TestHost, Word};

use crate::links::images_of;
use crate::tool::Tool;

/// The manifest's name.
pub(crate) const MANIFEST: &str = "manifest.jsonl";

/// A host, and the directory in it where files are to be saved.
pub(crate) struct Saving {
    pub(crate) host: TestHost,
    into: PathBuf,
}

impl Saving {
    /// A directory on the disk of the host's own directory, which is not there yet.
    pub(crate) fn on_the_same_disk() -> Self {
        let host = TestHost::new();
        let into = host.dir().with_file_name("saved");
        Saving { host, into }
    }

    /// A directory on a tmpfs of the host, which is not there yet.
    pub(crate) fn on_a_tmpfs() -> Self {
        Saving { host: TestHost::new(), into: PathBuf::from("/run/saved") }
    }

    /// A directory, not there yet, on a new tmpfs of that size.
    pub(crate) fn on_a_tmpfs_of(size: &str) -> Self {
        let host = TestHost::new();
        fs::create_dir(host.path("/run/small")).expect("a new directory");
        host.run("mount", &[&"-t", &"tmpfs", &"-o", &format!("size={size}"), &"small", &"/run/small"]);
        Saving { host, into: PathBuf::from("/run/small/saved") }
    }

    /// The same with another directory.
    pub(crate) fn into(mut self, directory: &str) -> Self {
        self.into = PathBuf::from(directory);
        self
    }

    /// Starts a tree, lets `prepare` change its files, and dumps it. There must be that many link remaps then.
    pub(crate) fn dump(&self, criu: &Criu, words: &[Word<'_>], links: usize, prepare: impl FnOnce()) {
        let tree = self.host.start_workload(words);
        prepare();
        let images = images_of(&self.host);
        // A second dump of one host has its images where the first had them.
        let _ = fs::remove_dir_all(&images);
        criu.dump(&self.host, &tree, &images, &DumpOptions::default());
        assert_eq!(self.links().len(), links, "void: {:#?}", self.links());
    }

    /// What a run with `--save` does that must end with this status.
    pub(crate) fn run(&self, status: i32) -> Vec<String> {
        let finished = self.run_with(&[]);
        assert_eq!(finished.code(), status, "{finished}");
        finished.stdout.lines().map(str::to_owned).collect()
    }

    pub(crate) fn run_with(&self, arguments: &[&str]) -> Finished {
        Tool::new(&self.host, &images_of(&self.host)).option("--save", &self.into).run(arguments)
    }

    /// The same without `--save`.
    pub(crate) fn tool(&self) -> Tool<'_> {
        Tool::new(&self.host, &images_of(&self.host))
    }

    /// The link remaps in the host's own directory.
    pub(crate) fn links(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.host.dir()).expect("a directory");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link_remap.")));
        paths.sort();
        paths
    }

    /// The path of a saved file, as the test reaches it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.path(&self.into).join(name)
    }

    /// The names in the save directory but that of the manifest.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).expect("the save directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != MANIFEST);
        names.sort();
        names
    }

    /// The lines of the manifest, each of which names a file that is there.
    pub(crate) fn manifest(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path(MANIFEST)).expect("a manifest");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        for line in &lines {
            let name = line["file"].as_str().expect("a name");
            assert!(self.path(name).symlink_metadata().is_ok(), "{name} is not there");
        }
        lines
    }

    /// The only saved file, which was saved so.
    pub(crate) fn only_file(&self, method: &str) -> PathBuf {
        let manifest = self.manifest();
        assert_eq!((manifest.len(), manifest[0]["method"].as_str()), (1, Some(method)), "{manifest:#?}");
        assert_eq!(self.names(), [manifest[0]["file"].as_str().expect("a name")]);
        self.path(&self.names()[0])
    }
}

/// What has to be the same in a copy: type and mode, owner, size, last access and change with nanoseconds.
pub(crate) fn facts(path: &Path) -> (u32, [u32; 2], u64, [i64; 4]) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let times = [metadata.atime(), metadata.atime_nsec(), metadata.mtime(), metadata.mtime_nsec()];
    (metadata.mode(), [metadata.uid(), metadata.gid()], metadata.size(), times)
}

/// Which inode it is.
pub(crate) fn inode(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (metadata.dev(), metadata.ino())
}
