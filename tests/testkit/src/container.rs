// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A root directory for trees with pid and mount namespaces of their own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::artifacts::Artifacts;
use crate::host::TestHost;

/// Whether a container may write to a mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// It may.
    ReadWrite,
    /// It may not.
    ReadOnly,
}

/// What a container consists of, as a runtime's configuration says it.
#[derive(Clone, Debug)]
pub struct Container {
    root: PathBuf,
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug)]
enum Mount {
    Bind { source: PathBuf, target: PathBuf, access: Access },
    Tmpfs { target: PathBuf },
}

impl Container {
    /// A container whose root is a new directory of the host's.
    ///
    /// # Panics
    /// If the directory exists.
    pub fn new(host: &TestHost, name: &str) -> Self {
        let root = host.dir().join(name);
        for directory in ["", "proc", "dev", "tmp"] {
            fs::create_dir(root.join(directory)).expect("a new directory");
        }
        let null = root.join("dev/null");
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, null, FileType::CharacterDevice, mode, makedev(1, 3)).expect("a device node");
        fs::copy(Artifacts::of_workspace().workload(), root.join("workload")).expect("the workload");
        Self { root, mounts: Vec::new() }
    }

    /// The same with a directory of the host mounted in it.
    pub fn bind(mut self, source: &Path, target: &Path, access: Access) -> Self {
        let (source, target) = (source.to_owned(), target.to_owned());
        self.mounts.push(Mount::Bind { source, target, access });
        self
    }

    /// The same with a temporary file system of its own.
    pub fn tmpfs(mut self, target: &Path) -> Self {
        self.mounts.push(Mount::Tmpfs { target: target.to_owned() });
        self
    }

    /// Its root, as the host names it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// CRIU's options for a dump: bind mounts come from outside.
    pub fn dump_options(&self) -> Vec<OsString> {
        let names = self.binds().flat_map(|(_, target)| external(target, target));
        names.collect()
    }

    /// CRIU's options for a restore.
    pub fn restore_options(&self) -> Vec<OsString> {
        let root = [OsString::from("--root"), self.root.clone().into_os_string()];
        let places = self.binds().flat_map(|(source, target)| external(target, source));
        root.into_iter().chain(places).collect()
    }

    /// The workload's words that enter the container.
    pub(crate) fn entry(&self) -> Vec<OsString> {
        let mut words = vec!["enter".into(), self.root.clone().into_os_string()];
        for mount in &self.mounts {
            words.extend(mount.words());
        }
        words.push("end".into());
        words
    }

    fn binds(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.mounts.iter().filter_map(|mount| match mount {
            Mount::Bind { source, target, .. } => Some((source.as_path(), target.as_path())),
            Mount::Tmpfs { .. } => None,
        })
    }
}

impl Mount {
    fn words(&self) -> Vec<OsString> {
        match self {
            Self::Bind { source, target, access } => {
                let keyword = match access {
                    Access::ReadWrite => "bind",
                    Access::ReadOnly => "bind-ro",
                };
                vec![keyword.into(), source.into(), target.into()]
            }
            Self::Tmpfs { target } => vec!["tmpfs".into(), target.into()],
        }
    }
}

/// `--external mnt[KEY]:VALUE`
fn external(key: &Path, value: &Path) -> [OsString; 2] {
    let mut mount = OsString::from("mnt[");
    mount.push(key);
    mount.push("]:");
    mount.push(value);
    ["--external".into(), mount]
}
