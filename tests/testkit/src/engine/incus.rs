// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of Incus, by its daemon and its client.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::Daemon;
use super::{Engines, Specification};
use crate::command::{CommandExt, Finished};

/// Where Incus keeps all that it has.
const STORE: &str = "/var/lib/incus";

const DAEMON: &str = "/usr/libexec/incus/incusd";
const CLIENT: &str = "/usr/bin/incus";

/// The image of all containers.
const IMAGE: &str = "workload";

/// Incus, in a host.
#[derive(Debug)]
pub struct Incus<'a> {
    engines: &'a Engines<'a>,
    _daemon: Daemon,
}

impl Engines<'_> {
    /// Starts a daemon with a store of the host's own, on a disk, and an image of the workload in it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_incus(&self) -> Incus<'_> {
        self.set_up(&[STORE]);
        self.host.run("mkdir", &[&"-p", &"/var/log/incus"]);
        let mut path = OsString::from("PATH=");
        path.push(self.search_path_of_liblxc());
        let path = path.into_string().expect("UTF-8");
        let daemon = self.start_daemon("/usr/bin/env", &[&path, DAEMON], &[CLIENT, "info"]);
        let incus = Incus { engines: self, _daemon: daemon };
        incus.client(&["storage", "create", "default", "dir"]).succeed();
        incus.client(&["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"]).succeed();
        incus.import();
        incus
    }
}

impl Incus<'_> {
    /// Starts a container with a network of its own, in which nothing is, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&self, name: &str, specification: &Specification) {
        let words = specification.arguments(name);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let raw = format!("raw.lxc=lxc.cgroup.relative = 1\nlxc.init.cmd = {}", words.join(" "));
        let mut command = self.client(&["init", IMAGE, name, "--config", &raw]);
        command.args(["--config", "security.privileged=true", "--config", "migration.stateful=true"]).succeed();
        let source = format!("source={}", specification.volume.display());
        self.client(&["config", "device", "add", name, "volume", "disk", &source, "path=/data"]).succeed();
        let started = self.client(&["start", name]).finish();
        assert!(started.status.success(), "{started}{}", self.log(name));
        specification.await_ready(name);
    }

    /// Starts the container afresh, without the state that it was stopped with, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_stateless(&self, name: &str, specification: &Specification) {
        self.client(&["start", "--stateless", name]).succeed();
        specification.await_ready(name);
    }

    /// Stops the container with its state.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn stop_stateful(&self, name: &str) {
        let stopped = self.try_stop_stateful(name);
        assert!(stopped.status.success() && !self.is_running(name), "{stopped}{}", self.log(name));
    }

    /// The same, whatever comes of it.
    ///
    /// # Panics
    /// If Incus hangs.
    #[track_caller]
    pub fn try_stop_stateful(&self, name: &str) -> Finished {
        self.client(&["stop", "--stateful", name]).finish()
    }

    /// Makes a snapshot with the container's state; the container runs on.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn snapshot_stateful(&self, name: &str, snapshot: &str) {
        let made = self.client(&["snapshot", "create", "--stateful", name, snapshot]).finish();
        assert!(made.status.success() && self.is_running(name), "{made}{}", self.log(name));
    }

    /// Whether the container runs.
    #[track_caller]
    pub fn is_running(&self, name: &str) -> bool {
        self.client(&["list", "--format", "csv", "--columns", "s", name]).succeed().stdout.trim() == "RUNNING"
    }

    /// The container's directory, with `rootfs` and `state`.
    pub fn directory(&self, name: &str) -> PathBuf {
        Path::new(STORE).join("storage-pools/default/containers").join(name)
    }

    /// The directory of a snapshot of it.
    pub fn snapshot_directory(&self, name: &str, snapshot: &str) -> PathBuf {
        Path::new(STORE).join("storage-pools/default/containers-snapshots").join(name).join(snapshot)
    }

    fn import(&self) {
        let directory = self.engines.host.unused_path("metadata");
        fs::create_dir(&directory).expect("a new directory");
        let text = "architecture: x86_64\ncreation_date: 1700000000\n";
        fs::write(directory.join("metadata.yaml"), text).expect("a new file");
        let metadata = self.engines.host.unused_path("metadata.tar");
        self.engines.host.run("tar", &[&"-C", &directory, &"-cf", &metadata, &"metadata.yaml"]);
        let mut command = self.client(&["image", "import", "--alias", IMAGE]);
        command.arg(metadata).arg(self.engines.root_archive()).succeed();
    }

    /// What LXC noted last, for the message of a test that fails.
    fn log(&self, name: &str) -> String {
        self.client(&["info", "--show-log", name]).finish().stdout
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = self.engines.command(CLIENT);
        command.args(words);
        command
    }
}
