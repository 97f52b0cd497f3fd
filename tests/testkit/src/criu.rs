// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The CRIUs that `cargo xtask setup` brought.

pub(crate) mod dump;
pub(crate) mod interrupted;
pub(crate) mod killed;
pub(crate) mod options;
pub(crate) mod restore;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts::{self, Artifacts};
use crate::command::CommandExt;
use crate::host::TestHost;
use crate::kernel;
use crate::xtables::IptablesFlavour;

/// The first version that takes back the C library's registration for restartable sequences on any kernel.
const FIRST_THAT_UNREGISTERS: [u32; 2] = [4, 3];

/// The first version that gives each dump a run id, and names its table by that.
const FIRST_WITH_RUN_ID: [u32; 2] = [4, 1];

/// How a version of CRIU names the nftables table of a dump.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TableNames {
    /// By the pid of the root task, up to 4.0.
    RootPid,
    /// By the run id.
    RunId,
}

/// One version of CRIU.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Criu {
    version: String,
    program: PathBuf,
}

impl Criu {
    /// All that there are, or those that the environment names, oldest first.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir(Artifacts::of_workspace().criu()).into_iter().flatten().flatten();
        let wanted = std::env::var(artifacts::CRIU).ok();
        let is_wanted = |criu: &Self| {
            wanted.as_ref().is_none_or(|wanted| wanted.split_whitespace().any(|version| version == criu.version))
        };
        let mut all: Vec<_> = entries.filter_map(|entry| Self::of(&entry.path())).filter(is_wanted).collect();
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

    /// The one whose program this is, a build of one's own, say; its version tells where it is. Nothing if it does not
    /// say its version.
    ///
    /// # Panics
    /// If it does not start, or hangs.
    pub fn at(program: &Path) -> Option<Self> {
        let said = Command::new(program).arg("--version").finish().stdout;
        let version = said.lines().find_map(|line| line.strip_prefix("Version: "))?;
        Some(Self { version: format!("{version} at {}", program.display()), program: program.to_owned() })
    }

    /// Its version, without that of the package.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// How it names the nftables tables of its dumps, and whether a dump has a run id.
    pub fn table_names(&self) -> TableNames {
        if numbers(&self.version).as_slice() < FIRST_WITH_RUN_ID.as_slice() {
            TableNames::RootPid
        } else {
            TableNames::RunId
        }
    }

    /// Where its Python modules are.
    pub fn python_path(&self) -> PathBuf {
        self.program.with_file_name("tree/usr/lib/python3/dist-packages")
    }

    /// A command that runs it in the host, with the iptables given.
    pub fn command(&self, host: &TestHost, flavour: IptablesFlavour) -> Command {
        let mut command = host.command(self.program());
        command.env("PATH", flavour.search_path(host));
        // CRIU itself is not dumped, but what it restores begins as a copy of it. CRIU 4.3 takes the registration of the C
        // library back, and fails where there is none. Older ones leave it, and the kernel kills what they restore.
        if numbers(&self.version).as_slice() >= FIRST_THAT_UNREGISTERS.as_slice() {
            command.env_remove(kernel::TUNABLES.0);
        }
        command
    }

    fn of(directory: &Path) -> Option<Self> {
        let version = directory.file_name()?.to_str()?;
        let is_version = version.starts_with(|first: char| first.is_ascii_digit());
        let program = directory.canonicalize().ok()?.join("criu");
        (is_version && program.exists()).then(|| Self { version: version.to_owned(), program })
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(|other: char| !other.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}
