// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a directory in an engine's configuration is the one that a mount in the images showed.
//!
//! A path may lead to another filesystem or directory now, because the configuration changed for the next container. So
//! filesystem and directory must match the images. Only if the directory in the images no longer exists does it count
//! as moved.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criu_images::MntEntry;

use super::path::{below, is_plain_path, join, owned, readings};
use super::{HostMount, filesystem};

/// Whether the directory at `path`, which is on the mount `shown`, is what `mount` showed. `is_there` says whether there
/// is something at a path below the root of `shown`.
pub(crate) fn is_of_mount(path: &Path, shown: &HostMount, mount: &MntEntry, is_there: impl Fn(&Path) -> bool) -> bool {
    let path = path.as_os_str().as_bytes();
    let is_root = path == b"/";
    if !(is_root || is_plain_path(path)) || !filesystem::is_same_or_renumbered(mount, shown) {
        return false;
    }
    let Some(relative) = below(path, &shown.mountpoint) else { return false };
    let inside = if relative.is_empty() { shown.root.clone() } else { join(&shown.root, relative) };
    let recorded = readings(&mount.root);
    let was_moved = || {
        let places: Option<Vec<PathBuf>> = recorded.iter().map(|root| below(root, &shown.root).map(owned)).collect();
        places.is_some_and(|places| !places.iter().any(|place| is_there(place)))
    };
    recorded.contains(&inside) || was_moved()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(device: (u32, u32), root: &str, mountpoint: &str, source: &str) -> HostMount {
        let line = format!("7 1 {}:{} {root} {mountpoint} rw - ext4 {source} rw", device.0, device.1);
        crate::system::mountinfo::parse(line.as_bytes()).0.remove(0)
    }

    fn mount(root: &str) -> MntEntry {
        MntEntry::default().with(|mount| {
            mount.root_dev = 8 << 20 | 1;
            mount.root = root.into();
            mount.source = "/dev/sda1".into();
        })
    }

    fn check(path: &str, shown: &HostMount, root: &str, there: &[&str], expected: bool) {
        let is_there = |path: &Path| there.contains(&path.to_str().unwrap());
        assert_eq!(is_of_mount(Path::new(path), shown, &mount(root), is_there), expected, "{path} {root}");
    }

    #[test]
    fn filesystem_and_directory_have_to_agree() {
        let home = shown((8, 1), "/h", "/home", "/dev/sda1");
        check("/home/data", &home, "/h/data", &["data"], true);
        check("/home/other", &home, "/h/data", &["data"], false);
        check("/home", &home, "/h", &[""], true);
        check("/srv/data", &home, "/h/data", &["data"], false);
        check("/home/./data", &home, "/h/data", &["data"], false);
        let other = shown((8, 2), "/h", "/home", "/dev/sdb1");
        check("/home/data", &other, "/h/data", &["data"], false);
        let renumbered = shown((8, 2), "/h", "/home", "/dev/sda1");
        check("/home/data", &renumbered, "/h/data", &["data"], true);
    }

    #[test]
    fn a_directory_that_is_no_more_was_moved() {
        let home = shown((8, 1), "/h", "/home", "/dev/sda1");
        check("/home/new", &home, "/h/data", &[], true);
        check("/home/new", &home, "/elsewhere/data", &[], false);
        let other = shown((8, 2), "/h", "/home", "/dev/sdb1");
        check("/home/new", &other, "/h/data", &[], false);
    }
}
