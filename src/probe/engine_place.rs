// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a link remap is by the word of this host's engine, for where mount arithmetic does not find it: the filesystem
//! was mounted anew, or the directory was moved.
//!
//! The engine's word is a path, and whoever owns a directory on the way can put something else there. So no symbolic link
//! is followed, and what is there has to be the directory that the mount of the images showed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use criu_images::MntEntry;

use crate::checkpoint::Checkpoint;
use crate::locate::context::Context;
use crate::mounts::{self, Base, HostMount, Place};
use crate::residue::{FileMount, LinkRemap};
use crate::system::dir::{Directory, FileError, Reach};

/// The places that an engine's metadata names.
pub(super) struct EnginePlaces<'a> {
    checkpoint: &'a Checkpoint,
    metadata: &'a Context,
    /// The mounts of the tool's own mount namespace.
    own: &'a [HostMount],
    /// What was found out, by the id of the mount in the images.
    confirmed: HashMap<u32, bool>,
}

impl<'a> EnginePlaces<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, metadata: &'a Context, own: &'a [HostMount]) -> Self {
        EnginePlaces { checkpoint, metadata, own, confirmed: HashMap::new() }
    }

    /// Where a link remap is below the directory that this host's engine had mounted there.
    pub(super) fn place_of(&mut self, link: &LinkRemap) -> Option<Place> {
        let FileMount::Id(id) = link.mount else { return None };
        let mount = &self.checkpoint.mounts.get(&id)?.entry;
        let path = self.directory_of(mount)?;
        let own = self.own;
        let is_confirmed = *self.confirmed.entry(id).or_insert_with(|| is_directory_of(path, mount, own));
        is_confirmed.then(|| Place::below(Base::Recorded(path.to_owned()), &link.link, mount)).flatten()
    }

    fn directory_of(&self, mount: &MntEntry) -> Option<&'a Path> {
        let mountpoint = mounts::mountpoint(mount);
        let is_of_mount = |destination: &Path| {
            let destination = destination.as_os_str().as_encoded_bytes();
            destination == mountpoint || mount.ext_key.as_deref() == Some(destination)
        };
        match mountpoint {
            b"/" => self.metadata.own_root(),
            _ => Some(&self.metadata.own_binds().find(|bind| is_of_mount(&bind.destination))?.source),
        }
    }
}

/// Whether what is at `path` now is what the mount showed.
fn is_directory_of(path: &Path, mount: &MntEntry, own: &[HostMount]) -> bool {
    let look = || {
        let directory = Directory::open_exactly(path)?;
        Ok::<_, FileError>((directory.identity()?, directory.location()?))
    };
    let Ok((identity, location)) = look() else { return false };
    let Some(shown) = own.iter().find(|shown| u64::from(shown.id) == identity.mount_id) else { return false };
    mounts::is_source_of_mount(&location, shown, mount, |relative| is_there(shown, relative))
}

/// Whether there is something at a path below the root of a mount; what cannot be looked at may be there.
fn is_there(shown: &HostMount, relative: &Path) -> bool {
    let mountpoint = Path::new(OsStr::from_bytes(&shown.mountpoint));
    let opened = Directory::open_exactly(mountpoint).and_then(|root| root.below(relative, Reach::SameMount));
    opened.map_or_else(|error| !error.is_not_found(), |_| true)
}
