// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose an object of the host is. No images are looked for yet.

use std::path::PathBuf;

use crate::connection::Connection;
use crate::host::Host;

/// Where images are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexOptions {}

/// What is known of the images on this host.
#[derive(Debug, Default)]
pub(crate) struct Index {
    checkpoints: Vec<Indexed>,
    unseen: Vec<String>,
}

/// Images that were found.
#[derive(Debug, Clone)]
pub(crate) struct Indexed {
    /// Their directory.
    pub(crate) directory: PathBuf,
    /// What they are good for.
    pub(crate) state: State,
}

/// What images are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)]
pub(crate) enum State {
    /// A restore.
    Restorable,
    /// No restore: the dump did not end, or something is missing.
    Incomplete,
    /// They were restored since.
    Restored,
    /// It is not known.
    Unknown,
}

/// Something on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(dead_code)]
pub(crate) enum Object {
    /// A name of a file.
    Name { device: (u32, u32), inode: u64, path: PathBuf },
    /// A table of a network namespace.
    Table { netns_inode: u64, name: String },
    /// A chain of a network namespace.
    Chain { netns_inode: u64 },
    /// The rules of a connection.
    Rule { netns_inode: u64, connection: Connection },
    /// A process.
    Process { pid: i32 },
    /// A directory.
    Directory { path: PathBuf },
}

impl Index {
    /// Finds them.
    pub(crate) fn build(_options: &IndexOptions, _host: &Host) -> Self {
        Index::default()
    }

    /// All of them.
    pub(crate) fn checkpoints(&self) -> &[Indexed] {
        &self.checkpoints
    }

    /// Whose an object is.
    pub(crate) fn owner(&self, _object: &Object) -> Option<&Indexed> {
        None
    }

    /// Where images could not be looked for.
    pub(crate) fn unseen(&self) -> &[String] {
        &self.unseen
    }
}
