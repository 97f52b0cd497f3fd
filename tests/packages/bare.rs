// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bare Debian that is the whole file system of a throw-away host: nothing of the machine shows in it but the program
//! that dumps.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Artifacts, CommandExt, TestHost};

use crate::files;

/// Where the host keeps the mount namespace.
const NAMESPACE: &str = "/run/bare/mnt";

/// Makes the namespace, and a file for it to stay.
const KEEP: &str =
    "mkdir /run/bare; mount --bind /run/bare /run/bare; mount --make-private /run/bare; : > /run/bare/mnt";

/// Makes the directory $1 the root, with the directory $2 in it.
const ENTER: &str = "mount --bind \"$1\" \"$1\"; cd \"$1\"; mount -t proc proc proc; mount --rbind /dev dev; \
    mount -t tmpfs run run; mount -t tmpfs tmp tmp; mkdir -p \"./$2\" old; mount --bind \"$2\" \"./$2\"; \
    pivot_root . old; umount --lazy /old; rmdir /old";

/// A bare Debian in a host of its own.
pub(crate) struct Bare {
    host: TestHost,
    root: PathBuf,
}

impl Bare {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        let host = TestHost::new();
        let root = host.dir().join("bare");
        Command::new("cp").args(["--archive", "--reflink=auto"]).arg(files::bare()).arg(&root).succeed();
        let workload = Artifacts::of_workspace().workload();
        Command::new("cp").arg(workload).arg(root.join("workload")).succeed();
        Self { host, root }
    }

    /// Its root, as the machine names it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The host around it.
    pub(crate) fn host(&self) -> &TestHost {
        &self.host
    }

    /// Gives it mounts of its own, with CRIU at the place that it has on the machine.
    pub(crate) fn boot(&self) {
        let criu = Artifacts::of_workspace().criu();
        let criu = fs::canonicalize(criu).expect("a CRIU");
        self.host.run("sh", &[&"-e", &"-c", &KEEP]);
        let namespace = format!("--mount={NAMESPACE}");
        let words: [&dyn AsRef<OsStr>; 10] =
            [&namespace, &"--propagation", &"private", &"--", &"sh", &"-e", &"-c", &ENTER, &"sh", &self.root];
        self.host.command("unshare").args(words).arg(criu).succeed();
    }

    /// A command in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.host.command("nsenter");
        command.arg(format!("--mount={NAMESPACE}")).arg("--").arg(program).env_remove("GLIBC_TUNABLES");
        command
    }
}
