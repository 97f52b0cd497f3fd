// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `podman:NAME_OR_ID`: from a container's name to its directory in podman's storage.
//!
//! This is the storage of root's podman (github.com/containers/storage): a list of containers, and a directory for
//! each. criu-gc trusts it only if nobody else can have written it, because it decides whose residue is removed.

mod storage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::storage::Storage;
use super::container::{At, Container, Name};
use super::context::Trust;
use super::folder::Folder;
use super::metadata::{Metadata, MetadataError};
use crate::system::dir::FileError;
use crate::system::way::{self, WayError};

/// The directories of the containers, by the storage's driver.
const DRIVERS: [&str; 4] = ["overlay-containers", "vfs-containers", "btrfs-containers", "zfs-containers"];
/// The list of the containers, and that of those which need not outlive a boot (of `--rm` and quadlets, since the end of
/// 2022). With a transient store that list and the directories of its containers are where nothing outlives a boot.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// Why a podman container cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PodmanError {
    /// The configuration of the storage could not be read.
    #[error("cannot find podman's container storage: {} {why}", path.display())]
    Configuration {
        /// The configuration.
        path: PathBuf,
        /// What is wrong, as the end of a sentence.
        why: String,
    },
    /// A list of containers could not be read.
    #[error("cannot identify the podman container: {}", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// What is wrong.
        source: MetadataError,
    },
    /// Others can have written the list.
    #[error(
        "users other than root can write {} or a directory above it, so criu-gc does not trust it: name the \
         container's directory instead",
        path.display()
    )]
    Foreign {
        /// The list.
        path: PathBuf,
    },
    /// A directory could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// Or the way to it is not root's alone.
    #[error(transparent)]
    Way(#[from] WayError),
}

/// All containers of root's podman.
pub(super) fn containers() -> Result<Vec<Container>, PodmanError> {
    Storage::configured()?.containers()
}

/// The directories where root's podman stores its containers.
pub(super) fn stores() -> Result<Vec<PathBuf>, PodmanError> {
    let Storage { store, volatile } = Storage::configured()?;
    Ok(vec![store, volatile])
}

/// The names of the containers in a storage, by their ids. They are only for people, so a list that cannot be used has none.
pub(super) fn names(store: &Path) -> BTreeMap<String, String> {
    let lists = DRIVERS.iter().flat_map(|driver| LISTS.map(|list| read(&store.join(driver), list).unwrap_or_default()));
    lists.flatten().filter_map(|container| Some((container.id, container.names?.into_iter().next()?))).collect()
}

/// An entry of the list.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    /// `null` for none.
    names: Option<Vec<String>>,
}

impl Listed {
    fn container(self, directory: &Path) -> Container {
        let Listed { id, names } = self;
        let at = At::Directory(directory.join(&id).join("userdata"));
        let mut names = names.unwrap_or_default().into_iter();
        let mut container = Container::with_id(id.clone(), names.next(), vec![at]);
        container.names.extend(names.map(|typed| Name { typed, means: id.clone() }));
        container
    }

    /// Whether its directory can have this id for a name.
    fn has_plain_id(&self) -> bool {
        !self.id.is_empty() && self.id.len() <= 64 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl Storage {
    fn containers(&self) -> Result<Vec<Container>, PodmanError> {
        let mut all = Vec::new();
        for driver in DRIVERS {
            for directory in [&self.store, &self.volatile].map(|store| store.join(driver)) {
                for list in LISTS {
                    all.extend(read(&directory, list)?.into_iter().map(|listed| listed.container(&directory)));
                }
            }
        }
        Ok(all)
    }
}

/// The containers in a list; none where there is no such list.
fn read(directory: &Path, list: &str) -> Result<Vec<Listed>, PodmanError> {
    let directory = match way::open(directory) {
        Ok(directory) => directory,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let path = directory.path().join(list);
    let containers: Option<(Vec<Listed>, Trust)> = Metadata::of(Folder::Host(directory))
        .decode(list)
        .map_err(|source| PodmanError::List { path: path.clone(), source })?;
    match containers {
        None => Ok(Vec::new()),
        Some((_, Trust::Stranger)) => Err(PodmanError::Foreign { path }),
        Some((containers, Trust::Host)) => Ok(containers.into_iter().filter(Listed::has_plain_id).collect()),
    }
}

#[cfg(test)]
mod tests;
