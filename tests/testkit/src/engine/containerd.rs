// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of containerd, by its own client `ctr`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::{Daemon, image_archive};
use super::{Engines, Specification, await_end};
use crate::command::{CommandExt, Finished, wait_until};

/// Where containerd keeps all that it has.
const STORE: &str = "/var/lib/containerd";

/// The image of all containers.
const IMAGE: &str = "docker.io/library/workload:1";

/// containerd, in a host.
#[derive(Debug)]
pub struct Containerd<'a> {
    engines: &'a Engines<'a>,
    _daemon: Daemon,
}

impl Engines<'_> {
    /// Starts containerd with a store of the host's own, on a disk, and an image of the workload in it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_containerd(&self) -> Containerd<'_> {
        self.configure("tcp-established");
        self.set_up(&[STORE]);
        let daemon = self.start_daemon("/usr/bin/containerd", &[], &["ctr", "version"]);
        let containerd = Containerd { engines: self, _daemon: daemon };
        containerd.command(&["images", "import"]).arg(image_archive(self, IMAGE)).succeed();
        containerd
    }
}

impl Containerd<'_> {
    /// Starts a container and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&self, id: &str, specification: &Specification) {
        let mut command = self.command(&["run"]);
        // The machines of tests may have no such controller in this hierarchy.
        command.args(["--detach", "--cpu-shares", "0", "--with-ns"]);
        command.arg(format!("network:{}", specification.network.display()));
        for (source, target) in [(specification.volume.as_path(), "/data"), (Path::new("/dev/shm"), "/dev/shm")] {
            let mount = format!("type=bind,src={},dst={target},options=rbind:rw", source.display());
            command.arg("--mount").arg(mount);
        }
        command.args([IMAGE, id]).args(specification.arguments(id)).succeed();
        specification.await_ready(id);
    }

    /// `ctr tasks checkpoint --exit`: the images are in that directory, or in an image of this name's.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint_task(&self, id: &str, images: Option<&Path>) {
        let pid = self.pid(id).expect("a running container");
        let mut command = self.command(&["tasks", "checkpoint", "--exit"]);
        if let Some(images) = images {
            command.arg("--image-path").arg(images);
        }
        command.arg(id).succeed();
        await_end(pid);
    }

    /// `ctr containers checkpoint --task`: the container runs on, and the images are in this image.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint_container(&self, id: &str, image: &str) {
        self.command(&["containers", "checkpoint", "--rw", "--task", id, image]).succeed();
    }

    /// `ctr containers restore --live`, or an attempt.
    #[track_caller]
    pub fn restore(&self, id: &str, image: &str) -> Finished {
        self.command(&["containers", "restore", "--rw", "--live", id, image]).finish()
    }

    /// Ends a task, and removes it and its container.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn remove(&self, id: &str) {
        self.command(&["tasks", "delete", "--force", id]).finish();
        self.command(&["containers", "delete", id]).succeed();
    }

    /// The names of all images.
    ///
    /// # Panics
    /// If ctr fails.
    #[track_caller]
    pub fn images(&self) -> Vec<String> {
        let listed = self.command(&["images", "list", "--quiet"]).succeed().stdout;
        listed.lines().map(str::to_owned).collect()
    }

    /// Writes an image to an archive.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn export(&self, image: &str, file: &Path) {
        self.command(&["images", "export", "--skip-manifest-json"]).arg(file).arg(image).succeed();
    }

    /// The container's first process, as the machine numbers it; nothing if it does not run.
    pub fn pid(&self, id: &str) -> Option<u32> {
        let listed = self.command(&["tasks", "list"]).succeed().stdout;
        let words = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let pid = words.filter(|words| words.first() == Some(&id) && words.get(2) == Some(&"RUNNING"));
        let pid = pid.filter_map(|words| words[1].parse().ok()).next()?;
        self.engines.host.real_pid(pid)
    }

    /// The container's root directory, as the host sees it while there is a task.
    ///
    /// # Panics
    /// If there is none.
    pub fn root(&self, id: &str) -> PathBuf {
        let tasks = Path::new("/run/containerd/io.containerd.runtime.v2.task/default");
        let root = tasks.join(id).join("rootfs");
        assert!(wait_until(|| self.engines.host.path(&root).exists().then_some(())).is_some(), "no task {id}");
        root
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.engines.command("/usr/bin/ctr");
        command.args(words);
        command
    }
}
