// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An images directory in one string of bytes.
//!
//! If the first byte is even, files follow, each with the length of its name (a byte), its name, the length of its
//! content (two bytes, the lower first) and its content: so a real dump can be written, and every bit of it be changed
//! (`cargo xtask fuzz` writes them). If it is odd, entries are made from the rest, with names, ids and device numbers
//! that meet each other often.

use std::fs;
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};

use crate::entries::Entries;

/// An images directory, gone when this goes out of scope.
#[derive(Debug)]
pub struct ImagesDirectory {
    path: PathBuf,
}

impl ImagesDirectory {
    /// The directory that the bytes describe; `None` where they describe none.
    pub fn of(data: &[u8]) -> Option<Self> {
        let (first, rest) = data.split_first()?;
        let files =
            if first & 1 == 0 { files(rest) } else { Entries::arbitrary(&mut Unstructured::new(rest)).ok()?.files() };
        Some(Self::write(&files))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(files: &[(String, Vec<u8>)]) -> Self {
        let path = PathBuf::from(format!("/dev/shm/criu-gc-fuzz.{}", std::process::id()));
        // What an earlier run of this number left.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a new directory");
        for (name, content) in files {
            fs::write(path.join(name), content).expect("a new file");
        }
        ImagesDirectory { path }
    }
}

impl Drop for ImagesDirectory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).expect("a directory of its own");
    }
}

fn files(rest: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = rest;
    let mut files = Vec::new();
    while let Some((name, [low, high, tail @ ..])) = counted(rest) {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (content, after) = tail.split_at(length);
        let name = String::from_utf8_lossy(name).replace(['/', '\0'], "_");
        if !matches!(name.as_str(), "" | "." | "..") && name.len() < 200 {
            files.push((name, content.to_vec()));
        }
        rest = after;
    }
    files
}

/// The bytes that a first one counts, and what follows them.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}
