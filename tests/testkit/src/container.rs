// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A root directory for trees with pid and mount namespaces of their own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::artifacts::Artifacts;
use crate::command::copy_program;
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
    users: Users,
    externals: Externals,
}

/// How CRIU learns of mounts from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Externals {
    /// Each by its place in the container.
    Named,
    /// By `--external mnt[]`.
    Detected,
}

/// Whose user and group ids a container has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Users {
    /// Those of the host.
    Hosts,
    /// Its own: this one of the host is its 0, and others follow.
    From(u32),
}

#[derive(Clone, Debug)]
enum Mount {
    Bind { source: PathBuf, target: PathBuf, access: Access },
    InnerBind { source: PathBuf, target: PathBuf },
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
        copy_program(&Artifacts::of_workspace().workload(), &root.join("workload"));
        Self { root, mounts: Vec::new(), users: Users::Hosts, externals: Externals::Named }
    }

    /// The same in a user namespace of its own, whose root is this user and group of the host.
    ///
    /// # Panics
    /// If its root directory cannot be given to that user.
    pub fn users_from(mut self, first: u32) -> Self {
        self.users = Users::From(first);
        self.give(&self.root);
        self
    }

    /// Gives a file or directory of the host, with all below it, to the container's root.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn give(&self, path: &Path) {
        let Users::From(first) = self.users else { return };
        lchown(path, Some(first), Some(first)).expect("a file to give away");
        if path.is_dir() && !path.is_symlink() {
            for entry in fs::read_dir(path).expect("a directory").flatten() {
                self.give(&entry.path());
            }
        }
    }

    /// The same with a directory of the host mounted in it.
    pub fn bind(mut self, source: &Path, target: &Path, access: Access) -> Self {
        let (source, target) = (source.to_owned(), target.to_owned());
        self.mounts.push(Mount::Bind { source, target, access });
        self
    }

    /// The same with one of its own directories mounted in it once more; what is mounted so far may show in it.
    pub fn bind_inside(mut self, source: &Path, target: &Path) -> Self {
        let source = self.root.join(source.strip_prefix("/").expect("an absolute path"));
        self.mounts.push(Mount::InnerBind { source, target: target.to_owned() });
        self
    }

    /// The same, dumped so that CRIU finds out by itself which mounts are external.
    pub fn with_detected_mounts(mut self) -> Self {
        self.externals = Externals::Detected;
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
        match self.externals {
            Externals::Named => self.binds().flat_map(|(_, target)| external(target, target)).collect(),
            Externals::Detected => vec!["--external".into(), "mnt[]".into()],
        }
    }

    /// CRIU's options for a restore.
    pub fn restore_options(&self) -> Vec<OsString> {
        let root = [OsString::from("--root"), self.root.clone().into_os_string()];
        let places = self.binds().flat_map(|(source, target)| external(target, source));
        root.into_iter().chain(places).collect()
    }

    /// Which user of the host is its root, where it has users of its own.
    pub(crate) fn first_user(&self) -> Option<u32> {
        match self.users {
            Users::Hosts => None,
            Users::From(first) => Some(first),
        }
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
            Mount::InnerBind { .. } | Mount::Tmpfs { .. } => None,
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
            Self::InnerBind { source, target } => vec!["bind".into(), source.into(), target.into()],
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
