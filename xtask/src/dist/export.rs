// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sources of the last commit, in a directory of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::Error;
use crate::program;
use crate::tree::{create, entries, remove};

/// A directory with the sources of a commit.
#[derive(Debug)]
pub(crate) struct Export {
    directory: PathBuf,
    time: String,
    version: String,
}

impl Export {
    /// Writes the sources of the last commit of this repository to the directory, and compresses the manual pages in it.
    pub(crate) fn new(repository: &Path, directory: &Path) -> Result<Self, Error> {
        remove(directory)?;
        create(directory)?;
        let git = |words: &[&str]| program::output(Command::new("git").current_dir(repository).args(words));
        if !git(&["status", "--porcelain"])?.is_empty() {
            println!("dist: what is not committed is left out");
        }
        let archive = directory.with_extension("tar");
        git(&["archive", "--output", &archive.to_string_lossy(), "HEAD"])?;
        // New times: cargo compares them with those of an earlier build.
        let mut extract = Command::new("tar");
        extract.args(["--extract", "--touch", "--file"]).arg(&archive).arg("--directory").arg(directory);
        program::output(&mut extract)?;
        let time = git(&["log", "--max-count=1", "--format=%ct"])?.trim().to_owned();
        let export = Self { directory: directory.to_owned(), time, version: version(directory)? };
        export.compress_manual()?;
        Ok(export)
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// When the commit was made, in seconds since 1970: the time of everything that has one.
    pub(crate) fn time(&self) -> &str {
        &self.time
    }

    /// The version of criu-gc.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// For the .rpm; cargo-deb compresses them itself.
    fn compress_manual(&self) -> Result<(), Error> {
        for page in entries(&self.directory.join("packaging/man"))? {
            program::output(Command::new("gzip").args(["--best", "--no-name", "--keep"]).arg(page))?;
        }
        Ok(())
    }
}

fn version(directory: &Path) -> Result<String, Error> {
    let mut command = crate::cargo::cargo();
    command.current_dir(directory).args(["metadata", "--no-deps", "--locked", "--format-version", "1"]);
    let metadata: Value =
        serde_json::from_str(&program::output(&mut command)?).map_err(|_| Error::NoVersion(directory.to_owned()))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let version =
        packages.filter(|package| package["name"] == "criu-gc").find_map(|package| package["version"].as_str());
    version.map(str::to_owned).ok_or_else(|| Error::NoVersion(directory.to_owned()))
}
