// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `cargo xtask setup` leaves below `target/`, and why privileged tests may not run.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Names the directory that holds [`Artifacts`], instead of the workspace's `target/`.
pub const TARGET: &str = "CRIU_GC_TARGET";

/// When set, a privileged test that cannot run has failed.
pub const REQUIRED: &str = "CRIU_GC_REQUIRE_PRIVILEGED";

/// Names the versions of CRIU to test with, separated by spaces, where not all are to be.
pub const CRIU: &str = "CRIU_GC_CRIU";

/// Names a tree of a whole Debian: what hosts have for `/` instead of the machine's own.
pub const ROOT: &str = "CRIU_GC_ROOT";

/// Names a client of containerd's CRI service, where its tests are to run.
pub const CRI: &str = "CRIU_GC_CRI";

/// Names another program to test instead of criu-gc: the suite has to fail with it (`cargo xtask against-stubs`).
pub const BINARY: &str = "CRIU_GC_BINARY";

/// The programs of the host that the tests need, found on [`crate::host::SEARCH_PATH`].
const PROGRAMS: [&str; 12] = [
    "iptables-nft",
    "iptables-legacy",
    "nft",
    "ip",
    "unshare",
    "nsenter",
    "mount",
    "mkfs.ext4",
    "mkfs.xfs",
    "mkfs.btrfs",
    "runc",
    "podman",
];

/// Where the CRIUs and the workload are.
#[derive(Clone, Debug)]
pub struct Artifacts {
    target: PathBuf,
}

impl Artifacts {
    /// Those of this workspace, or those that the environment names.
    pub fn of_workspace() -> Self {
        let target = std::env::var_os(TARGET).map(PathBuf::from);
        Self { target: target.unwrap_or_else(workspace_target) }
    }

    /// The directory that holds everything else.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// One directory a version of CRIU: `criu`, `crit` and `tree` in each.
    pub fn criu(&self) -> PathBuf {
        self.target.join("criu")
    }

    /// A crun that was built with CRIU: `crun` and `tree`.
    pub fn crun(&self) -> PathBuf {
        self.target.join("crun")
    }

    /// Where `cargo xtask image` builds.
    pub fn image(&self) -> PathBuf {
        self.target.join("image")
    }

    /// criu-gc as a container image.
    pub fn image_archive(&self) -> PathBuf {
        self.image().join("criu-gc.tar")
    }

    /// Docker, containerd and LXC: `tree`, to be laid over a host's own `/usr` and `/etc`.
    pub fn engines(&self) -> PathBuf {
        self.target.join("engines")
    }

    /// The static program that is dumped.
    pub fn workload(&self) -> PathBuf {
        self.target.join("workload/workload")
    }

    /// The preload library that kills CRIU at a chosen call.
    pub fn killer(&self) -> PathBuf {
        self.target.join("killer/killer.so")
    }

    /// Where hosts have their scratch directories: on a real disk, not in a temporary file system.
    pub fn scratch(&self) -> PathBuf {
        self.target.join("testkit")
    }
}

/// Why privileged tests cannot run here; nothing if they can. It is found out once.
pub fn cannot_run() -> Option<String> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    REASON.get_or_init(find_reason).clone()
}

fn find_reason() -> Option<String> {
    let artifacts = Artifacts::of_workspace();
    if !is_root() {
        return Some("the tests do not run as root".to_owned());
    }
    if let Some(program) = PROGRAMS.iter().find(|program| !is_on_search_path(program)) {
        return Some(format!("the program {program} is missing: run `cargo xtask setup`"));
    }
    let brought = [artifacts.workload(), artifacts.killer(), artifacts.crun().join("crun")];
    if let Some(path) = brought.iter().find(|path| !path.exists()) {
        return Some(format!("{} is missing: run `cargo xtask setup`", path.display()));
    }
    if crate::Criu::all().is_empty() {
        let path = artifacts.criu();
        return Some(format!("no CRIU is in {}: run `cargo xtask setup`", path.display()));
    }
    None
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn workspace_target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    workspace.expect("the directory of the workspace").join("target")
}

fn is_on_search_path(program: &str) -> bool {
    crate::host::SEARCH_PATH.split(':').any(|directory| Path::new(directory).join(program).exists())
}
