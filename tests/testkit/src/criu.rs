// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The CRIUs that `cargo xtask setup` brought.

pub(crate) mod dump;
pub(crate) mod interrupted;
pub(crate) mod options;
pub(crate) mod restore;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts::Artifacts;
use crate::host::TestHost;
use crate::xtables::IptablesFlavour;

/// One version of CRIU.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Criu {
    version: String,
    directory: PathBuf,
}

impl Criu {
    /// All that there are, oldest first.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir(Artifacts::of_workspace().criu()).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries.filter_map(|entry| Self::of(&entry.path())).collect();
        all.sort_by_key(|criu| numbers(&criu.version));
        all
    }

    /// The newest.
    ///
    /// # Panics
    /// If there is none.
    pub fn newest() -> Self {
        Self::all().pop().expect("a CRIU: run `cargo xtask setup`")
    }

    /// Its version, without that of the package.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.directory.join("criu")
    }

    /// Where its Python modules are.
    pub(crate) fn python_path(&self) -> PathBuf {
        self.directory.join("tree/usr/lib/python3/dist-packages")
    }

    /// A command that runs it in the host, with the iptables given.
    pub fn command(&self, host: &TestHost, flavour: IptablesFlavour) -> Command {
        let mut command = host.command(self.program());
        command.env("PATH", flavour.search_path(host));
        command
    }

    fn of(directory: &Path) -> Option<Self> {
        let version = directory.file_name()?.to_str()?;
        let is_version = version.starts_with(|first: char| first.is_ascii_digit());
        let criu = Self { version: version.to_owned(), directory: directory.canonicalize().ok()? };
        (is_version && criu.program().exists()).then_some(criu)
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(|other: char| !other.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}
