// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A container's directory, with what runtimes and engines write beside the images, in one string of bytes.
//!
//! The first byte is the layout and the second the modes of directories. Files follow, each with which of the known
//! names it has (a byte), its mode (a byte), the length of its content (two bytes, the lower first) and its content.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The names that a file can have; `cargo xtask fuzz` writes them by their places here.
pub const FILES: [&str; 7] =
    ["config.json", "spec.dump", "config.dump", "bind.mounts", "network.status", "config.v2.json", "pod.options"];

/// Whose word the files of a layout can be at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This host's engine keeps its containers so.
    Engine,
    /// It was made to be carried elsewhere.
    Carried,
}

/// How a layout holds a container, from the directory that is named: where the files are, and where the images.
const LAYOUTS: [(&str, &str, Origin); 5] = [
    ("", "checkpoint", Origin::Engine),
    ("userdata", "userdata/checkpoint", Origin::Engine),
    ("", "checkpoints/one", Origin::Engine),
    ("export", "export/checkpoint", Origin::Carried),
    ("container", "container/checkpoint", Origin::Carried),
];

/// A container's directory, gone when this goes out of scope.
#[derive(Debug)]
pub struct ContainerDirectory {
    top: PathBuf,
    named: PathBuf,
    files: PathBuf,
    origin: Origin,
}

impl ContainerDirectory {
    /// The directory that the bytes describe; `None` where they describe none.
    pub fn of(data: &[u8]) -> Option<Self> {
        let [layout, modes, rest @ ..] = data else { return None };
        let (files, images, origin) = LAYOUTS[usize::from(*layout) % LAYOUTS.len()];
        // Not in /dev/shm, which everybody can write.
        let top = PathBuf::from(format!("/run/criu-gc-fuzz.{}", std::process::id()));
        // What an earlier run of this number left.
        let _ = fs::remove_dir_all(&top);
        let container = top.join("container");
        fs::create_dir_all(container.join(images)).expect("new directories");
        fs::write(container.join(images).join("inventory.img"), "").expect("a new file");
        // What makes them what they are, if nothing else does.
        let (named, mark) = match files {
            "export" => (container.join("export"), Some("export/spec.dump")),
            "container" => (container.clone(), Some("pod.options")),
            _ => (container.clone(), None),
        };
        if let Some(mark) = mark {
            fs::write(container.join(mark), "{}").expect("a new file");
        }
        let directory = ContainerDirectory { files: container.join(files), top, named, origin };
        directory.fill(rest);
        directory.set_modes(*modes);
        Some(directory)
    }

    /// What a user would name.
    pub fn named(&self) -> &Path {
        &self.named
    }

    /// The directory of the files.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// Whether nobody but root can have written a file: neither it, nor what it lies in, whatever its layout.
    pub fn is_engines_own(&self, file: &str) -> bool {
        let path = self.files.join(file);
        self.origin == Origin::Engine && path.ancestors().all(is_roots_alone)
    }

    fn fill(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while let [which, mode, low, high, tail @ ..] = rest {
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
            let (content, after) = tail.split_at(length);
            let path = self.files.join(FILES[usize::from(*which) % FILES.len()]);
            fs::write(&path, content).expect("a new file");
            set_mode(&path, [0o600, 0o644, 0o664, 0o646][usize::from(*mode) % 4]);
            rest = after;
        }
    }

    fn set_modes(&self, modes: u8) {
        set_mode(&self.top, [0o755, 0o755, 0o775, 0o757][usize::from(modes) % 4]);
        set_mode(&self.files, [0o755, 0o755, 0o775, 0o757][usize::from(modes >> 2) % 4]);
    }
}

impl Drop for ContainerDirectory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.top).expect("a directory of its own");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of its own");
}

fn is_roots_alone(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0)
}
