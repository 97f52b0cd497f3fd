// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a control group is on this host. A restore mounts each hierarchy again and names it by its controllers
//! (`ctrl_dir_and_opt` in `criu/cgroup.c`); the host has it somewhere else. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mounts::{Base, HostMount, Identity, Location, Place, Unreachable, is_plain_path};

/// Where the control group `/HIERARCHY/GROUP` is, on a host with these mounts.
pub(super) fn location_of(path: &[u8], mounts: &[HostMount]) -> Location {
    let unknown = Location::Unreachable(Unreachable::NoHierarchy);
    let Some((hierarchy, group)) = split(path) else { return unknown };
    let shows = |mount: &&HostMount| mount.root == b"/" && is_of_hierarchy(mount, hierarchy);
    // Of two on one directory the last one shows.
    let Some(mount) = mounts.iter().rev().find(shows) else { return unknown };
    let base = Base::Mount {
        namespace: None,
        mountpoint: PathBuf::from(OsStr::from_bytes(&mount.mountpoint)),
        id: mount.id,
        is_tmpfs: false,
        identity: Identity::Certain,
    };
    Location::At(vec![Place { base, relative: Path::new(OsStr::from_bytes(group)).to_owned() }])
}

/// The hierarchy, and the path of the group in it.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !is_plain_path(path) {
        return None;
    }
    let rest = path.strip_prefix(b"/")?;
    let slash = rest.iter().position(|byte| *byte == b'/')?;
    let (hierarchy, group) = (&rest[..slash], &rest[slash + 1..]);
    (!hierarchy.is_empty() && !group.is_empty()).then_some((hierarchy, group))
}

/// Whether a mount shows this hierarchy: `unified`, the name of one without controllers, or all its controllers.
fn is_of_hierarchy(mount: &HostMount, hierarchy: &[u8]) -> bool {
    match &mount.fstype[..] {
        b"cgroup2" => hierarchy == b"unified",
        b"cgroup" => hierarchy.split(|byte| *byte == b',').all(|controller| {
            mount.options.split(|byte| *byte == b',').any(|option| {
                option == controller || option.strip_prefix(b"name=").is_some_and(|name| name == controller)
            })
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u32, fstype: &str, options: &str, root: &str, mountpoint: &str) -> String {
        format!("{id} 1 0:{id} {root} {mountpoint} rw - {fstype} none rw,{options}")
    }

    fn found(path: &str) -> Option<String> {
        let table = [
            mount(30, "tmpfs", "mode=755", "/", "/sys/fs/cgroup"),
            mount(31, "cgroup", "cpu,cpuacct", "/", "/sys/fs/cgroup/cpu,cpuacct"),
            mount(32, "cgroup", "xattr,name=systemd", "/", "/sys/fs/cgroup/systemd"),
            mount(33, "cgroup2", "nsdelegate", "/", "/sys/fs/cgroup/unified"),
            mount(34, "cgroup", "pids", "/part", "/elsewhere"),
        ];
        let (mounts, _) = crate::system::mountinfo::parse(table.join("\n").as_bytes());
        match location_of(path.as_bytes(), &mounts) {
            Location::At(places) => Some(places[0].path().display().to_string()),
            Location::Either(_) | Location::Vanished(_) | Location::Unreachable(_) => None,
        }
    }

    #[test]
    fn a_group_is_where_its_hierarchy_is_mounted() {
        assert_eq!(found("/unified/a/b").as_deref(), Some("/sys/fs/cgroup/unified/a/b"));
        assert_eq!(found("/systemd/a").as_deref(), Some("/sys/fs/cgroup/systemd/a"));
        for controllers in ["cpu,cpuacct", "cpuacct,cpu", "cpu"] {
            let path = found(&format!("/{controllers}/a"));
            assert_eq!(path.as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct/a"), "{controllers}");
        }
    }

    #[test]
    fn a_part_of_a_hierarchy_and_a_path_that_leads_elsewhere_are_not_known() {
        for path in ["/pids/a", "/memory/a", "/unified", "/unified/", "/unified/../a", "unified/a", "/rw,/a"] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
