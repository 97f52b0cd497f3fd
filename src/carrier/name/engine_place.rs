// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a name is according to this host's engine, if mount arithmetic does not find it: the filesystem was mounted
//! again, the directory was moved, or an interrupted dump did not get as far as to write its mounts.
//!
//! The engine gives a path, and the owner of a directory on it can put something else there. So criu-gc follows no
//! symbolic link, and the result must be the directory that the mount in the images showed. Where they have no such
//! mount, only the file itself can show that it is the checkpoint's, and one that is not found there may be elsewhere.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criu_images::MntEntry;

use super::{FileMount, NameQuery};
use crate::checkpoint::Checkpoint;
use crate::host;
use crate::locate::context::{Bind, Context};
use crate::mounts::{self, Base, HostMount, Identity, Place};
use crate::system::dir::{Directory, FileError, Reach};

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
    /// What has to be confirmed; nothing where the images have no mount that could.
    claim: Option<Arc<Claim>>,
}

/// The places that an engine's metadata names. Nothing is looked at.
pub(super) struct EnginePlaces<'a> {
    checkpoint: &'a Checkpoint,
    metadata: &'a Context,
    /// By the id of the mount in the images.
    claims: HashMap<u32, Option<Arc<Claim>>>,
    /// The container's root directory, once it was needed.
    root: OnceCell<Option<Base>>,
}

impl<'a> EnginePlaces<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, metadata: &'a Context) -> Self {
        EnginePlaces { checkpoint, metadata, claims: HashMap::new(), root: OnceCell::new() }
    }

    /// Where a name is below the directory that this host's engine had mounted there.
    pub(super) fn place_of(&mut self, query: &NameQuery) -> Option<EnginePlace> {
        let FileMount::Id(id) = query.mount else { return None };
        let (checkpoint, metadata) = (self.checkpoint, self.metadata);
        if !checkpoint.mounts.contains_key(&id) {
            return self.place_by_path(&query.path);
        }
        let claim = self.claims.entry(id).or_insert_with(|| {
            let mount = checkpoint.mounts.get(&id)?.entry.clone();
            let path = directory_of(&mount, metadata)?.to_owned();
            Some(Arc::new(Claim { mount, path }))
        });
        let claim = Arc::clone(claim.as_ref()?);
        let place = Place::below(Base::Recorded(claim.path.clone()), &query.path, &claim.mount)?;
        Some(EnginePlace { place, claim: Some(claim) })
    }

    /// Where a file of the container is if nothing but what the engine mounted is on its path.
    fn place_by_path(&self, path: &[u8]) -> Option<EnginePlace> {
        let path = Path::new(OsStr::from_bytes(path));
        let is_above = |bind: &&Bind| path.starts_with(&bind.destination) && path != bind.destination;
        let binds = self.metadata.own_binds().filter(is_above);
        let (base, relative) = match binds.max_by_key(|bind| bind.destination.components().count()) {
            Some(Bind { destination, source }) => (Base::Recorded(source.clone()), path.strip_prefix(destination)),
            None => (self.root.get_or_init(|| root_of(self.metadata)).clone()?, path.strip_prefix("/")),
        };
        let place = Place { base, relative: relative.ok()?.to_owned() };
        Some(EnginePlace { place, claim: None })
    }
}

/// The container's root directory, or the layer that it wrote to while no overlay is mounted there.
fn root_of(metadata: &Context) -> Option<Base> {
    let root = metadata.own_root()?;
    let own = host::own_mounts_at(root);
    Some(match mounts::layer_at(root, &own) {
        Some(upper) if own.is_empty() => {
            Base::Upper { directory: OsString::from_vec(upper).into(), identity: Identity::ByName }
        }
        _ => Base::Recorded(root.to_owned()),
    })
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
        let Some(claim) = &told.claim else { return true };
        let Claim { mount, path } = &**claim;
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
