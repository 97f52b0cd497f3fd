// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Control groups that are frozen, and the processes in them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::proc::read_file;
use crate::system::mountinfo::{self, HostMount};

/// A control group that is frozen by itself, and not because one above it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenGroup {
    /// Its directory.
    pub directory: PathBuf,
    /// Which interface froze it.
    pub freezer: Freezer,
}

/// The two interfaces of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezer {
    /// `freezer.state`, of version 1.
    State,
    /// `cgroup.freeze`, of version 2.
    Freeze,
}

/// The frozen control groups that a process is in.
pub fn groups_of(pid: u32) -> io::Result<Vec<FrozenGroup>> {
    let (mounts, _) = mountinfo::parse(&fs::read("/proc/self/mountinfo")?);
    let groups = read_file(format!("/proc/{pid}/cgroup").as_ref())?;
    Ok(frozen_among(&groups, &mounts))
}

/// The frozen control groups of all these processes, each once, with the processes that it holds.
pub fn all_groups(pids: impl IntoIterator<Item = u32>, mounts: &[HostMount]) -> Vec<(FrozenGroup, Vec<u32>)> {
    let mut of_groups: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for pid in pids {
        if let Ok(groups) = read_file(format!("/proc/{pid}/cgroup").as_ref()) {
            of_groups.entry(groups).or_default().push(pid);
        }
    }
    let mut found: Vec<(FrozenGroup, Vec<u32>)> = Vec::new();
    for (groups, pids) in of_groups {
        for group in frozen_among(&groups, mounts) {
            match found.iter_mut().find(|(known, _)| *known == group) {
                Some((_, members)) => members.extend(&pids),
                None => found.push((group, pids.clone())),
            }
        }
    }
    found
}

/// The frozen ones of the control groups in the text of `/proc/PID/cgroup`.
fn frozen_among(groups: &[u8], mounts: &[HostMount]) -> Vec<FrozenGroup> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(groups).lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let freezer = match controllers {
            "" => Freezer::Freeze,
            "freezer" => Freezer::State,
            _ => continue,
        };
        let is_its = |mount: &&HostMount| match freezer {
            Freezer::Freeze => mount.fstype == b"cgroup2",
            Freezer::State => mount.fstype == b"cgroup" && has_option(&mount.options, b"freezer"),
        };
        let Some(mount) = mounts.iter().find(is_its) else { continue };
        let point = super::path(&mount.mountpoint);
        let Ok(below) = Path::new(path).strip_prefix(super::path(&mount.root)) else { continue };
        let top = point.join(below);
        let within = top.ancestors().take_while(|group| group.starts_with(&point));
        found.extend(
            within
                .filter(|group| freezer.is_frozen(group))
                .map(|group| FrozenGroup { directory: group.to_owned(), freezer }),
        );
    }
    found
}

fn has_option(options: &[u8], name: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == name)
}

impl Freezer {
    /// Whether the group itself was told to freeze.
    pub fn is_frozen(self, group: &Path) -> bool {
        let file = match self {
            Freezer::State => "freezer.self_freezing",
            Freezer::Freeze => "cgroup.freeze",
        };
        read_file(&group.join(file)).is_ok_and(|text| text.trim_ascii() == b"1")
    }
}
