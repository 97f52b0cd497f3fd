// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mount arithmetic: where a file of the dumped tree is on this host now. Pure.
//!
//! A tree with its own mount namespaces names its files from the root of such a namespace. The namespace is gone, but
//! the images say which directory of which filesystem each mount showed, and the host's mount table says where that
//! filesystem is mounted. Nothing is mounted or entered. The result says where to look; other modules verify what is
//! there.

mod filesystem;
mod path;
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use criu_images::MntEntry;

use crate::host::{Looked, Unseen};
use filesystem::Same;

pub(crate) use path::is_plain_path;

pub use crate::host::{HostMounts, MountNamespace, Wanted};
pub(crate) use source::is_of_mount as is_source_of_mount;

use crate::system::mountinfo::volume_of;

pub use crate::system::mountinfo::HostMount;
pub use filesystem::OfTheKernel;
pub(crate) use filesystem::{has_layer, is_same_root, layer_at};

/// What the user said about mounts, in the words of `criu restore`.
#[derive(Debug, Clone, Default)]
pub struct MountHints {
    /// `--root`: where the directory that was the tree's `/` is on this host.
    pub root: Option<PathBuf>,
    /// `--external mnt[KEY]:PATH`: where the external mount of that key is on this host.
    pub external: Vec<(Vec<u8>, PathBuf)>,
}

/// Where to look for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In one of these places; each shows the same file. Never empty.
    At(Vec<Place>),
    /// In one of several places that are not the same, because the images can be read in more than one way: the places
    /// of each reading.
    Either(Vec<Vec<Place>>),
    /// Nowhere any more: its filesystem ended with the tree.
    Vanished(Vanished),
    /// Perhaps somewhere, but not to be reached from here.
    Unreachable(Unreachable),
}

/// A path below a directory of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory that is opened first.
    pub base: Base,
    /// The path of the file below it, without a leading slash.
    pub relative: PathBuf,
}

/// Where a [`Place`] starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Base {
    /// The root of a mount: no other mount may be entered on the way.
    Mount {
        /// The mount namespace that has it; `None` for the tool's own.
        namespace: Option<MountNamespace>,
        /// Where it is mounted there.
        mountpoint: PathBuf,
        /// Its id, to be compared with that of the directory that was opened: another mount may cover it.
        id: u32,
        /// Whether it is a tmpfs: as long as one lives no other filesystem has its number, and it ends with its last user.
        is_tmpfs: bool,
        /// What says that it shows the filesystem of the images.
        identity: Identity,
    },
    /// The upper directory of an overlay that is not mounted.
    Upper {
        /// Its path.
        directory: PathBuf,
        /// What says that it is the one of the images.
        identity: Identity,
    },
    /// The filesystem on a block device that is not mounted: it has to be mounted to remove something from it.
    Device {
        /// Major and minor number at the time of the dump.
        device: (u32, u32),
        /// The volume of device mapper that it is, which may have another number by now.
        volume: Option<Vec<u8>>,
    },
    /// A directory that this host's engine names: no symbolic link is followed to it.
    Recorded(PathBuf),
    /// A directory that the user named; mounts below it belong to other entries of the images.
    Named(PathBuf),
    /// The root directory of the tree's mount namespace, which is that of the tool.
    Root(PathBuf),
    /// The root directory of the tool's mount namespace, which need not be the one that CRIU ran in; or more than one
    /// filesystem has had the path.
    PerhapsRoot(PathBuf),
}

/// How certain it is that a place is the one that the images mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// This host confirms it: by the user's word, by its own root directory, because the filesystem has been there since
    /// before the dump, or because the engine of this host says that the overlay is the container's.
    Certain,
    /// Nothing but a number that can be given again, or the text of a mount's options, which is the word of whoever
    /// mounted it. What is found there has to prove by itself that it is the checkpoint's.
    ByName,
    /// The same for a tmpfs that has the number and other options: it was mounted again with those, or it is another one.
    OtherOptions,
}

impl Base {
    /// How certain it is.
    pub fn identity(&self) -> Identity {
        match self {
            Base::Mount { identity, .. } | Base::Upper { identity, .. } => *identity,
            Base::Recorded(_) | Base::Device { .. } | Base::PerhapsRoot(_) => Identity::ByName,
            Base::Named(_) | Base::Root(_) => Identity::Certain,
        }
    }
}

impl Place {
    /// The whole path on this host; for people, and for nothing else.
    pub fn path(&self) -> PathBuf {
        match &self.base {
            Base::Mount { namespace: None, mountpoint: base, .. }
            | Base::Upper { directory: base, .. }
            | Base::Recorded(base)
            | Base::Named(base)
            | Base::Root(base)
            | Base::PerhapsRoot(base) => base.join(&self.relative),
            Base::Mount { namespace: Some(namespace), mountpoint, .. } => {
                let inside = mountpoint.strip_prefix("/").unwrap_or(mountpoint);
                namespace.path_of_root().join(inside).join(&self.relative)
            }
            Base::Device { volume: Some(volume), .. } => {
                Path::new("/dev/mapper").join(path::owned(volume)).join(&self.relative)
            }
            Base::Device { device: (major, minor), volume: None } => {
                PathBuf::from(format!("/dev/block/{major}:{minor}")).join(&self.relative)
            }
        }
    }

    /// The same place, of which only its path says that it is the one of the images.
    #[must_use]
    pub fn unconfirmed(self) -> Self {
        let base = match self.base {
            Base::Root(root) | Base::PerhapsRoot(root) => Base::PerhapsRoot(root),
            Base::Mount { namespace, mountpoint, id, is_tmpfs, identity } => {
                let identity = identity.max(Identity::ByName);
                Base::Mount { namespace, mountpoint, id, is_tmpfs, identity }
            }
            Base::Upper { directory, identity } => Base::Upper { directory, identity: identity.max(Identity::ByName) },
            base @ (Base::Device { .. } | Base::Recorded(_) | Base::Named(_)) => base,
        };
        Place { base, ..self }
    }

    /// Where the file `name`, as the tree saw it, is if its mount is below this base; `None` if it is not on the mount.
    pub fn below(base: Base, name: &[u8], mount: &MntEntry) -> Option<Self> {
        Some(Place { base, relative: path::owned(relative_to(name, mount)?) })
    }

    /// The directory part of `relative` and the name in it.
    pub fn split(&self) -> (&Path, &OsStr) {
        let directory = self.relative.parent().unwrap_or(Path::new(""));
        (directory, self.relative.file_name().unwrap_or_default())
    }
}

/// Why a filesystem is known to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vanished {
    /// A tmpfs that is no longer mounted and that no process keeps, which a look at every mount namespace and at
    /// what processes have open has shown.
    Tmpfs(Looked),
    /// A filesystem of the kernel's (proc, sysfs, …): links on it do not outlive the tree.
    KernelFilesystem(OfTheKernel),
}

/// Why a file cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// The filesystem of the mount is mounted in no mount namespace that a process is in, and is none that could be
    /// mounted from a device.
    NotMounted {
        /// Its device number.
        device: (u32, u32),
        /// Where the tree had it mounted.
        mountpoint: PathBuf,
    },
    /// The filesystem was a tmpfs, and may be mounted where it was not possible to look.
    Hidden {
        /// Its device number.
        device: (u32, u32),
        /// Where the tree had it mounted.
        mountpoint: PathBuf,
        /// What could not be looked at.
        unseen: Vec<Unseen>,
    },
    /// The filesystem is mounted, but nowhere so that the directory of the file shows.
    NotShown {
        /// Its device number.
        device: (u32, u32),
    },
    /// The anonymous device number is in use by a filesystem that is not the one of the images.
    DeviceReused {
        /// The device number.
        device: (u32, u32),
    },
    /// The directory that was mounted had been deleted before the dump.
    RootDeleted,
    /// A mount that a plugin of CRIU dumped: only the plugin knows where it is.
    Plugin,
    /// Images of CRIU 1.3 to 2.12 give only the key of an external mount: `--external mnt[KEY]:PATH` says where it is.
    ExternalKeyOnly {
        /// The key.
        key: OsString,
    },
    /// The images do not say on which mount the file was.
    UnknownMount,
    /// A control group of a hierarchy that is not mounted whole in the tool's mount namespace.
    NoHierarchy,
}

/// Finds files by the mounts of one host. Ten thousand files may be on one mount of the images, and thousands of mounts may
/// show it here: these are looked for once.
pub struct Finder<'a> {
    host: &'a HostMounts,
    hints: &'a MountHints,
    /// By the id of the mount in the images, the best place to look first.
    same: HashMap<u32, Vec<Same<'a>>>,
}

impl<'a> Finder<'a> {
    /// None yet.
    pub fn new(host: &'a HostMounts, hints: &'a MountHints) -> Self {
        Finder { host, hints, same: HashMap::new() }
    }

    /// Where the file `name` of a tree without mount namespaces of its own is: below the root directory of CRIU itself.
    pub fn in_shared_namespace(&self, name: &[u8]) -> Location {
        let base = Base::Root(self.hints.root.clone().unwrap_or_else(|| PathBuf::from("/")));
        Location::At(vec![Place { base, relative: path::owned(path::trim_root(name)) }])
    }

    /// Where the file `name`, as the tree saw it, of the mount `mount` of the images is. `None` if the name does not lie
    /// below that mount's mount point at all, so that the images contradict themselves.
    pub fn on_mount(&mut self, name: &[u8], mount: &'a MntEntry) -> Option<Location> {
        let relative = relative_to(name, mount)?;
        if let Some(base) = named_by_user(mount, self.hints) {
            return Some(Location::At(vec![Place::below(Base::Named(base), name, mount)?]));
        }
        if let Some(cause) = unknowable(mount) {
            return Some(Location::Unreachable(cause));
        }
        if let Some(proof) = OfTheKernel::new(mount) {
            return Some(Location::Vanished(Vanished::KernelFilesystem(proof)));
        }
        let readings: Vec<Vec<u8>> =
            path::readings(&mount.root).into_iter().map(|root| path::join(&root, relative)).collect();
        Some(self.by_filesystem(&readings, mount))
    }

    /// The places for each reading of the path within the filesystem. `insides` is not empty.
    fn by_filesystem(&mut self, insides: &[Vec<u8>], mount: &'a MntEntry) -> Location {
        let host = self.host;
        let same = self.same.entry(mount.mnt_id).or_insert_with(|| best_first(filesystem::mounts_of(mount, host)));
        let mut readings: Vec<Vec<Place>> =
            insides.iter().map(|inside| places(inside, same)).filter(|places| !places.is_empty()).collect();
        if readings.len() > 1 {
            return Location::Either(readings);
        }
        match readings.pop() {
            Some(places) => Location::At(places),
            None if same.is_empty() => unmounted(insides, mount, host),
            None => Location::Unreachable(Unreachable::NotShown { device: mount.device() }),
        }
    }
}

/// The disks that a mount of the images can have been of if its disk has another number by now.
pub struct OtherDisks<'a> {
    mount: &'a MntEntry,
    /// The mounts of each.
    disks: BTreeMap<(u32, u32), Vec<Same<'a>>>,
}

impl<'a> OtherDisks<'a> {
    /// Those that are mounted in the tool's own namespace; none where the user says where the mount is, or its filesystem
    /// was on no disk.
    pub fn new(mount: &'a MntEntry, host: &'a HostMounts, hints: &MountHints) -> Self {
        let mut disks: BTreeMap<(u32, u32), Vec<Same<'_>>> = BTreeMap::new();
        if mount.device().0 != 0 && named_by_user(mount, hints).is_none() && unknowable(mount).is_none() {
            for same in best_first(filesystem::on_other_disks(mount, host)) {
                disks.entry(same.mount.device).or_default().push(same);
            }
        }
        OtherDisks { mount, disks }
    }

    /// Where the file `name`, as the tree saw it, is on each of them that shows its directory. What is found there has to
    /// prove by itself that it is the checkpoint's.
    pub fn places_of(&self, name: &[u8]) -> Vec<Vec<Place>> {
        let Some(relative) = relative_to(name, self.mount).filter(|_| !self.disks.is_empty()) else {
            return Vec::new();
        };
        let insides: Vec<Vec<u8>> =
            path::readings(&self.mount.root).into_iter().map(|root| path::join(&root, relative)).collect();
        let of_disk = |disk: &Vec<Same<'_>>| insides.iter().flat_map(|inside| places(inside, disk)).collect();
        self.disks.values().map(of_disk).filter(|places: &Vec<Place>| !places.is_empty()).collect()
    }
}

/// What remains of the name `name` below the mount's mount point; `None` if it does not lie there, or is the mount point
/// itself: then what would be meant is the root of the mount, whatever its name.
pub fn relative_to<'a>(name: &'a [u8], mount: &MntEntry) -> Option<&'a [u8]> {
    let below = |mountpoint: &Vec<u8>| path::below(name, mountpoint).filter(|relative| !relative.is_empty());
    path::readings(mountpoint(mount)).iter().find_map(below)
}

/// Under which name the tree saw a path of the filesystem of this mount; `None` if the mount does not show it.
pub(crate) fn shown_as(inside: &[u8], mount: &MntEntry) -> Option<Vec<u8>> {
    let relative = path::below(inside, &mount.root).filter(|relative| !relative.is_empty())?;
    Some(path::join(mountpoint(mount), relative))
}

/// The mount point within the tree, absolute: CRIU before 1.3 wrote it with a leading dot.
pub fn mountpoint(mount: &MntEntry) -> &[u8] {
    let mountpoint = mount.mountpoint.strip_prefix(b".").unwrap_or(&mount.mountpoint);
    if mountpoint.is_empty() { b"/" } else { mountpoint }
}

/// What the mount point within the tree can be.
pub(crate) fn readings_of_mountpoint(mount: &MntEntry) -> Vec<Vec<u8>> {
    path::readings(mountpoint(mount))
}

/// Whether the root of a mount can be the directory of a filesystem that it shows, as the kernel writes it. That of an
/// external mount of old images is a key instead.
pub(crate) fn has_plain_root(mount: &MntEntry) -> bool {
    mount.ext_mount || mount.root == b"/" || is_plain_path(&mount.root)
}

fn unknowable(mount: &MntEntry) -> Option<Unreachable> {
    if mount.ext_mount {
        return Some(Unreachable::ExternalKeyOnly { key: OsString::from_vec(mount.root.clone()) });
    }
    if mount.with_plugin {
        return Some(Unreachable::Plugin);
    }
    mount.deleted.then_some(Unreachable::RootDeleted)
}

/// No more places of a file are tried: each shows the same, and every container may have one.
const MOST_PLACES: usize = 16;

/// A writable mount serves for both looking and removing, and one of the tool's own namespace cannot be taken away by a
/// container.
fn best_first(mut mounts: Vec<Same<'_>>) -> Vec<Same<'_>> {
    mounts.sort_by_key(|same| (same.mount.is_read_only, same.namespace.is_some()));
    mounts
}

/// The first places at which mounts show the path `inside` of their filesystem.
fn places(inside: &[u8], mounts: &[Same<'_>]) -> Vec<Place> {
    let shown = mounts.iter().filter_map(|Same { namespace, mount, directory, identity }| {
        let inside = [*directory, inside].concat();
        let relative = path::below(&inside, &mount.root)?;
        let base = Base::Mount {
            namespace: namespace.cloned(),
            mountpoint: path::owned(&mount.mountpoint),
            id: mount.id,
            is_tmpfs: mount.fstype == b"tmpfs",
            identity: *identity,
        };
        Some(Place { base, relative: path::owned(relative) })
    });
    shown.take(MOST_PLACES).collect()
}

/// What is known of a filesystem that is not mounted.
fn unmounted(insides: &[Vec<u8>], mount: &MntEntry, host: &HostMounts) -> Location {
    let device = mount.device();
    if filesystem::is_tmpfs(mount) {
        let held = host.held.get(&device);
        return match host.looked {
            Some(looked) if held.is_none() => Location::Vanished(Vanished::Tmpfs(looked)),
            Some(_) | None => {
                let mountpoint = path::owned(mountpoint(mount));
                let unseen = host.unseen.iter().chain(held.into_iter().flatten()).cloned().collect();
                Location::Unreachable(Unreachable::Hidden { device, mountpoint, unseen })
            }
        };
    }
    let base = if let Some(upper) = filesystem::upper_directory(mount) {
        Base::Upper { directory: path::owned(&upper), identity: filesystem::identity(mount, host) }
    } else if device.0 != 0 {
        Base::Device { device, volume: volume_of(&mount.source) }
    } else if filesystem::is_number_in_use(device, host) {
        return Location::Unreachable(Unreachable::DeviceReused { device });
    } else {
        let mountpoint = path::owned(mountpoint(mount));
        return Location::Unreachable(Unreachable::NotMounted { device, mountpoint });
    };
    let relatives: BTreeSet<PathBuf> = insides.iter().map(|inside| path::owned(path::trim_root(inside))).collect();
    let mut readings: Vec<Vec<Place>> =
        relatives.into_iter().map(|relative| vec![Place { base: base.clone(), relative }]).collect();
    match readings.pop() {
        Some(places) if readings.is_empty() => Location::At(places),
        last => Location::Either(readings.into_iter().chain(last).collect()),
    }
}

/// The mounts of this host that files of the tree can be on.
pub fn wanted<'a>(files: impl Iterator<Item = (&'a [u8], &'a MntEntry)>) -> Wanted {
    let mut wanted = Wanted::default();
    for (name, mount) in files {
        wanted.devices.insert(mount.device());
        if filesystem::is_tmpfs(mount) {
            wanted.tmpfs.insert(mount.device());
        }
        wanted.volumes.extend(volume_of(&mount.source));
        wanted.uppers.extend(filesystem::upper_option(mount).map(<[u8]>::to_vec));
        let Some(relative) = relative_to(name, mount) else { continue };
        for root in path::readings(&mount.root) {
            add_directories(&path::join(&root, relative), &mut wanted);
        }
    }
    wanted
}

/// Adds the directories above a path, from the nearest up to one that is known.
fn add_directories(path: &[u8], wanted: &mut Wanted) {
    let mut end = path.len();
    while let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/') {
        end = slash;
        let directory = if end == 0 { &b"/"[..] } else { &path[..end] };
        if !wanted.roots.insert(directory.to_vec()) {
            return;
        }
    }
}

/// The key of an external mount: CRIU before 2.13 wrote it in place of the root.
pub fn external_key(mount: &MntEntry) -> Option<&[u8]> {
    mount.ext_key.as_deref().or_else(|| mount.ext_mount.then_some(mount.root.as_slice()))
}

fn named_by_user(mount: &MntEntry, hints: &MountHints) -> Option<PathBuf> {
    let of_key = |key: &[u8]| hints.external.iter().find(|(named, _)| named == key);
    match external_key(mount).and_then(of_key) {
        Some((_, path)) => Some(path.clone()),
        None if mountpoint(mount) == b"/" => hints.root.clone(),
        None => None,
    }
}

#[cfg(test)]
mod tests;
