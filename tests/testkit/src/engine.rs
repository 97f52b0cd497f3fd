// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real container engines in a host: what they are given, and where they run.
//!
//! An engine sees a machine with one control group hierarchy, of version 2, whose root is the host's own group; it
//! finds the CRIU that was chosen, and keeps all its state in the host's directories. Its containers run the workload.

mod bundle;
mod containerd;
mod control_group;
mod cri;
mod docker;
mod enclosure;
mod incus;
mod lxc;
mod packages;
mod podman;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts::Artifacts;
use crate::command::{copy_program, wait_until};
use crate::criu::Criu;
use crate::criu::options::LockMethod;
use crate::host::TestHost;
use crate::host::network::NetNamespace;
use crate::xtables::IptablesFlavour;
use crate::{Word, process};
use control_group::ControlGroup;

pub use bundle::{Bundle, Runtime};
pub use containerd::Containerd;
pub use cri::Cri;
pub use docker::Docker;
pub use enclosure::{Enclosure, Pids};
pub use incus::Incus;
pub use lxc::Lxc;
pub use podman::Podman;

/// Where engines run: part of a host, with one CRIU and one way to lock the network.
#[derive(Debug)]
pub struct Engines<'a> {
    host: &'a TestHost,
    group: ControlGroup,
    criu: PathBuf,
    search_path: OsString,
    configuration: PathBuf,
}

/// What a container is to be.
#[derive(Clone, Debug)]
pub struct Specification {
    directives: Vec<OsString>,
    network: PathBuf,
    volume: PathBuf,
}

impl<'a> Engines<'a> {
    /// Prepares the host. Engines pass no `--link-remap` and mostly no `--network-lock` to CRIU: both come from a
    /// configuration file that the containers name.
    ///
    /// # Panics
    /// If the host cannot be prepared.
    pub fn new(host: &'a TestHost, criu: &Criu, lock: LockMethod, flavour: IptablesFlavour) -> Self {
        let group = ControlGroup::new(host);
        let program = criu.program();
        let mut search_path = program.parent().expect("a directory").as_os_str().to_owned();
        search_path.push(":");
        search_path.push(flavour.search_path(host));
        let configuration = host.unused_path("criu.conf");
        let text = format!("link-remap\nnetwork-lock {}\n", lock.word());
        fs::write(&configuration, text).expect("a new file");
        Self { host, group, criu: program.to_owned(), search_path, configuration }
    }

    /// Adds a line to CRIU's configuration file.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn configure(&self, line: &str) {
        let text = fs::read_to_string(&self.configuration).expect("a file");
        fs::write(&self.configuration, format!("{text}{line}\n")).expect("a file");
    }

    /// Kills whatever runs of the engines themselves at this moment, their daemons, shims and CRIUs: not the containers.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn kill(&self) {
        self.group.kill_engines();
    }

    /// A command of an engine.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.group.command(self.host, program.as_ref());
        command.env("PATH", &self.search_path);
        command
    }

    /// The annotation of a container that names CRIU's options.
    fn annotation(&self) -> (&'static str, &Path) {
        ("org.criu.config", &self.configuration)
    }

    /// A new directory with what a container needs, away from what tests take pictures of.
    fn root_directory(&self) -> PathBuf {
        let root = self.host.unused_path("root");
        for directory in ["", "proc", "dev", "sys", "tmp", "data"] {
            fs::create_dir(root.join(directory)).expect("a new directory");
        }
        copy_program(&Artifacts::of_workspace().workload(), &root.join("workload"));
        root
    }
}

impl Specification {
    /// A container that runs the workload with these directives in a network namespace that others share; the
    /// directory is its volume `/data`, and `/dev/shm` is the host's.
    pub fn new(network: &NetNamespace, volume: &Path, directives: &[Word<'_>]) -> Self {
        let directives = directives.iter().map(|word| word.as_ref().to_owned()).collect();
        Self { directives, network: network.path(), volume: volume.to_owned() }
    }

    /// The command line in the container; when it is ready, the volume has a file of that name.
    fn arguments(&self, report: &str) -> Vec<OsString> {
        let program = ["/workload".into()].into_iter().chain(self.directives.iter().cloned());
        program.chain(["ready".into(), format!("/data/{report}").into()]).collect()
    }

    /// Waits until the container is ready; the volume is then as it was, but for what the directives did.
    #[track_caller]
    fn await_ready(&self, report: &str) {
        let report = self.volume.join(report);
        assert!(wait_until(|| report.exists().then_some(())).is_some(), "the container is not ready");
        fs::remove_file(report).expect("the report of a container");
    }
}

/// Waits until the process is gone.
#[track_caller]
fn await_end(pid: u32) {
    assert!(wait_until(|| (!process::exists(pid)).then_some(())).is_some(), "process {pid} still runs");
}
