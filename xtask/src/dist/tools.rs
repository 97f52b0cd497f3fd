// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The programs that pack: the same versions for everybody, or packages of one commit would differ.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::cargo;
use crate::error::Error;
use crate::program;

const TOOLS: [(&str, &str); 3] =
    [("cargo-deb", "3.8.0"), ("cargo-generate-rpm", "0.21.1"), ("cargo-cyclonedx", "0.5.9")];

/// Where they are.
#[derive(Debug)]
pub(crate) struct Tools {
    directory: PathBuf,
}

/// Builds those that are missing; cargo knows which version is where.
pub(crate) fn bring(directory: &Path) -> Result<Tools, Error> {
    for (name, version) in TOOLS {
        println!("dist: brings {name} {version}");
        let mut command = cargo();
        command.args(["install", "--quiet", "--locked", "--version", version, name, "--root"]).arg(directory);
        program::stream(command.arg("--target-dir").arg(directory.join("build")))?;
    }
    Ok(Tools { directory: directory.to_owned() })
}

impl Tools {
    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.directory.join("bin").join(name))
    }
}
