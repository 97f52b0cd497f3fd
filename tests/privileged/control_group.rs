// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Control groups of the machine, which a namespace cannot hold: each has a name of its own, and is removed by its test.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Workload, wait_until};

/// A control group, removed when this goes out of scope.
pub(crate) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// A new one of version 2.
    pub(crate) fn unified(name: &str) -> Self {
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let top = unified.iter().map(Path::new).find(|top| top.join("cgroup.procs").exists()).expect("control groups");
        Self::new(top, name)
    }

    /// A new one in the hierarchy of pids, of version 1, with this tree.
    pub(crate) fn of_pids(tree: &Workload) -> Self {
        let group = Self::new(Path::new("/sys/fs/cgroup/pids"), &format!("pids.{}", tree.real_pid()));
        group.add(tree);
        group
    }

    fn new(top: &Path, name: &str) -> Self {
        let directory = top.join(format!("criu-gc-test.{}.{name}", std::process::id()));
        fs::create_dir(&directory).expect("a new control group");
        ControlGroup(directory)
    }

    pub(crate) fn add(&self, tree: &Workload) {
        for pid in tree.real_pids() {
            fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a member");
        }
    }

    /// Its path in a host, where only control groups of version 2 are mounted.
    pub(crate) fn in_host(&self) -> PathBuf {
        Path::new("/sys/fs/cgroup").join(self.0.file_name().expect("a name"))
    }

    /// Removes it, once its processes have ended. What has its name later is removed with this.
    pub(crate) fn remove(&self) {
        wait_until(|| fs::remove_dir(&self.0).is_ok().then_some(())).expect("a control group without processes");
    }

    pub(crate) fn set_frozen(&self, value: &str) {
        fs::write(self.0.join("cgroup.freeze"), value).expect("a control group");
    }

    pub(crate) fn is_frozen(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.freeze")).expect("a control group").trim() == "1"
    }
}

impl Drop for ControlGroup {
    /// Its processes take their time to end, and a frozen one does not.
    fn drop(&mut self) {
        if self.0.join("cgroup.freeze").exists() {
            self.set_frozen("0");
        }
        let removed = wait_until(|| (fs::remove_dir(&self.0).is_ok() || !self.0.exists()).then_some(()));
        let is_gone = removed.is_some() || std::thread::panicking();
        assert!(is_gone, "the control group {} cannot be removed", self.0.display());
    }
}
