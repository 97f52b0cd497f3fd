// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a name is according to this host's engine, if mount arithmetic does not find it: the filesystem was mounted
//! again, or the directory was moved.
//!
//! The engine gives a path, and the owner of a directory on it can put something else there. So criu-gc follows no
//! symbolic link, and the result must be the directory that the mount in the images showed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criu_images::MntEntry;

use super::{FileMount, NameQuery};
use crate::checkpoint::Checkpoint;
use crate::host;
use crate::locate::context::Context;
use crate::mounts::{self, Base, HostMount, Place};
use crate::system::dir::{Directory, FileError, Reach};
use crate::system::mountinfo::{option, unescape};

/// Which directory a mount of the images showed, by the word of the engine.
#[derive(Debug)]
struct Claim {
    mount: MntEntry,
    path: PathBuf,
}

/// A place by such a word, which is not confirmed yet.
#[derive(Debug)]
pub(super) struct EnginePlace {
    pub(super) place: Place,
    claim: Arc<Claim>,
}

/// The places that an engine's metadata names. Nothing is looked at.
pub(super) struct EnginePlaces<'a> {
    checkpoint: &'a Checkpoint,
    metadata: &'a Context,
    /// By the id of the mount in the images.
    claims: HashMap<u32, Option<Arc<Claim>>>,
}

impl<'a> EnginePlaces<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, metadata: &'a Context) -> Self {
        EnginePlaces { checkpoint, metadata, claims: HashMap::new() }
    }

    /// Where a name is below the directory that this host's engine had mounted there.
    pub(super) fn place_of(&mut self, query: &NameQuery) -> Option<EnginePlace> {
        let FileMount::Id(id) = query.mount else { return None };
        let (checkpoint, metadata) = (self.checkpoint, self.metadata);
        let claim = self.claims.entry(id).or_insert_with(|| {
            let mount = checkpoint.mounts.get(&id)?.entry.clone();
            let path = directory_of(&mount, metadata)?.to_owned();
            Some(Arc::new(Claim { mount, path }))
        });
        let claim = Arc::clone(claim.as_ref()?);
        let place = Place::below(Base::Recorded(claim.path.clone()), &query.path, &claim.mount)?;
        Some(EnginePlace { place, claim })
    }
}

/// The upper directory of the overlay that is a container's root directory, by the engine's word: that of the overlay
/// which is mounted there. While none is, the engines keep it beside the mount point, `ID/diff` beside `ID/merged`.
pub(super) fn layer_of(root: &Path, own: &[HostMount]) -> Option<Vec<u8>> {
    let mut mounted = own.iter().filter(|mount| mount.mountpoint == root.as_os_str().as_bytes());
    let upper = mounted.find_map(|mount| option(&mount.options, b"upperdir=")).map(unescape);
    let beside = || root.ends_with("merged").then(|| root.with_file_name("diff").into_os_string().into_vec());
    upper.or_else(beside)
}

fn directory_of<'a>(mount: &MntEntry, metadata: &'a Context) -> Option<&'a Path> {
    let mountpoint = mounts::mountpoint(mount);
    let is_of_mount = |destination: &Path| {
        let destination = destination.as_os_str().as_encoded_bytes();
        destination == mountpoint || mount.ext_key.as_deref() == Some(destination)
    };
    match mountpoint {
        b"/" => metadata.own_root(),
        _ => Some(&metadata.own_binds().find(|bind| is_of_mount(&bind.destination))?.source),
    }
}

/// What was found out about the engine's words.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    known: HashMap<u32, bool>,
}

impl Confirmed {
    /// Whether what is at the place now is what the mount showed.
    pub(super) fn is_true_of(&mut self, told: &EnginePlace) -> bool {
        let Claim { mount, path } = &*told.claim;
        *self.known.entry(mount.mnt_id).or_insert_with(|| is_directory_of(path, mount))
    }
}

fn is_directory_of(path: &Path, mount: &MntEntry) -> bool {
    let look = || {
        let directory = Directory::open_exactly(path)?;
        Ok::<_, FileError>((directory.identity()?, directory.location()?))
    };
    let Ok((identity, location)) = look() else { return false };
    let Some(shown) = host::own_mount(identity.mount_id) else { return false };
    mounts::is_source_of_mount(&location, &shown, mount, |relative| is_there(&shown, relative))
}

/// Whether there is something at a path below the root of a mount; what cannot be looked at may be there.
fn is_there(shown: &HostMount, relative: &Path) -> bool {
    let mountpoint = Path::new(OsStr::from_bytes(&shown.mountpoint));
    let opened = Directory::open_exactly(mountpoint).and_then(|root| root.below(relative, Reach::SameMount));
    opened.map_or_else(|error| !error.is_not_found(), |_| true)
}
