// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a refusal of a checkpoint, or of one entry of it, has to be.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;

impl Checkpoint {
    /// The image is refused with words about it, and where they say that the trouble is.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_refused_at(&self, image: &str, offset: usize, words: &str) {
        let place = self.images().join(image);
        let name = place.to_str().expect("a name");
        self.assert_refused(&[name, &format!("at offset {offset}"), words]);
    }

    /// The checkpoint is refused, whatever was wanted: one line of error with all these words, and nothing else happens.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_refused(&self, parts: &[&str]) {
        let before = names_below(self.images().parent().expect("a directory"));
        for arguments in [&[][..], &["--show"], &["--yes", "--allow", "changed-since", "--allow", "tree-unknown"]] {
            let output = self.run(arguments);
            let message = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(2), "{message}{}", String::from_utf8_lossy(&output.stdout));
            assert!(message.starts_with("criu-gc: error: ") && message.lines().count() == 1, "{message}");
            for part in parts {
                assert!(message.contains(part), "{part:?} is not in {message:?}");
            }
            assert!(output.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&output.stdout));
        }
        assert_eq!(names_below(self.images().parent().expect("a directory")), before, "something was touched");
    }

    /// The entry at this place is named with these words, whatever was wanted, and nothing is removed.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_kept_at(&self, image: &str, offset: usize, words: &str) {
        let before = names_below(self.images().parent().expect("a directory"));
        for arguments in [&[][..], &["--show"], &["--yes", "--allow", "changed-since", "--allow", "tree-unknown"]] {
            let status = if arguments == ["--show"] { 0 } else { 1 };
            self.assert_told_at(arguments, status, &[image, &format!("at offset {offset}"), words]);
        }
        assert_eq!(names_below(self.images().parent().expect("a directory")), before, "something was touched");
    }

    /// The same, but only that entry is left out: the link remap is removed.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn assert_left_out_at(&self, image: &str, offset: usize, words: &str) {
        self.assert_told_at(&[], 1, &[image, &format!("at offset {offset}"), words]);
        assert!(!self.link().exists(), "the link remap is still there");
    }

    #[track_caller]
    fn assert_told_at(&self, arguments: &[&str], status: i32, parts: &[&str]) {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(status), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let is_it = |line: &str| line.starts_with("Not known: ") && parts.iter().all(|part| line.contains(part));
        assert!(text.lines().any(is_it), "{parts:?} are not in {text}");
        assert!(!text.contains("Nothing is left"), "{text}");
    }
}

/// Every name below a directory, with what it names: inode, number of links, size.
///
/// # Panics
/// If it changes at the same time.
pub fn names_below(directory: &Path) -> BTreeMap<PathBuf, (u64, u64, u64)> {
    let mut names = BTreeMap::new();
    for path in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        let metadata = fs::symlink_metadata(&path).expect("a file");
        if metadata.is_dir() {
            names.extend(names_below(&path));
        }
        names.insert(path, (metadata.ino(), metadata.nlink(), metadata.size()));
    }
    names
}
