// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers of LXC, which calls CRIU by itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Engines, Specification, await_end};
use crate::command::{CommandExt, Finished};

/// Where LXC keeps its containers.
const STORE: &str = "/var/lib/lxc";

/// A CRIU without three options of LXC's: on machines that have other hierarchies of control groups elsewhere, CRIU looks
/// for the container's root in all of them; and it refuses a profile of AppArmor where the kernel has none.
const CRIU: &str = r#"#!/bin/bash
words=()
while [ $# -gt 0 ]; do
    case $1 in
        --cgroup-root | --lsm-profile) shift 2 ;;
        --manage-cgroups=full) words+=(--manage-cgroups=ignore); shift ;;
        *) words+=("$1"); shift ;;
    esac
done
exec PROGRAM "${words[@]}"
"#;

/// LXC, in a host.
#[derive(Debug)]
pub struct Lxc<'a> {
    engines: &'a Engines<'a>,
    search_path: OsString,
}

impl Engines<'_> {
    /// Prepares the host for LXC, with a store of its own on a disk.
    ///
    /// # Panics
    /// If it cannot be prepared.
    pub fn set_up_lxc(&self) -> Lxc<'_> {
        self.set_up(&[STORE]);
        Lxc { engines: self, search_path: self.search_path_of_liblxc() }
    }

    /// Where LXC, and all that is built on it, finds CRIU.
    pub(super) fn search_path_of_liblxc(&self) -> OsString {
        let programs = self.host.unused_path("programs");
        fs::create_dir(&programs).expect("a new directory");
        let criu = programs.join("criu");
        fs::write(&criu, CRIU.replace("PROGRAM", &self.criu.display().to_string())).expect("a new file");
        fs::set_permissions(&criu, fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut search_path = programs.into_os_string();
        search_path.push(":");
        search_path.push(&self.search_path);
        search_path
    }
}

impl Lxc<'_> {
    /// Starts a container and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start(&self, name: &str, specification: &Specification) {
        self.start_in(name, &format!("lxc.namespace.share.net = {}", specification.network.display()), specification);
    }

    /// The same with a network of its own, in which nothing is.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_alone(&self, name: &str, specification: &Specification) {
        self.start_in(name, "lxc.net.0.type = empty", specification);
    }

    #[track_caller]
    fn start_in(&self, name: &str, network: &str, specification: &Specification) {
        let directory = self.directory(name);
        self.engines.host.run("mkdir", &[&directory]);
        self.engines.host.run("mv", &[&self.engines.root_directory(), &directory.join("rootfs")]);
        let file = self.engines.host.path(directory.join("config"));
        fs::write(file, self.configuration(name, network, specification)).expect("a new file");
        let log = self.engines.host.unused_path("log");
        let mut command = self.command("lxc-start");
        let started = command.args(["--name", name, "--logpriority", "INFO", "--logfile"]).arg(&log).finish();
        let log = fs::read_to_string(log).unwrap_or_default();
        assert!(started.status.success(), "{started}{log}");
        specification.await_ready(name);
    }

    /// Checkpoints the container, which then is gone.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn checkpoint(&self, name: &str, images: &Path) {
        let pid = self.pid(name).expect("a running container");
        let mut command = self.command("lxc-checkpoint");
        command.args(["--stop", "--verbose", "--name", name, "--checkpoint-dir"]).arg(images).succeed();
        await_end(pid);
    }

    /// Restores the container.
    ///
    /// # Panics
    /// If it hangs.
    #[track_caller]
    pub fn restore(&self, name: &str, images: &Path) -> Finished {
        let mut command = self.command("lxc-checkpoint");
        command.args(["--restore", "--verbose", "--name", name, "--checkpoint-dir"]).arg(images).finish()
    }

    /// The container's first process, as the machine numbers it; nothing if it does not run.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let said = self.command("lxc-info").args(["--pid", "--no-humanize", "--name", name]).finish();
        said.stdout.trim().parse().ok().and_then(|pid| self.engines.host.real_pid(pid))
    }

    /// The container's directory, with its configuration and `rootfs`.
    pub fn directory(&self, name: &str) -> PathBuf {
        Path::new(STORE).join(name)
    }

    fn configuration(&self, name: &str, network: &str, specification: &Specification) -> String {
        let words = specification.arguments(name);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        format!(
            "lxc.uts.name = {name}\n\
             lxc.rootfs.path = dir:{}/rootfs\n\
             {network}\n\
             lxc.init.cmd = {}\n\
             lxc.mount.entry = {} data none bind 0 0\n\
             lxc.mount.entry = /dev/shm dev/shm none bind,create=dir 0 0\n\
             lxc.mount.auto = proc:mixed sys:mixed\n\
             lxc.cgroup.relative = 1\n\
             lxc.namespace.keep = cgroup user\n\
             lxc.tty.max = 0\n\
             lxc.pty.max = 1\n\
             lxc.console.path = none\n\
             lxc.apparmor.profile = unconfined\n",
            self.directory(name).display(),
            words.join(" "),
            specification.volume.display(),
        )
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.engines.command(program);
        command.env("PATH", &self.search_path);
        command
    }
}
