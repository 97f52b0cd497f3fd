// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What other mounts hide on the way to a directory in the tool's own mount namespace.
//!
//! A mount covers the directory below it. A detached copy of the mount with this directory has no mounts on it, so it
//! shows what is covered, without any effect on the host. It does not show a mount that is below another one; the mount
//! table shows that it exists.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::directory::{Sight, look_in};
use crate::system::dir::{Directory, FileError, FileIdentity, Reach};
use crate::system::mount;
use crate::system::mountinfo::{self, HostMount};
use crate::time::Timestamp;

/// A path of the tool's own mount namespace, in each filesystem that can hold it.
#[derive(Debug)]
pub struct Layers {
    /// What the path leads to, first, and what lies below the mounts on its way.
    list: Vec<Layer>,
    /// What could not be looked at.
    hidden: Vec<Hidden>,
}

/// Where an entry was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// Where the path leads to.
    InSight,
    /// Below the mount at this mount point.
    Below(&'a Path),
}

/// What hides a part of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Why nobody can look below it.
    pub cause: HiddenBy,
}

/// Why a directory or a mount cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenBy {
    /// The kernel made no copy of the mount that holds the directory.
    Refused(Errno),
    /// It is a mount itself, and another one covers it.
    Mount,
}

/// A path in one filesystem, as far as it leads there.
#[derive(Debug)]
struct Layer {
    /// The mount point that covers it; `None` for what can be seen.
    below: Option<PathBuf>,
    /// The directories that are there, from the root of the mount or the place of the mount that covers them.
    directories: Vec<FileIdentity>,
    nearest: Directory,
    /// Whether that is the directory itself, and not one above.
    is_whole: bool,
}

/// Filesystems on which no link outlives the dumped tree, or none can be made.
const OF_THE_KERNEL: [&[u8]; 16] = [
    b"autofs",
    b"binfmt_misc",
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"fusectl",
    b"mqueue",
    b"nsfs",
    b"proc",
    b"pstore",
    b"securityfs",
    b"sysfs",
    b"tracefs",
];

impl Layers {
    /// Walks to `directory`, a path without its leading slash.
    pub fn look(directory: &Path) -> Result<Self, FileError> {
        let table = mounts_above(directory)?;
        let mut walk = LayerWalk::start(&table)?;
        let names: Vec<&OsStr> = names(directory).collect();
        for (at, name) in names.iter().enumerate() {
            let rest: PathBuf = names[at..].iter().collect();
            if !walk.step(name, &rest)? {
                walk.here.is_whole = false;
                break;
            }
        }
        Ok(walk.end())
    }

    /// Where there is an entry of this name: below which mount, or in which directory.
    pub fn find(&self, name: &OsStr) -> Result<Option<Found<'_>>, FileError> {
        for layer in self.list.iter().rev() {
            if layer.has(name)? {
                return Ok(Some(match &layer.below {
                    Some(mountpoint) => Found::Below(mountpoint),
                    None => Found::InSight,
                }));
            }
        }
        Ok(None)
    }

    /// What could not be looked at.
    pub fn hidden(&self) -> &[Hidden] {
        &self.hidden
    }

    /// The nearest directory that can be seen.
    pub fn nearest(&self) -> Option<&Path> {
        self.list.first().map(|layer| layer.nearest.path())
    }

    /// Whether anything was made or removed on the path since `began`, in a directory that is older than `written`.
    pub fn have_changed(&self, began: Timestamp, written: Timestamp) -> bool {
        self.list.iter().any(|layer| layer.has_changed(began, written))
    }

    /// Whether all that can be seen was made after `written`.
    pub fn are_younger(&self, written: Timestamp) -> bool {
        let is_younger = |directory: &FileIdentity| directory.born.is_some_and(|born| born > written);
        self.list.first().is_some_and(|layer| layer.directories.iter().all(is_younger))
    }
}

impl Layer {
    fn has(&self, name: &OsStr) -> Result<bool, FileError> {
        Ok(self.is_whole && matches!(look_in(&self.nearest, name)?, Sight::Found(_)))
    }

    /// A directory that was made after the dump says nothing of it; that it was made changed the one above.
    fn has_changed(&self, began: Timestamp, written: Timestamp) -> bool {
        let is_old = |directory: &&FileIdentity| directory.born.is_none_or(|born| born <= written);
        self.directories.iter().rev().find(is_old).is_some_and(|directory| directory.changed >= began)
    }

    /// Goes below a directory of a mount that nothing is mounted on.
    fn below(mountpoint: PathBuf, bare: Directory, rest: &Path) -> Result<Self, FileError> {
        let mut layer =
            Layer { below: Some(mountpoint), directories: vec![bare.identity()?], nearest: bare, is_whole: true };
        for name in names(rest) {
            match layer.nearest.below(name.as_ref(), Reach::SameMount) {
                Ok(next) => layer.enter(next)?,
                Err(error) if error.is_no_directory() => {
                    layer.is_whole = false;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(layer)
    }

    fn enter(&mut self, next: Directory) -> Result<(), FileError> {
        self.directories.push(next.identity()?);
        self.nearest = next;
        Ok(())
    }
}

/// A way that has been gone in part.
struct LayerWalk<'a> {
    table: &'a [HostMount],
    here: Layer,
    below: Vec<Layer>,
    hidden: Vec<Hidden>,
    seen: BTreeSet<u64>,
}

impl<'a> LayerWalk<'a> {
    fn start(table: &'a [HostMount]) -> Result<Self, FileError> {
        let root = Directory::open_exactly(Path::new("/"))?;
        let identity = root.identity()?;
        let here = Layer { below: None, directories: vec![identity], nearest: root, is_whole: true };
        Ok(LayerWalk { table, here, below: Vec::new(), hidden: Vec::new(), seen: [identity.mount_id].into() })
    }

    /// Enters the directory `name`, from which `rest` starts. `false`: there is none.
    fn step(&mut self, name: &OsStr, rest: &Path) -> Result<bool, FileError> {
        match self.here.nearest.below(name.as_ref(), Reach::SameMount) {
            Ok(next) => self.here.enter(next)?,
            Err(error) if error.is_no_directory() => return Ok(false),
            Err(error) if error.is_mount_point() => {
                self.look_below(name, rest)?;
                let next = self.here.nearest.below(name.as_ref(), Reach::AcrossMounts)?;
                self.here.directories.clear();
                self.here.enter(next)?;
            }
            Err(error) => return Err(error),
        }
        self.seen.extend(self.here.directories.last().map(|directory| directory.mount_id));
        Ok(true)
    }

    /// Looks for the rest of the way on the mount that is being left.
    fn look_below(&mut self, name: &OsStr, rest: &Path) -> Result<(), FileError> {
        let mount = self.here.directories.last().map(|directory| directory.mount_id);
        let is_this = |each: &&HostMount| mount == Some(u64::from(each.id));
        if self.table.iter().find(is_this).is_some_and(|mount| !can_hold_links(mount)) {
            return Ok(());
        }
        let mountpoint = self.here.nearest.path().join(name);
        match mount::uncovered(&self.here.nearest) {
            Ok(bare) => self.below.push(Layer::below(mountpoint, bare, rest)?),
            Err(errno) => self.hidden.push(Hidden { mountpoint, cause: HiddenBy::Refused(errno) }),
        }
        Ok(())
    }

    fn end(self) -> Layers {
        let LayerWalk { table, here, below, mut hidden, seen } = self;
        // Before Linux 5.8 the kernel does not tell on which mount a directory is.
        if !seen.contains(&0) {
            hidden.extend(hidden_mounts(table, &seen));
        }
        Layers { list: std::iter::once(here).chain(below).collect(), hidden }
    }
}

/// The mounts on the way that did not show, unless one that did shows the same directory.
fn hidden_mounts(table: &[HostMount], seen: &BTreeSet<u64>) -> Vec<Hidden> {
    let (shown, covered): (Vec<&HostMount>, Vec<&HostMount>) =
        table.iter().partition(|mount| seen.contains(&u64::from(mount.id)));
    let is_shown =
        |mount: &HostMount| shown.iter().any(|other| (other.device, &other.root) == (mount.device, &mount.root));
    let covered = covered.into_iter().filter(|mount| mount.mountpoint != b"/");
    let covered = covered.filter(|mount| can_hold_links(mount) && !is_shown(mount));
    covered.map(|mount| Hidden { mountpoint: super::path(&mount.mountpoint), cause: HiddenBy::Mount }).collect()
}

fn can_hold_links(mount: &HostMount) -> bool {
    !OF_THE_KERNEL.contains(&mount.fstype.as_slice())
}

/// The mounts of the tool's own mount namespace that are on the way to a directory.
fn mounts_above(directory: &Path) -> Result<Vec<HostMount>, FileError> {
    const TABLE: &str = "/proc/self/mountinfo";
    let directory = Path::new("/").join(directory);
    let is_above =
        |brief: mountinfo::Brief<'_>| directory.starts_with(OsStr::from_bytes(&mountinfo::unescape(brief.mountpoint)));
    let mut found = Vec::new();
    let table = File::open(TABLE);
    let read = table.and_then(|table| mountinfo::read(BufReader::new(table), is_above, |mount| found.push(mount)));
    read.map(|_| found).map_err(|error| {
        let source = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        FileError { operation: "read", path: PathBuf::from(TABLE), source }
    })
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    })
}

#[cfg(test)]
mod tests;
