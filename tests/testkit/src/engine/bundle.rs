// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of the low-level runtimes, which start what is configured in a directory, the bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Engines, Specification, await_end};
use crate::artifacts::Artifacts;
use crate::command::{CommandExt, wait_until};

/// A runtime whose containers are bundles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Runtime {
    /// runc
    Runc,
    /// crun
    Crun,
}

/// A container whose configuration is in a directory.
#[derive(Debug)]
pub struct Bundle<'a> {
    engines: &'a Engines<'a>,
    runtime: Runtime,
    name: String,
    directory: PathBuf,
    specification: Specification,
}

impl Engines<'_> {
    /// Makes a bundle, away from what tests take pictures of. Nothing is started.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn make_bundle(&self, runtime: Runtime, name: &str, specification: &Specification) -> Bundle<'_> {
        let directory = self.host.unused_path(name);
        fs::create_dir(&directory).expect("a new directory");
        fs::rename(self.root_directory(), directory.join("rootfs")).expect("a new directory");
        let specification = specification.clone();
        let bundle = Bundle { engines: self, runtime, name: name.to_owned(), directory, specification };
        bundle.configure();
        bundle
    }
}

impl Bundle<'_> {
    /// The bundle, as the host names it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The container's root directory.
    pub fn root(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// Where a checkpoint that names no other directory has its images.
    pub fn images(&self) -> PathBuf {
        self.directory.join("checkpoint")
    }

    /// Starts the container and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&self) {
        self.launch(self.command("run").args(["--detach", "--bundle"]).arg(&self.directory));
        self.specification.await_ready(&self.name);
    }

    /// Checkpoints the container, which is then gone.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint(&self) {
        let pid = self.pid().expect("a running container");
        self.checkpoint_command().succeed();
        await_end(pid);
    }

    /// The command for that.
    pub fn checkpoint_command(&self) -> Command {
        let mut command = self.command("checkpoint");
        command.arg("--image-path").arg(self.images()).args(["--tcp-established", &self.name]);
        command
    }

    /// Restores the container from its images and lets it run.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn restore(&self) {
        let mut command = self.command("restore");
        command.args(["--detach", "--tcp-established", "--bundle"]).arg(&self.directory);
        self.launch(command.arg("--image-path").arg(self.images()));
    }

    /// Tries to restore the container; whether that succeeds.
    ///
    /// # Panics
    /// If it cannot be tried.
    #[track_caller]
    pub fn try_restore(&self) -> bool {
        let mut child = self.restore_command().spawn().expect("nsenter");
        wait_until(|| child.try_wait().expect("a child's status")).is_some_and(|status| status.success())
    }

    /// The command for that, without streams, which the container would get.
    pub fn restore_command(&self) -> Command {
        let mut command = self.command("restore");
        command.args(["--detach", "--tcp-established", "--bundle"]).arg(&self.directory);
        command.arg("--image-path").arg(self.images()).arg(&self.name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Removes what the runtime keeps of the container after a restore that failed. Some keep nothing.
    pub fn forget(&self) {
        self.command("delete").args(["--force", &self.name]).finish();
    }

    /// The container's first process, as the machine numbers it; nothing if it does not run.
    pub fn pid(&self) -> Option<u32> {
        let state = self.command("state").arg(&self.name).finish();
        let state: Value = serde_json::from_str(&state.stdout).ok()?;
        let pid = u32::try_from(state["pid"].as_u64()?).ok()?;
        (state["status"] == "running").then(|| self.engines.host.real_pid(pid)).flatten()
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = self.engines.command(self.runtime.program());
        command.arg("--log").arg(self.log()).arg(verb);
        command
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Runs a command that leaves the container running. It gets this command's streams.
    #[track_caller]
    fn launch(&self, command: &mut Command) {
        command.arg(&self.name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("nsenter");
        let status = wait_until(|| child.try_wait().expect("a child's status"));
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        assert!(status.is_some_and(|status| status.success()), "{command:?}: {status:?}\n{log}");
    }

    /// Changes the runtime's own example of a configuration.
    fn configure(&self) {
        self.engines.command("runc").args(["spec", "--bundle"]).arg(&self.directory).succeed();
        let file = self.directory.join("config.json");
        let text = fs::read_to_string(&file).expect("an example of a configuration");
        let mut configuration: Value = serde_json::from_str(&text).expect("an example of a configuration");
        let arguments = self.specification.arguments(&self.name);
        let arguments: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        configuration["process"]["terminal"] = json!(false);
        configuration["process"]["args"] = json!(arguments);
        configuration["root"]["readonly"] = json!(false);
        let (annotation, value) = self.engines.annotation();
        configuration["annotations"] = json!({ annotation: value });
        for namespace in configuration["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            if namespace["type"] == "network" {
                namespace["path"] = json!(self.specification.network);
            }
        }
        self.mount(configuration["mounts"].as_array_mut().expect("mounts"));
        fs::write(&file, configuration.to_string()).expect("the configuration");
    }

    fn mount(&self, mounts: &mut Vec<Value>) {
        mounts.retain(|mount| mount["destination"] != "/dev/shm");
        let volume = &self.specification.volume;
        for (source, destination) in [(Path::new("/dev/shm"), "/dev/shm"), (volume.as_path(), "/data")] {
            let options = ["rbind", "rw"];
            mounts.push(json!({ "destination": destination, "type": "bind", "source": source, "options": options }));
        }
    }
}

impl Runtime {
    fn program(self) -> PathBuf {
        match self {
            Self::Runc => "runc".into(),
            Self::Crun => Artifacts::of_workspace().crun().join("crun"),
        }
    }
}
