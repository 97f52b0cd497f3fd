// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where seeds are written: a directory for each target.

use std::fs;
use std::path::Path;

use testkit::Criu;

use crate::error::Error;
use crate::tree::file;

/// The seeds of dumps by one criu.
pub(super) struct Corpus<'a> {
    directory: &'a Path,
    version: String,
}

impl<'a> Corpus<'a> {
    pub(super) fn new(directory: &'a Path, criu: &Criu) -> Self {
        Self { directory, version: criu.version().to_owned() }
    }

    /// Adds an input of a target.
    pub(super) fn add_bytes(&self, target: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.directory.join(target).join(format!("{}-{name}", self.version));
        fs::write(&path, bytes).map_err(file("write", &path))
    }
}
