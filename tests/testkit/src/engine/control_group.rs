// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A control group of a host's own: what engines see as the root of all control groups.
//!
//! Groups are no namespace: a killed test leaves them on the machine. Their name tells whose they were, so that a later
//! one removes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::wait_until;
use crate::host::TestHost;
use crate::process;

/// What the names of all groups begin with.
const PREFIX: &str = "criu-gc-testkit";

/// In the host, a name for its namespace of control groups.
const NAMESPACE: &str = "/run/testkit-cgroup";

/// Where control groups are mounted in the host.
const MOUNT: &str = "/sys/fs/cgroup";

/// The group to which all engines' own processes belong: one that has members can have no controllers for its children.
const OWN: &str = "engines";

static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// A group, removed with all its processes when this goes out of scope.
#[derive(Debug)]
pub(super) struct ControlGroup {
    directory: PathBuf,
}

impl ControlGroup {
    /// A new group; the host sees nothing else.
    pub(super) fn new(host: &TestHost) -> Self {
        let hierarchy = unified_hierarchy();
        remove_abandoned(&hierarchy);
        let name = format!("{PREFIX}.{}.{}", std::process::id(), NUMBERS.fetch_add(1, Ordering::Relaxed));
        let group = Self { directory: hierarchy.join(&name) };
        fs::create_dir(&group.directory).expect("a new control group");
        fs::create_dir(group.directory.join(OWN)).expect("a new control group");
        let script = format!(
            "echo $$ > {MOUNT}/{name}/cgroup.procs && touch {NAMESPACE} && exec unshare --cgroup sh -e -c '\
             umount --recursive {MOUNT}; mount -t cgroup2 testkit {MOUNT}; \
             mount --bind /proc/self/ns/cgroup {NAMESPACE}'"
        );
        host.run("sh", &[&"-c", &script]);
        group
    }

    /// Kills all processes of the engines' own.
    pub(super) fn kill_engines(&self) {
        fs::write(self.directory.join(OWN).join("cgroup.kill"), "1").expect("a control group");
    }

    /// A command that belongs to the group.
    pub(super) fn command(&self, host: &TestHost, program: &Path) -> Command {
        let join = format!("echo $$ > {MOUNT}/{OWN}/cgroup.procs && exec nsenter --cgroup={NAMESPACE} -- \"$@\"");
        let mut command = host.command("sh");
        command.args(["-c", &join, "sh"]).arg(program);
        command
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if !remove(&self.directory) {
            eprintln!("the control group {} cannot be removed", self.directory.display());
        }
    }
}

/// Where the machine has control groups of version 2.
fn unified_hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts of the machine");
    let place = mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [_, place, "cgroup2", ..] => Some(PathBuf::from(place)),
        _ => None,
    });
    place.expect("control groups of version 2")
}

fn remove_abandoned(hierarchy: &Path) {
    for path in fs::read_dir(hierarchy).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if owner(&path).is_some_and(|pid| !process::exists(pid)) {
            // Another test may be removing it just now.
            remove(&path);
        }
    }
}

fn owner(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('.').nth(1)?.parse().ok()
}

/// Kills all processes of the group and removes it with all below it; whether it is gone then.
fn remove(group: &Path) -> bool {
    // Fails only if the group is gone.
    fs::write(group.join("cgroup.kill"), "1").unwrap_or(());
    wait_until(|| {
        remove_empty(group);
        (!group.exists()).then_some(())
    })
    .is_some()
}

fn remove_empty(group: &Path) {
    for path in fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            remove_empty(&path);
        }
    }
    // Its processes take their time to end.
    fs::remove_dir(group).unwrap_or(());
}
