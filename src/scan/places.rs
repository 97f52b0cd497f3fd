// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which directories a scan looks into: each tmpfs once, the volumes of container engines, `/` and `/tmp` of each mount
//! namespace and of the layers that containers write to, and what the user named. No other disk is walked.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::causes::with_causes;
use crate::host::names::foreign_on_the_way;
use crate::host::{self, Depth, MountNamespace, MountTables, Start};
use crate::system::dir::Directory;
use crate::system::mountinfo::{self, HostMount, unescape};

/// Where container engines keep volumes; each has its files in `_data`.
const VOLUMES: [&str; 2] = ["/var/lib/containers/storage/volumes", "/var/lib/docker/volumes"];
/// The same below the home directory of a user.
const VOLUMES_OF_USER: &str = ".local/share/containers/storage/volumes";
/// Where container engines keep layers, and in which directory of each its files are. Those of a container that has ended are
/// not mounted.
const LAYERS: [(&str, &str); 4] = [
    ("/var/lib/containers/storage/overlay", "diff"),
    ("/var/lib/docker/overlay2", "diff"),
    ("/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots", "fs"),
    ("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots", "fs"),
];
/// The same below the home directory of a user.
const LAYERS_OF_USER: (&str, &str) = (".local/share/containers/storage/overlay", "diff");
/// Where home directories are.
const HOMES: [&str; 2] = ["/home", "/root"];

/// A mount, with its mount namespace if that is not criu-gc's own.
type MountOf<'a> = (Option<&'a MountNamespace>, &'a HostMount);

/// The directories, and why others cannot be looked into.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) starts: Vec<Start>,
    pub(super) unseen: Vec<String>,
}

impl Places {
    /// All of this host.
    pub(super) fn of(tables: MountTables<'_>, walk: &[PathBuf], others: &[PathBuf]) -> Self {
        let mut places = Places::default();
        places.unseen.extend(tables.unseen.iter().map(|unseen| unseen.why.clone()));
        places.add_tmpfs(tables);
        let homes = places.homes(tables.own);
        for volume in places.volumes(tables.own, &homes) {
            places.add(tables.own, None, volume, Depth::Disk);
        }
        places.add_tops(tables.own, None);
        places.add(tables.own, None, "/run".into(), Depth::Here);
        let mut layers = places.add_layers(tables.own, &homes);
        places.add_uppers(tables.own, None, &mut layers);
        for (namespace, mounts) in tables.others {
            places.add_uppers(mounts, Some(namespace), &mut layers);
            places.add_tops(mounts, Some(namespace));
        }
        for yard in yards(tables.own) {
            places.add(tables.own, None, yard, Depth::Here);
        }
        for directory in walk {
            places.add_walk(tables.own, directory);
        }
        for directory in others {
            places.add(tables.own, None, directory.clone(), Depth::Here);
        }
        places
    }

    fn add(&mut self, mounts: &[HostMount], namespace: Option<&MountNamespace>, path: PathBuf, depth: Depth) {
        match foreign_on_the_way(mounts, &path) {
            None => self.starts.push(Start { namespace: namespace.cloned(), path, device: None, depth }),
            Some(mount) => self.unseen.push(format!(
                "{}{} is on {} (mounted at {}), which is not entered",
                path.display(),
                within(namespace),
                String::from_utf8_lossy(&mount.fstype),
                String::from_utf8_lossy(&mount.mountpoint)
            )),
        }
    }

    /// What the user named is there, and may be a symbolic link.
    fn add_walk(&mut self, own: &[HostMount], named: &Path) {
        let theirs = named.to_owned();
        match host::answer(&[named], move || std::fs::canonicalize(theirs)) {
            Some(Ok(directory)) => self.add(own, None, directory, Depth::Disk),
            Some(Err(error)) => self.unseen.push(format!("{}: {error}", named.display())),
            None => self.unseen.push(host::does_not_answer(named)),
        }
    }

    /// Each tmpfs once, by a mount that shows the whole of it if there is one.
    fn add_tmpfs(&mut self, tables: MountTables<'_>) {
        let own = tables.own.iter().map(|mount| (None, tables.own, mount));
        let others = tables.others.iter().flat_map(|(namespace, mounts)| {
            mounts.iter().map(move |mount| (Some(namespace), mounts.as_slice(), mount))
        });
        let mut found: BTreeMap<(u32, u32), Vec<MountOf<'_>>> = BTreeMap::new();
        let mut foreign = BTreeSet::new();
        for (namespace, mounts, mount) in own.chain(others).filter(|(.., mount)| is_memory(mount)) {
            // A namespace that was cloned has all of them once more.
            let known = found.get(&mount.device);
            if known.is_some_and(|known| known.iter().any(|(_, known)| known.root == b"/")) {
                continue;
            }
            match is_reachable(mounts, mount) {
                true => found.entry(mount.device).or_default().push((namespace, mount)),
                false => drop(foreign.insert((mount.device, mount.mountpoint.clone()))),
            }
        }
        for (device, mut mounts) in found.clone() {
            mounts.sort_by_key(|(namespace, mount)| (mount.root != b"/", namespace.is_some(), mount.root.len()));
            let is_whole = mounts.iter().any(|(_, mount)| mount.root == b"/");
            // Without such a mount every one that shows another part counts.
            let mut roots = BTreeSet::new();
            mounts.retain(|(_, mount)| !is_whole && roots.insert(mount.root.clone()) || is_whole && mount.root == b"/");
            mounts.truncate(if is_whole { 1 } else { usize::MAX });
            self.starts.extend(mounts.into_iter().map(|(namespace, mount)| Start {
                namespace: namespace.cloned(),
                path: path(&mount.mountpoint),
                device: Some(device),
                depth: Depth::Below,
            }));
        }
        foreign.retain(|(device, _)| !found.contains_key(device));
        self.unseen.extend(foreign.into_iter().map(|(_, point)| {
            format!(
                "the tmpfs at {}: another mount covers it, or it lies on a filesystem that is not entered",
                String::from_utf8_lossy(&point)
            )
        }));
    }

    /// `/` and `/tmp`. Those of an overlay are seen in its upper directory.
    fn add_tops(&mut self, mounts: &[HostMount], namespace: Option<&MountNamespace>) {
        for top in ["/", "/tmp"] {
            let nearest = nearest(mounts, Path::new(top));
            let is_seen = nearest.is_some_and(|mount| {
                is_memory(mount) || namespace.is_some() && mount.fstype == b"overlay" && upper(mount).is_some()
            });
            if !is_seen {
                self.add(mounts, namespace, top.into(), Depth::Here);
            }
        }
    }

    /// Those of mounted overlays that are not among these yet.
    fn add_uppers(&mut self, mounts: &[HostMount], namespace: Option<&MountNamespace>, layers: &mut BTreeSet<PathBuf>) {
        for upper in mounts.iter().filter(|mount| mount.fstype == b"overlay").filter_map(upper) {
            for directory in [upper.clone(), upper.join("tmp")] {
                if layers.insert(directory.clone()) {
                    // The path means what it says to whoever mounted the overlay: mostly the host's own engine.
                    let exists = Directory::open_exactly(&directory).is_ok();
                    let namespace = namespace.filter(|_| !exists);
                    self.starts.push(Start {
                        namespace: namespace.cloned(),
                        path: directory,
                        device: None,
                        depth: Depth::Here,
                    });
                }
            }
        }
    }
}

impl Places {
    /// The home directories.
    fn homes(&mut self, own: &[HostMount]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for homes in HOMES.map(PathBuf::from) {
            found.extend(self.entries(own, &homes));
            found.push(homes);
        }
        found
    }

    /// The directories with the files of volumes.
    fn volumes(&mut self, own: &[HostMount], homes: &[PathBuf]) -> Vec<PathBuf> {
        let of_users = homes.iter().map(|home| home.join(VOLUMES_OF_USER));
        let stores = VOLUMES.iter().map(PathBuf::from).chain(of_users);
        stores.flat_map(|store| self.entries(own, &store)).map(|volume| volume.join("_data")).collect()
    }

    /// `/` and `/tmp` of each layer. Returns them.
    fn add_layers(&mut self, own: &[HostMount], homes: &[PathBuf]) -> BTreeSet<PathBuf> {
        let mut layers = BTreeSet::new();
        let (of_user, files_of_user) = LAYERS_OF_USER;
        let of_users = homes.iter().map(|home| (home.join(of_user), files_of_user));
        for (store, files) in LAYERS.iter().map(|(store, files)| (PathBuf::from(store), *files)).chain(of_users) {
            for layer in self.entries(own, &store).into_iter().map(|layer| layer.join(files)) {
                layers.extend([layer.join("tmp"), layer]);
            }
        }
        let start = |path: &PathBuf| Start { namespace: None, path: path.clone(), device: None, depth: Depth::Here };
        self.starts.extend(layers.iter().map(start));
        layers
    }

    /// The directories in a directory of the host, if it is on a filesystem that answers. Docker has files beside its volumes.
    fn entries(&mut self, own: &[HostMount], directory: &Path) -> Vec<PathBuf> {
        if foreign_on_the_way(own, directory).is_some() {
            self.add(own, None, directory.to_owned(), Depth::Here);
            return Vec::new();
        }
        match Directory::open_exactly(directory).and_then(|directory| directory.names_of_directories()) {
            Ok(names) => names.into_iter().map(|name| directory.join(OsStr::from_bytes(&name))).collect(),
            Err(error) if error.is_no_directory() => Vec::new(),
            Err(error) => {
                self.unseen.push(with_causes(&error));
                Vec::new()
            }
        }
    }
}

fn within(namespace: Option<&MountNamespace>) -> String {
    namespace.map(|namespace| format!(" in {}", namespace.describe())).unwrap_or_default()
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn is_memory(mount: &HostMount) -> bool {
    matches!(&mount.fstype[..], b"tmpfs" | b"ramfs")
}

fn upper(mount: &HostMount) -> Option<PathBuf> {
    let upper = mountinfo::option(&mount.options, b"upperdir=")?;
    Some(path(&unescape(upper))).filter(|upper| upper.is_absolute())
}

/// Whether the mount is the last at its mount point, and nothing on the way is a filesystem that may not answer.
fn is_reachable(mounts: &[HostMount], mount: &HostMount) -> bool {
    let last = mounts.iter().rev().find(|other| other.mountpoint == mount.mountpoint);
    last.is_some_and(|last| last.id == mount.id) && foreign_on_the_way(mounts, &path(&mount.mountpoint)).is_none()
}

/// The mount that a path is on, by the text of the mount points.
fn nearest<'a>(mounts: &'a [HostMount], at: &Path) -> Option<&'a HostMount> {
    let is_above = |mount: &&HostMount| at.starts_with(OsStr::from_bytes(&mount.mountpoint));
    mounts.iter().filter(is_above).max_by_key(|mount| mount.mountpoint.len())
}

/// The directories that hold a mounted yard of control groups: a killed restore left it in its work directory.
fn yards(mounts: &[HostMount]) -> BTreeSet<PathBuf> {
    let points = mounts.iter().filter(|mount| mount.fstype == b"tmpfs").map(|mount| path(&mount.mountpoint));
    let is_yard = |point: &PathBuf| point.file_name().is_some_and(|name| name.as_bytes().starts_with(b".criu.cgyard."));
    points.filter(is_yard).filter_map(|point| point.parent().map(Path::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(own: &str) -> Places {
        let (own, bad) = mountinfo::parse(own.as_bytes());
        assert_eq!(bad, 0);
        Places::of(MountTables { own: &own, others: &[], unseen: &[] }, &[], &[])
    }

    fn paths(places: &Places, depth: Depth) -> Vec<&str> {
        let starts = places.starts.iter().filter(|start| start.depth == depth);
        // The machine may have engines of its own.
        let is_of_engine = |path: &&str| path.contains("/volumes") || path.contains("/overlay");
        starts.filter_map(|start| start.path.to_str()).filter(|path| !is_of_engine(path)).collect()
    }

    #[test]
    fn each_tmpfs_is_walked_once_and_no_disk_is() {
        let places = places(
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:22 / /dev/shm rw - tmpfs tmpfs rw
23 21 0:22 /sub /mnt rw - tmpfs tmpfs rw
24 21 0:22 / /other rw - tmpfs tmpfs rw
25 21 0:30 / /tmp rw - tmpfs tmpfs rw
",
        );
        assert_eq!(paths(&places, Depth::Below), ["/dev/shm", "/tmp"]);
        assert_eq!(paths(&places, Depth::Here), ["/", "/run"]);
        assert_eq!(places.unseen, [""; 0]);
    }

    #[test]
    fn of_a_tmpfs_that_is_only_bound_each_part_is_walked() {
        let places = places(
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw
23 21 0:22 /a /mnt rw - tmpfs tmpfs rw
24 21 0:22 /b /other rw - tmpfs tmpfs rw
25 21 0:22 /a /third rw - tmpfs tmpfs rw
",
        );
        assert_eq!(paths(&places, Depth::Below), ["/mnt", "/other"]);
    }

    #[test]
    fn no_filesystem_of_others_is_entered() {
        let places = places(
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:40 / /net rw - nfs4 server:/ rw
23 22 0:41 / /net/memory rw - tmpfs tmpfs rw
24 21 0:42 / /tmp rw - fuse.sshfs other rw
",
        );
        assert_eq!(paths(&places, Depth::Below), [""; 0]);
        assert_eq!(paths(&places, Depth::Here), ["/", "/run"]);
        let unseen = places.unseen.join("\n");
        assert!(unseen.contains("the tmpfs at /net/memory") && unseen.contains("/tmp is on fuse.sshfs"), "{unseen}");
    }

    #[test]
    fn the_upper_directory_stands_for_an_overlay() {
        let places = places(
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:50 / /merged rw - overlay overlay rw,lowerdir=/l,upperdir=/var/u,workdir=/w
",
        );
        assert_eq!(paths(&places, Depth::Here), ["/", "/tmp", "/run", "/var/u", "/var/u/tmp"]);
    }
}
