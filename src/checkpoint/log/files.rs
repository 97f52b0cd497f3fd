// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files in the log of a dump whose names were gone. No line names a link remap; but for each that CRIU makes there is one,
//! at `-v4`, that names the deleted file, before the link is made in its directory (`dump_one_reg_file` in
//! `criu/files-reg.c`). At `-v3` only the directories of all dumped files are known.

use std::collections::BTreeSet;

use super::Place;

/// No more directories, and no more bytes of names, are noted.
const LIMIT: usize = 10_000;
const BYTES: usize = 4 << 20;

/// Where links may have been made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoggedFiles {
    /// Whether the log is so detailed that each deleted file is in it.
    pub detail: Detail,
    /// The directories of deleted files, absolute, as the tree saw them, each with the first line that names it and its
    /// offset.
    pub directories: BTreeSet<(Vec<u8>, u64, u64)>,
    known: BTreeSet<Vec<u8>>,
    bytes: usize,
    /// The last deleted file, which may be a ghost.
    last: Option<(Vec<u8>, u64, u64)>,
}

/// How detailed a log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// It does not tell which files were deleted.
    #[default]
    Unknown,
    /// Each deleted file is in it: `-v4`.
    DeletedFiles,
    /// The same, and there were too many.
    TooMany,
}

impl LoggedFiles {
    pub(super) fn note(&mut self, message: &[u8], place: Place) {
        if message.starts_with(b"Seized task ") {
            self.detail = self.detail.max(Detail::DeletedFiles);
        } else if message.starts_with(b"Dumping ghost file for fd ") {
            // It has its content in the images, and no link.
            self.last = None;
        } else if let Some(path) = deleted(message) {
            self.add_last();
            self.last = Some((directory(path), place.line, place.offset));
        } else if self.detail == Detail::Unknown {
            let path = message.strip_prefix(b"Only file size could be stored for validation for file ");
            path.into_iter().for_each(|path| self.add((directory(path), place.line, place.offset)));
        }
    }

    pub(super) fn finish(&mut self) {
        self.add_last();
        (self.known, self.bytes) = (BTreeSet::new(), 0);
    }

    fn add_last(&mut self) {
        if let Some(last) = self.last.take() {
            self.add(last);
        }
    }

    fn add(&mut self, found: (Vec<u8>, u64, u64)) {
        if self.known.contains(&found.0) {
            return;
        }
        self.bytes += found.0.len();
        if self.known.len() >= LIMIT || self.bytes > BYTES {
            self.detail = Detail::TooMany;
            return;
        }
        self.known.insert(found.0.clone());
        self.directories.insert(found);
    }
}

impl Detail {
    fn max(self, other: Self) -> Self {
        match (self, other) {
            (Detail::TooMany, _) | (_, Detail::TooMany) => Detail::TooMany,
            (Detail::DeletedFiles, _) | (_, Detail::DeletedFiles) => Detail::DeletedFiles,
            (Detail::Unknown, Detail::Unknown) => Detail::Unknown,
        }
    }
}

/// The path in `Dumping path for 3 fd via self 18 [/srv/data (deleted)]`.
fn deleted(message: &[u8]) -> Option<&[u8]> {
    let rest = message.strip_prefix(b"Dumping path for ")?;
    let start = rest.iter().position(|byte| *byte == b'[')?;
    let path = rest[start + 1..].trim_ascii_end().strip_suffix(b" (deleted)]")?;
    path.starts_with(b"/").then_some(path)
}

/// The directory of an absolute path.
fn directory(path: &[u8]) -> Vec<u8> {
    let path = path.trim_ascii_end();
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    if slash == 0 { b"/".to_vec() } else { path[..slash].to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], detail: Detail, expected: &[&str]) {
        let mut files = LoggedFiles::default();
        for (line, text) in (0..).zip(lines) {
            files.note(text.as_bytes(), Place { line, offset: 0 });
        }
        files.finish();
        let found: Vec<String> =
            files.directories.iter().map(|(path, line, _)| format!("{line} {}", path.escape_ascii())).collect();
        assert_eq!((files.detail, found.iter().map(String::as_str).collect::<Vec<_>>()), (detail, expected.to_vec()));
    }

    #[test]
    fn a_detailed_log_names_the_directories_of_deleted_files() {
        let lines = [
            "Seized task 13, state 1",
            "Dumping path for 2 fd via self 17 [/var/log/kept]",
            "Dumping path for 3 fd via self 18 [/srv/a b/data (deleted)]",
            "Only file size could be stored for validation for file /srv/other/kept",
            "Dumping path for 4 fd via self 19 [/srv/a b/second (deleted)]",
            "Dumping path for 5 fd via self 20 [/tmp/ghost (deleted)]",
            "Dumping ghost file for fd 20 id 0x11",
            "Dumping path for -3 fd via self 21 [/last (deleted)]",
        ];
        check(&lines, Detail::DeletedFiles, &["7 /", "2 /srv/a b"]);
    }

    #[test]
    fn another_log_names_the_directories_of_all_files() {
        let line = "Only file size could be stored for validation for file /srv/data\n";
        check(&[line, line], Detail::Unknown, &["0 /srv"]);
        check(&["Dumping path for 3 fd via self 18 [/srv/data]", "[/srv/data (deleted)]"], Detail::Unknown, &[]);
    }

    #[test]
    fn no_log_makes_the_list_grow_without_end() {
        let lines: Vec<String> =
            (0..=LIMIT).map(|n| format!("Dumping path for 1 fd via self 2 [/{n}/a (deleted)]")).collect();
        let mut files = LoggedFiles::default();
        lines.iter().for_each(|line| files.note(line.as_bytes(), Place::default()));
        files.finish();
        assert_eq!((files.detail, files.directories.len()), (Detail::TooMany, LIMIT));
    }
}
