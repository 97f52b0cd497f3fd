// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of podman, with runc or crun as its runtime and a store of the host's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Engines, Specification, await_end};
use crate::command::{CommandExt, Finished};

/// Where podman keeps all that it has, if it is not told otherwise.
const STORE: &str = "/var/lib/containers";

/// Where podman's configuration is.
const CONFIGURATION: &str = "/etc/containers";

/// The image of all containers.
const IMAGE: &str = "localhost/workload";

/// podman, in a host.
#[derive(Debug)]
pub struct Podman<'a> {
    engines: &'a Engines<'a>,
    runtime: &'static str,
    configuration: PathBuf,
}

impl Engines<'_> {
    /// Gives the host a store of its own, on a disk, with an image of the workload in it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn set_up_podman(&self) -> Podman<'_> {
        let store = self.host.unused_path("containers");
        fs::create_dir(&store).expect("a new directory");
        self.host.run("mkdir", &[&"-p", &STORE]);
        self.host.run("mount", &[&"--bind", &store, &STORE]);
        // The option of this name would set a limit of 0, which runc 1.4 writes into the group.
        let configuration = self.host.unused_path("containers.conf");
        fs::write(&configuration, "[containers]\npids_limit = 0\n").expect("a new file");
        let podman = Podman { engines: self, runtime: "runc", configuration };
        podman.import(&self.root_directory());
        podman
    }

    /// The same, with the crun that the host has for its runtime.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn set_up_podman_with_crun(&self) -> Podman<'_> {
        Podman { runtime: "crun", ..self.set_up_podman() }
    }

    /// The same; the host's storage.conf has podman keep its containers in another directory than by default.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn set_up_podman_in(&self, store: &Path) -> Podman<'_> {
        let configuration = self.host.unused_path("configuration");
        self.host.run("cp", &[&"-a", &CONFIGURATION, &configuration]);
        self.host.run("mount", &[&"--bind", &configuration, &CONFIGURATION]);
        let text = format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\n", store.display());
        let runtime = "runroot = \"/run/containers/storage\"\n";
        fs::write(configuration.join("storage.conf"), text + runtime).expect("a configuration");
        self.set_up_podman()
    }
}

impl Podman<'_> {
    /// Starts a container and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&self, name: &str, specification: &Specification) {
        self.run(name, &format!("ns:{}", specification.network.display()), specification);
    }

    /// The same; the network namespace is not named but that of another container, on which this one depends.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_dependent(&self, name: &str, other: &str, specification: &Specification) {
        self.run(name, &format!("container:{other}"), specification);
    }

    /// The same as [`Self::start`], with a `/dev/shm` of the container's own, as podman gives it by default.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_with_own_shm(&self, name: &str, specification: &Specification) {
        self.run_with(name, &format!("ns:{}", specification.network.display()), specification, &[]);
    }

    #[track_caller]
    fn run(&self, name: &str, network: &str, specification: &Specification) {
        self.run_with(name, network, specification, &["--volume", "/dev/shm:/dev/shm"]);
    }

    #[track_caller]
    fn run_with(&self, name: &str, network: &str, specification: &Specification, options: &[&str]) {
        let mut command = self.command("run");
        command.args(["--detach", "--name", name, "--network", network]);
        let (annotation, value) = self.engines.annotation();
        command.arg("--annotation").arg(format!("{annotation}={}", value.display()));
        command.arg("--volume").arg(format!("{}:/data", specification.volume.display()));
        command.args(options);
        // Machines of tests may let root raise no limit, and have no controllers in this hierarchy.
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        command.args(["--cgroups", "no-conmon", IMAGE]);
        command.args(specification.arguments(name)).succeed();
        specification.await_ready(name);
    }

    /// Checkpoints the container, which stays as one that has ended.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint(&self, name: &str, options: &[&str]) {
        let pid = self.pid(name).expect("a running container");
        let finished = self.try_checkpoint(name, options);
        assert!(finished.status.success(), "{finished}");
        await_end(pid);
    }

    /// The same, whatever comes of it.
    ///
    /// # Panics
    /// If podman hangs.
    #[track_caller]
    pub fn try_checkpoint(&self, name: &str, options: &[&str]) -> Finished {
        self.checkpoint_command(name, options).finish()
    }

    /// The command for that.
    pub fn checkpoint_command(&self, name: &str, options: &[&str]) -> Command {
        let mut command = self.command("container");
        command.args(["checkpoint", "--tcp-established"]).args(options).arg(name);
        command
    }

    /// Restores the container.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn restore(&self, name: &str, options: &[&str]) {
        self.restore_command(name, options).succeed();
    }

    /// The same, for a restore that is meant to fail.
    ///
    /// # Panics
    /// If podman hangs.
    #[track_caller]
    pub fn try_restore(&self, name: &str, options: &[&str]) -> Finished {
        self.restore_command(name, options).finish()
    }

    /// The command for that.
    pub fn restore_command(&self, name: &str, options: &[&str]) -> Command {
        let mut command = self.command("container");
        command.args(["restore", "--tcp-established"]).args(options).arg(name);
        command
    }

    /// Removes a container that has ended, with its layer and its images.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        self.command("rm").arg(name).succeed();
    }

    /// Saves an image, in a format of `podman save`.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn save(&self, image: &str, format: &str, path: &Path) {
        self.command("save").args(["--format", format, "--output"]).arg(path).arg(image).succeed();
    }

    /// The container's first process, as the machine numbers it; nothing if it does not run.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let pid = self.inspect(name, "{{.State.Pid}}").parse().expect("a number");
        let is_running = self.inspect(name, "{{.State.Running}}") == "true";
        is_running.then(|| self.engines.host.real_pid(pid)).flatten()
    }

    /// Where the files of the container's root directory are that it has changed.
    pub fn upper_directory(&self, name: &str) -> PathBuf {
        self.inspect(name, "{{.GraphDriver.Data.UpperDir}}").into()
    }

    /// The container's directory, in which `checkpoint` has the images.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.inspect(name, "{{.StaticDir}}").into()
    }

    #[track_caller]
    fn inspect(&self, name: &str, format: &str) -> String {
        self.command("inspect").args(["--format", format, name]).succeed().stdout.trim().to_owned()
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = self.engines.command("podman");
        command.env("CONTAINERS_CONF", &self.configuration);
        command.args(["--runtime", self.runtime, "--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command.args(["--storage-driver", "overlay", verb]);
        command
    }

    fn import(&self, root: &Path) {
        let archive = self.engines.host.unused_path("image.tar");
        self.engines.host.run("tar", &[&"-C", &root, &"-cf", &archive, &"."]);
        self.command("import").arg(archive).arg(IMAGE).succeed();
    }
}
