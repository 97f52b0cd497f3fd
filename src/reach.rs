// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens the places that the mount arithmetic names, in the same way to examine and to remove.
//!
//! Each base is opened once and stays open: ten thousand files may be below it, and it may need a mount. What was
//! opened is compared with what was meant before anything below it is trusted.

mod silent;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::{MountNamespace, Seen, Unmounted};
use crate::mounts::{Base, Place};
use crate::system::author::Author;
use crate::system::device;
use crate::system::dir::{Directory, FileError, FileIdentity, Reach};
use crate::system::filesystem::FilesystemId;
use crate::system::mount::{self, MountError, UnknownUser};
use crate::system::volume;

pub use silent::SilentMounts;

/// Why a place could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The directory from which to go could not be opened.
    #[error(transparent)]
    Base(Arc<FileError>),
    /// The way from there could not be gone.
    #[error(transparent)]
    File(Arc<FileError>),
    /// The filesystem could not be read or mounted.
    #[error(transparent)]
    Mount(Arc<MountError>),
    /// Neither the upper directory of the overlay is here, nor the store that it was in.
    #[error("neither {} nor its container store exists on this host", .0.display())]
    NoStore(PathBuf),
    /// The volume of device mapper is not active.
    #[error("there is no volume {0} of device mapper here")]
    NoVolume(String),
    /// Another mount covers the one that is meant.
    #[error("another mount covers {}", .0.display())]
    Overmounted(PathBuf),
}

impl OpenError {
    /// Whether the path ends at a directory that no longer exists, nor does the file. That a base is missing says nothing of
    /// the kind: a user may have misspelt it, and a mount may have ended a moment ago.
    pub fn is_not_found(&self) -> bool {
        matches!(self, OpenError::File(error) if error.is_not_found())
    }
}

impl OpenError {
    /// Whether the device of the images is not here, and not merely out of reach.
    pub fn is_of_no_device(&self) -> bool {
        match self {
            OpenError::NoVolume(_) => true,
            OpenError::Mount(error) => {
                matches!(**error, MountError::NoDevice { device } if !device::may_be_attached(device))
            }
            OpenError::Base(_) | OpenError::File(_) | OpenError::NoStore(_) | OpenError::Overmounted(_) => false,
        }
    }

    fn of_base(self) -> Self {
        if let OpenError::File(error) = self { OpenError::Base(error) } else { self }
    }
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> Self {
        if error.is_mount_point() { OpenError::Overmounted(error.path) } else { OpenError::File(Arc::new(error)) }
    }
}

/// What is done with a device that nobody has mounted.
enum Devices {
    /// It is read, if nobody but root can have written the images that name it.
    Read { author: Author, opened: HashMap<Base, Result<Unmounted, OpenError>> },
    /// It is mounted, if nobody else has it open.
    Mount(DeviceUsers),
}

/// Tells who has the block device with this number open.
pub type DeviceUsers = Arc<dyn Fn(u64) -> Result<Option<u32>, UnknownUser> + Send + Sync>;

/// The bases that are open, and the directory that was opened last: the links of one directory follow one another.
pub struct OpenBases {
    devices: Devices,
    bases: HashMap<Base, Result<Arc<Directory>, OpenError>>,
    last: Option<(Base, PathBuf, Arc<OpenDirectory>)>,
    /// The directory that was looked for last and was not there.
    last_missing: Option<(Base, PathBuf, Arc<Missing>)>,
}

/// A directory on the way to a file is missing.
#[derive(Debug)]
pub struct Missing {
    /// The nearest one above that is there.
    pub above: Directory,
    /// The name that is missing in it.
    pub name: OsString,
}

/// A directory that holds links.
#[derive(Debug)]
pub struct OpenDirectory {
    /// The directory.
    pub directory: Directory,
    /// What it was when it was opened. Only its times can change while it is open.
    pub identity: FileIdentity,
    /// The filesystem that it is on.
    pub filesystem: FilesystemId,
}

impl OpenBases {
    /// None yet, to look at places that images of this author name: by the word of others no device is touched.
    pub fn to_look(author: Author) -> Self {
        Self::new(Devices::Read { author, opened: HashMap::new() })
    }

    /// None yet, to remove something. `users` tells who else has a device open that has to be mounted.
    pub fn to_remove(users: DeviceUsers) -> Self {
        Self::new(Devices::Mount(users))
    }

    fn new(devices: Devices) -> Self {
        OpenBases { devices, bases: HashMap::new(), last: None, last_missing: None }
    }

    /// Looks at a place on a device that nobody has mounted, by reading it; `None` where that is no such place.
    pub fn read_unmounted(&mut self, place: &Place) -> Option<Result<Seen, OpenError>> {
        let (Base::Device { device, volume }, Devices::Read { author, opened }) = (&place.base, &mut self.devices)
        else {
            return None;
        };
        let open = || current_number(*device, volume.as_deref()).and_then(|device| open_unmounted(device, *author));
        let unmounted = match opened.entry(place.base.clone()).or_insert_with(open) {
            Ok(unmounted) => unmounted,
            Err(error) => return Some(Err(error.clone())),
        };
        let (directory, name) = place.split();
        Some(unmounted.look_in(directory, name).map_err(|source| {
            let path = Place { base: place.base.clone(), relative: PathBuf::new() }.path();
            OpenError::Mount(Arc::new(MountError::NotRead { path, source }))
        }))
    }

    /// What is missing on the way to the file of a place; `None` where the directory of the file is there.
    pub fn missing(&mut self, place: &Place) -> Result<Option<Arc<Missing>>, OpenError> {
        let (path, _) = place.split();
        let is_same = |(base, last, _): &&(Base, PathBuf, _)| (base, last.as_path()) == (&place.base, path);
        if let Some((_, _, missing)) = self.last_missing.as_ref().filter(is_same) {
            return Ok(Some(Arc::clone(missing)));
        }
        let Some(missing) = self.find_missing(place)?.map(Arc::new) else { return Ok(None) };
        self.last_missing = Some((place.base.clone(), path.to_owned(), Arc::clone(&missing)));
        Ok(Some(missing))
    }

    fn find_missing(&mut self, place: &Place) -> Result<Option<Missing>, OpenError> {
        if let Base::Upper { directory, .. } = &place.base {
            if let Some(found) = nearest_of_store(directory)? {
                return Ok(Some(found));
            }
        }
        let base = self.base(&place.base)?;
        let (path, _) = place.split();
        let mut walked = PathBuf::new();
        for component in path.components() {
            let next = walked.join(component);
            match base.below(&next, reach(&place.base)) {
                Ok(_) => walked = next,
                Err(error) if error.is_not_found() => {
                    let above = base.below(&walked, reach(&place.base))?;
                    return Ok(Some(Missing { above, name: component.as_os_str().to_owned() }));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Opens the directory that holds the file of a place.
    pub fn directory_of(&mut self, place: &Place) -> Result<Arc<OpenDirectory>, OpenError> {
        let (path, _) = place.split();
        let is_same = |(base, last, _): &&(Base, PathBuf, _)| (base, last.as_path()) == (&place.base, path);
        if let Some((_, _, directory)) = self.last.as_ref().filter(is_same) {
            return Ok(Arc::clone(directory));
        }
        let base = self.base(&place.base)?;
        let directory = base.below(path, reach(&place.base))?;
        let filesystem = match place.base {
            Base::Upper { .. } => base.overlay(),
            Base::Mount { .. }
            | Base::Device { .. }
            | Base::Recorded(_)
            | Base::Named(_)
            | Base::Root(_)
            | Base::PerhapsRoot(_) => directory.filesystem(),
        };
        let opened = Arc::new(OpenDirectory { identity: directory.identity()?, filesystem, directory });
        self.last = Some((place.base.clone(), path.to_owned(), Arc::clone(&opened)));
        Ok(opened)
    }

    fn base(&mut self, base: &Base) -> Result<Arc<Directory>, OpenError> {
        if let Some(opened) = self.bases.get(base) {
            return opened.clone();
        }
        let opened = open(base, &self.devices).map(Arc::new);
        self.bases.insert(base.clone(), opened.clone());
        opened
    }
}

fn open_unmounted(device: (u32, u32), author: Author) -> Result<Unmounted, OpenError> {
    let found = match author {
        Author::Trusted => mount::unmounted(device),
        Author::User(_) | Author::Anybody => Err(MountError::OfOthers { device }),
    };
    found.map(Unmounted::new).map_err(|error| OpenError::Mount(Arc::new(error)))
}

/// The number that a device has now, where it had this one when the tree was dumped.
fn current_number(device: (u32, u32), volume: Option<&[u8]>) -> Result<(u32, u32), OpenError> {
    let Some(name) = volume else { return Ok(device) };
    volume::number(name).ok_or_else(|| OpenError::NoVolume(String::from_utf8_lossy(name).into_owned()))
}

fn open(base: &Base, devices: &Devices) -> Result<Directory, OpenError> {
    match base {
        Base::Mount { namespace, mountpoint, id, .. } => {
            open_mount(namespace.as_ref(), mountpoint, *id).map_err(OpenError::of_base)
        }
        // An engine removes the upper directory with the container, and whatever is in it.
        Base::Upper { directory, .. } => Ok(Directory::open_exactly(directory)?),
        Base::Recorded(path) => Directory::open_exactly(path).map_err(|error| OpenError::from(error).of_base()),
        Base::Named(path) | Base::Root(path) | Base::PerhapsRoot(path) => {
            Directory::open(path).map_err(|error| OpenError::from(error).of_base())
        }
        Base::Device { device, volume } => {
            let device = current_number(*device, volume.as_deref())?;
            let mounted = match devices {
                Devices::Mount(users) => mount::block_device(device, &**users),
                Devices::Read { .. } => Err(MountError::OnlyRead { device }),
            };
            mounted.map_err(|error| OpenError::Mount(Arc::new(error)))
        }
    }
}

/// Opens a mount point and makes sure that it is on the mount that is meant: another may have been mounted over it.
fn open_mount(namespace: Option<&MountNamespace>, mountpoint: &Path, id: u32) -> Result<Directory, OpenError> {
    let directory = match namespace {
        None => Directory::open_exactly(mountpoint)?,
        Some(namespace) => {
            let root = namespace.open_root()?;
            root.below(mountpoint.strip_prefix("/").unwrap_or(mountpoint), Reach::AcrossMounts)?
        }
    };
    let found = directory.identity()?.mount_id;
    // 0 is what a kernel says that does not tell.
    if found != 0 && found != u64::from(id) {
        return Err(OpenError::Overmounted(directory.path().to_owned()));
    }
    Ok(directory)
}

/// The layer of an overlay that an engine has removed: its store is there, which is the directory above the layer or
/// the one above that.
fn nearest_of_store(upper: &Path) -> Result<Option<Missing>, OpenError> {
    let mut missing = match Directory::open_exactly(upper) {
        Ok(_) => return Ok(None),
        Err(error) if error.is_not_found() => upper,
        Err(error) => return Err(error.into()),
    };
    for directory in upper.ancestors().skip(1).take(2) {
        match (Directory::open_exactly(directory), missing.file_name()) {
            (Ok(above), Some(name)) => return Ok(Some(Missing { above, name: name.to_owned() })),
            (Err(error), _) if !error.is_not_found() => return Err(error.into()),
            (Ok(_) | Err(_), _) => missing = directory,
        }
    }
    Err(OpenError::NoStore(upper.to_owned()))
}

/// How far a path may lead from a base.
fn reach(base: &Base) -> Reach {
    match base {
        Base::Mount { .. } | Base::Upper { .. } | Base::Device { .. } | Base::Recorded(_) | Base::Named(_) => {
            Reach::SameMount
        }
        Base::Root(_) | Base::PerhapsRoot(_) => Reach::AcrossMounts,
    }
}
