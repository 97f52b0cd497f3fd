// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of Docker, by its daemon and its client.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::Daemon;
use super::{Engines, Specification, await_end};
use crate::command::{CommandExt, Finished, wait_until};

/// Where Docker keeps all that it has, if it is not told otherwise.
const STORE: &str = "/var/lib/docker";

/// The client and the daemon of the packages: a machine may have others elsewhere.
const CLIENT: &str = "/usr/bin/docker";
const DAEMON: &str = "/usr/sbin/dockerd";

/// The image of all containers.
const IMAGE: &str = "workload:1";

/// What Docker needs for checkpoints, and on a machine without systemd.
const OPTIONS: [&str; 3] = ["--experimental", "--exec-opt", "native.cgroupdriver=cgroupfs"];

/// Users that a daemon with `--userns-remap` takes for root and those after.
const USERS: &str = "for file in subuid subgid; do echo daemon:100000:65536 > /etc/$file; done";

/// Docker, in a host.
#[derive(Debug)]
pub struct Docker<'a> {
    engines: &'a Engines<'a>,
    daemon: Daemon,
}

impl Engines<'_> {
    /// Starts a daemon with a store of the host's own, on a disk, and an image of the workload in it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_docker(&self, options: &[&str]) -> Docker<'_> {
        self.configure("tcp-established");
        self.set_up(&[STORE]);
        self.host.run("sh", &[&"-ec", &USERS]);
        let docker = Docker { engines: self, daemon: start(self, options) };
        docker.command("import").arg(self.root_archive()).arg(IMAGE).succeed();
        docker
    }
}

fn start(engines: &Engines<'_>, options: &[&str]) -> Daemon {
    engines.start_daemon(DAEMON, &[&OPTIONS, options].concat(), &[CLIENT, "version"])
}

impl Docker<'_> {
    /// Starts a daemon again after the engine was killed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.daemon = start(self.engines, &[]);
    }

    /// Starts a container with a network of its own, in which nothing is, for others to share. Returns its path.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_pod(&self, name: &str) -> PathBuf {
        let mut command = self.command("run");
        command
            .args(["--detach", "--name", name, "--network", "none", IMAGE, "/workload", "ready", "/ready"])
            .succeed();
        self.inspect(name, "{{.NetworkSettings.SandboxKey}}").into()
    }

    /// Starts a container and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn run(&self, name: &str, network: &str, options: &[&str], specification: &Specification) {
        let mut command = self.command("run");
        command.args(["--detach", "--name", name, "--network", network]).args(options);
        command.arg("--volume").arg(format!("{}:/data", specification.volume.display()));
        command.args(["--volume", "/dev/shm:/dev/shm", IMAGE]);
        command.args(specification.arguments(name)).succeed();
        specification.await_ready(name);
    }

    /// Loads the images of an archive.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn load(&self, archive: &Path) {
        self.command("load").arg("--input").arg(archive).succeed();
    }

    /// The command that runs a new container of an image to its end, with these options.
    pub fn run_command(&self, options: &[&str], image: &str) -> Command {
        let mut command = self.command("run");
        command.arg("--rm").args(options).arg(image);
        command
    }

    /// Checkpoints the container, which stays as one that has ended.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint(&self, name: &str, checkpoint: &str, options: &[&str]) {
        let pid = self.pid(name).expect("a running container");
        self.checkpoint_command(name, checkpoint, options).succeed();
        await_end(pid);
    }

    /// The command for that.
    pub fn checkpoint_command(&self, name: &str, checkpoint: &str, options: &[&str]) -> Command {
        let mut command = self.command("checkpoint");
        command.arg("create").args(options).args([name, checkpoint]);
        command
    }

    /// Removes a checkpoint.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn remove_checkpoint(&self, name: &str, checkpoint: &str) {
        self.command("checkpoint").args(["rm", name, checkpoint]).succeed();
    }

    /// Restores the container from a checkpoint, or tries to. Docker gives the images to containerd, which may still have them
    /// from the checkpoint, and refuses them until it has thrown them away.
    ///
    /// # Panics
    /// If it goes on refusing.
    #[track_caller]
    pub fn restore(&self, name: &str, checkpoint: &str) -> Finished {
        let tried = wait_until(|| {
            let finished = self.restore_command(name, checkpoint).finish();
            (!finished.stderr.contains(": already exists")).then_some(finished)
        });
        tried.expect("containerd still has the images of the checkpoint")
    }

    /// The command for that.
    pub fn restore_command(&self, name: &str, checkpoint: &str) -> Command {
        let mut command = self.command("start");
        command.args(["--checkpoint", checkpoint, name]);
        command
    }

    /// Starts the container afresh, or tries to.
    #[track_caller]
    pub fn start(&self, name: &str) -> Finished {
        self.command("start").arg(name).finish()
    }

    /// Waits until the container runs, which somebody else starts.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn await_running(&self, name: &str) {
        assert!(wait_until(|| self.pid(name).map(drop)).is_some(), "{name} does not run");
    }

    /// Ends the container and removes it.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        self.command("rm").args(["--force", name]).succeed();
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

    /// The container's id.
    pub fn id(&self, name: &str) -> String {
        self.inspect(name, "{{.Id}}")
    }

    /// The container's directory, in which `checkpoints` has the images.
    pub fn directory(&self, name: &str) -> PathBuf {
        let root = self.command("info").args(["--format", "{{.DockerRootDir}}"]).succeed().stdout;
        Path::new(root.trim()).join("containers").join(self.id(name))
    }

    /// What `docker inspect` says.
    ///
    /// # Panics
    /// If there is no such container.
    #[track_caller]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.command("inspect").args(["--format", format, name]).succeed().stdout.trim().to_owned()
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = self.engines.command(CLIENT);
        command.arg(verb);
        command
    }
}
