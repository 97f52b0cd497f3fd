// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Docker: `containers/ID` below the data root, and below `UID.GID` in it with `userns-remap`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::container::{At, Container};
use super::super::own::{self, OwnError};

const CONFIGURATION: &str = "/etc/docker/daemon.json";
const DATA_ROOT: &str = "/var/lib/docker";

#[derive(Debug, Default, Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
    /// The name of the option until 17.05.
    graph: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "Name")]
    name: Option<String>,
}

/// Where Docker keeps everything, by its configuration.
pub fn data_root() -> Result<PathBuf, OwnError> {
    let configured: Option<Daemon> = own::json(Path::new(CONFIGURATION))?;
    let root = configured.and_then(|daemon| daemon.data_root.or(daemon.graph)).filter(|path| path.is_absolute());
    Ok(root.unwrap_or_else(|| PathBuf::from(DATA_ROOT)))
}

/// The directory of the container with this id, if there is one.
pub fn container_directory(id: &str) -> Result<Option<PathBuf>, OwnError> {
    let found = stores(&data_root()?)?.into_iter().map(|store| store.join(id)).find(|directory| directory.is_dir());
    Ok(found)
}

/// All containers.
pub(super) fn containers() -> Result<Vec<Container>, OwnError> {
    containers_below(&data_root()?)
}

fn containers_below(root: &Path) -> Result<Vec<Container>, OwnError> {
    let mut found = Vec::new();
    for store in stores(root)? {
        for id in own::names(&store)?.into_iter().filter(|id| is_id(id)) {
            let directory = store.join(&id);
            // A container whose file cannot be used still has its id.
            let config: Option<Config> = own::json(&directory.join("config.v2.json")).unwrap_or_default();
            let name = config.and_then(|config| config.name).map(|name| name.trim_start_matches('/').to_owned());
            found.push(Container::with_id(id, name.filter(|name| !name.is_empty()), vec![At::Directory(directory)]));
        }
    }
    Ok(found)
}

/// The directories of containers below the data root.
fn stores(root: &Path) -> Result<Vec<PathBuf>, OwnError> {
    let remapped = own::names(root)?.into_iter().filter(|name| is_mapping(name)).map(|name| root.join(name));
    Ok([root.to_owned()].into_iter().chain(remapped).map(|root| root.join("containers")).collect())
}

/// Whether a directory of this name is of a user namespace: the numbers of its root user and group.
fn is_mapping(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('.').is_some_and(|(user, group)| is_number(user) && is_number(group))
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
