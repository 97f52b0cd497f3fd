// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for names in directories of any mount namespace, by names and types alone: only what has a wanted name is asked
//! what it is.
//!
//! A filesystem that may never answer is not entered. Work that does not come back all the same is abandoned.

mod walk;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::MountNamespace;
use super::channel::Sender;
use super::watched::{Next, PATIENCE, Watched};
use crate::causes::with_causes;
use crate::system::dir::{Directory, FileError, FileIdentity, Reach};
use crate::system::mountinfo::HostMount;
use walk::TIME_IS_OVER;

/// Filesystems of this kernel alone: no server and no other program has to answer.
const LOCAL: [&[u8]; 19] = [
    b"tmpfs",
    b"ramfs",
    b"rootfs",
    b"devtmpfs",
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"overlay",
    b"zfs",
    b"bcachefs",
    b"erofs",
    b"squashfs",
    b"sysfs",
    b"proc",
    b"cgroup",
    b"cgroup2",
];

/// A directory to look into.
#[derive(Debug, Clone)]
pub struct Start {
    /// The mount namespace in which it has the path; `None` for the tool's own.
    pub namespace: Option<MountNamespace>,
    /// Its path there.
    pub path: PathBuf,
    /// The filesystem that it has to be: another mount may cover it.
    pub device: Option<(u32, u32)>,
    /// How much of it.
    pub depth: Depth,
}

/// How much of a directory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The directory itself.
    Here,
    /// Also all below it, on the same mount.
    Below,
    /// The same on a disk, with several threads.
    Disk,
}

/// A name that was looked for.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The mount namespace in which it has the path; `None` for the tool's own.
    pub namespace: Option<MountNamespace>,
    /// Its directory there, without symbolic links.
    pub directory: PathBuf,
    /// What that is.
    pub directory_identity: FileIdentity,
    /// The name.
    pub name: Vec<u8>,
    /// What has it; a symbolic link is not followed.
    pub identity: FileIdentity,
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Names {
    /// The names, in the order of the directories.
    pub sightings: Vec<Sighting>,
    /// The position of each directory that was not, or not wholly, looked at, and why.
    pub unseen: Vec<(usize, String)>,
    /// How many names were read.
    pub count: u64,
}

impl Sighting {
    /// The path by which this process reaches it.
    pub fn path(&self) -> PathBuf {
        let within = self.within();
        match &self.namespace {
            None => within,
            Some(namespace) => namespace.path_of_root().join(within.strip_prefix("/").unwrap_or(&within)),
        }
    }

    /// Its path in its own mount namespace.
    pub fn within(&self) -> PathBuf {
        self.directory.join(OsStr::from_bytes(&self.name))
    }
}

/// The mount on the way to a path, by the text of the mount points, that may have to wait for another program: it is not
/// entered.
pub fn foreign_on_the_way<'a>(mounts: &'a [HostMount], path: &Path) -> Option<&'a HostMount> {
    let mut foreign = mounts.iter().filter(|mount| !LOCAL.contains(&mount.fstype.as_slice()));
    foreign.find(|mount| path.starts_with(OsStr::from_bytes(&mount.mountpoint)))
}

/// Looks into all these directories until the time is over.
pub fn look(starts: &[Start], is_wanted: fn(&[u8]) -> bool, until: Instant) -> Names {
    let starts: Arc<Vec<Start>> = Arc::new(starts.to_vec());
    let mut names = Names::default();
    let mut next = 0;
    while next < starts.len() {
        let (theirs, from) = (Arc::clone(&starts), next);
        let work = move |sender: &Sender<Result<Looked, String>>| {
            for start in &theirs[from..] {
                if sender.send(look_at(start, is_wanted, until)).is_err() {
                    return;
                }
            }
        };
        let Ok(mut worker) = Watched::start("names", work) else {
            names.unseen.extend((next..starts.len()).map(|at| (at, "cannot start a thread".to_owned())));
            break;
        };
        loop {
            match worker.next(PATIENCE) {
                Next::Message(Ok(looked)) => names.add(next, looked),
                Next::Message(Err(why)) => names.unseen.push((next, why)),
                Next::Ended if next >= starts.len() => break,
                Next::Ended | Next::Silent => {
                    names.unseen.push((next, "it does not answer".to_owned()));
                    next += 1;
                    break;
                }
            }
            next += 1;
        }
    }
    names
}

/// What one directory has.
#[derive(Debug, Default)]
struct Looked {
    sightings: Vec<Sighting>,
    count: u64,
    /// What below it was not looked at.
    unseen: Option<String>,
}

impl Names {
    fn add(&mut self, at: usize, looked: Looked) {
        self.sightings.extend(looked.sightings);
        self.count += looked.count;
        self.unseen.extend(looked.unseen.map(|why| (at, why)));
    }
}

fn look_at(start: &Start, is_wanted: fn(&[u8]) -> bool, until: Instant) -> Result<Looked, String> {
    if Instant::now() >= until {
        return Err(format!("{TIME_IS_OVER} it was reached"));
    }
    let directory = match open(start) {
        Ok(directory) => directory,
        // What is not there holds nothing, and a process may have ended with its namespace.
        Err(error) if error.is_not_found() => return Ok(Looked::default()),
        Err(error) => return Err(with_causes(&error)),
    };
    let identity = directory.identity().map_err(|error| with_causes(&error))?;
    if start.device.is_some_and(|device| device != identity.device) {
        return Err("another mount covers it".to_owned());
    }
    Ok(walk::walk(start, &directory, is_wanted, until))
}

fn open(start: &Start) -> Result<Directory, FileError> {
    let relative = start.path.strip_prefix("/").unwrap_or(&start.path);
    match &start.namespace {
        None => Directory::open_exactly(&start.path)?.below_to_read(Path::new(""), Reach::AcrossMounts),
        Some(namespace) => namespace.open_root()?.below_to_read(relative, Reach::AcrossMounts),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn start(path: &Path, depth: Depth) -> Start {
        Start { namespace: None, path: path.to_owned(), device: None, depth }
    }

    fn is_wanted(name: &[u8]) -> bool {
        name.starts_with(b"link_remap.")
    }

    #[test]
    fn names_are_found_here_or_below_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(place.path()).unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/link_remap.4"), "x").unwrap();
        fs::write(top.join("link_remap.2"), "x").unwrap();
        std::os::unix::fs::symlink(top.join("a"), top.join("c")).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let found = |depth| {
            let names = look(&[start(&top, depth)], is_wanted, until);
            assert_eq!(names.unseen, [], "{names:?}");
            let mut paths: Vec<PathBuf> = names.sightings.iter().map(Sighting::path).collect();
            paths.sort();
            paths
        };
        assert_eq!(found(Depth::Here), [top.join("link_remap.2")]);
        fs::create_dir(top.join("many")).unwrap();
        for number in 0..200 {
            fs::create_dir(top.join(format!("many/{number}"))).unwrap();
        }
        assert_eq!(found(Depth::Disk), [top.join("a/b/link_remap.4"), top.join("link_remap.2")]);
        assert_eq!(found(Depth::Below), [top.join("a/b/link_remap.4"), top.join("link_remap.2")]);
    }

    #[test]
    fn what_was_not_reached_is_told() {
        let place = tempfile::tempdir().unwrap();
        let names = look(&[start(place.path(), Depth::Below)], is_wanted, Instant::now());
        assert_eq!(names.unseen.len(), 1);
        let covered = Start { device: Some((0, 0)), ..start(Path::new("/"), Depth::Here) };
        let until = Instant::now() + Duration::from_secs(20);
        assert_eq!(look(&[covered], is_wanted, until).unseen, [(0, "another mount covers it".to_owned())]);
    }
}
