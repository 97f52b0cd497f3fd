// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A throw-away machine, made of pid, mount, network, ipc and uts namespaces.
//!
//! Its process 1 reads a pipe that only this process can write to: when this process ends, however
//! that may be, the pipe ends, process 1 with it, and the kernel kills all others. Disks are shared
//! with the machine, so that hard links on a real file system can be tried; its mount table is the
//! host's own, and so are /run, /tmp and /dev/shm.

mod mounts;
pub(crate) mod network;
mod scratch;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::artifacts::{Artifacts, ROOT};
use crate::command::{CommandExt, Finished, wait_until};
use crate::launch::Launch;
use crate::snapshot::Snapshot;
use crate::workload::Workload;
use crate::{Word, kernel, process};
use scratch::Scratch;

/// Where programs of the machine are looked for.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const OWN_TMP: &str = "mount -t tmpfs testkit /tmp\n";

/// A throw-away machine, gone when this goes out of scope or when this process ends, however that may be. Its disks are
/// the machine's; its mount table, /run, /tmp and /dev/shm are its own.
#[derive(Debug)]
pub struct TestHost {
    holder: Holder,
    scratch: Scratch,
    names: AtomicU32,
}

/// The `unshare` that made the namespaces, and process 1 within them.
#[derive(Debug)]
struct Holder {
    unshare: Child,
    lifeline: Option<ChildStdin>,
    init: u32,
}

impl TestHost {
    /// A new host, ready for use.
    ///
    /// # Panics
    /// If it cannot be made; see [`crate::cannot_run`].
    pub fn new() -> Self {
        Self::with_programs(&[])
    }

    /// The same; it also has the disks on which these programs are.
    ///
    /// # Panics
    /// If it cannot be made; see [`crate::cannot_run`].
    pub fn with_programs(programs: &[&Path]) -> Self {
        close_fds::set_fds_cloexec_threadsafe(3, &[]);
        let scratch = Scratch::new(&Artifacts::of_workspace().scratch());
        let used = mounts::used(programs);
        let holder = match root_tree() {
            None => Holder::new(scratch.root(), "", &mounts::disks(&used)),
            Some(tree) => Holder::new(scratch.root(), &scratch.overlay(&tree), &mounts::of_tests(&used)),
        };
        let host = Self { holder, scratch, names: AtomicU32::new(1) };
        // Who builds in the machine's /tmp has to find that in the host.
        let own_tmp = if used.iter().any(|path| path.starts_with("/tmp")) { "" } else { OWN_TMP };
        host.run("sh", &[&"-e", &"-c", &format!("{own_tmp}ip link set lo up")]);
        host
    }

    /// A directory of the host's own on a real disk, at the same place inside and outside.
    pub fn dir(&self) -> &Path {
        self.scratch.tests()
    }

    /// Where a file of the host can be reached from outside.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let relative = inside.as_ref().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.init.to_string()).join("root").join(relative)
    }

    /// The host's process 1, as the machine numbers it.
    pub fn init(&self) -> u32 {
        self.holder.init
    }

    /// A command that runs in the host: with a fixed search path, no other environment, in `/`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_in(None, program)
    }

    /// The same, but in the network namespace with this path of the host.
    pub fn command_in(&self, network: Option<&Path>, program: impl AsRef<OsStr>) -> Command {
        let network = network.map_or("--net".into(), |path| format!("--net={}", self.path(path).display()));
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.init.to_string(), "--pid", "--mount", "--ipc", "--uts"]);
        command.arg(network).arg("--").arg(program);
        command.env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C").envs(kernel::environment());
        command
    }

    /// Runs a program in the host to its end, which must be a success.
    ///
    /// # Panics
    /// If it fails or takes too long; the message holds its standard error.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[Word<'_>]) -> Finished {
        self.command(program).args(arguments).succeed()
    }

    /// Starts a program in the host, with no streams. It is killed with the host at the latest.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn spawn(&self, program: impl AsRef<OsStr>, arguments: &[Word<'_>]) -> Child {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("nsenter")
    }

    /// Starts a tree to dump, in the host's own namespaces. The words are the workload's directives.
    ///
    /// # Panics
    /// If the directives fail.
    #[track_caller]
    pub fn start_workload(&self, directives: &[Word<'_>]) -> Workload {
        Launch::new(directives).start(self)
    }

    /// A picture of the directories (as the host names them) and of all packet filters of the host.
    pub fn snapshot(&self, directories: &[&Path]) -> Snapshot {
        Snapshot::take(self, directories)
    }

    /// The process that the host numbers so, as the machine numbers it.
    pub(crate) fn real_pid(&self, pid: u32) -> Option<u32> {
        let is_it = |candidate: &u32| process::numbers(*candidate).get(1) == Some(&pid);
        process::tree(self.init()).into_iter().find(is_it)
    }

    /// A path that no other call gives, outside of [`TestHost::dir`].
    pub(crate) fn unused_path(&self, prefix: &str) -> PathBuf {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        self.scratch.own().join(format!("{prefix}.{number}"))
    }
}

/// The tree that hosts have for `/` instead of the machine's own, if there is one.
pub(crate) fn root_tree() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Holder {
    /// Builds the host's mount table on the directory given, on which an overlay with these options is mounted first, if
    /// there are any.
    fn new(root: &Path, overlay: &str, disks: &[PathBuf]) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--kill-child", "--mount", "--propagation", "private"]);
        unshare.args(["--net", "--ipc", "--uts", "--", "sh", "-e", "-c", mounts::ENTER, "testkit"]);
        unshare.arg(root).arg(overlay).args(disks).arg("--");
        // Ignoring SIGCHLD, process 1 makes the kernel reap what is orphaned.
        unshare.args(["env", "--ignore-signal=CHLD", "cat"]);
        unshare.env_clear().env("PATH", SEARCH_PATH);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut unshare = unshare.spawn().expect("unshare");
        let lifeline = unshare.stdin.take();
        let echo = unshare.stdout.take();
        let mut holder = Self { unshare, lifeline, init: 0 };
        holder.await_echo(echo.expect("a pipe"));
        let inits = process::children(holder.unshare.id());
        holder.init = *inits.first().expect("process 1 of a new host");
        holder
    }

    /// What comes back has gone through process 1: all namespaces and mounts are there.
    fn await_echo(&mut self, mut echo: impl Read) {
        let lifeline = self.lifeline.as_mut().expect("a pipe");
        lifeline.write_all(b".").expect("namespaces, which only root can make");
        echo.read_exact(&mut [0]).expect("namespaces, which only root can make");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let ended = wait_until(|| self.unshare.try_wait().transpose());
        if ended.is_none_or(|status| status.is_err()) {
            eprintln!("the host of process {} does not end", self.init);
        }
    }
}
