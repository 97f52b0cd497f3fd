// SPDX-License-Identifier: Apache-2.0 OR MIT
//! containerd's own list of images and containers: a file of bolt, and no other file tells which image is the checkpoint of
//! which container.

mod list;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::containerd::{ROOT, STATES, TASKS};
use super::super::own::{self, OwnError};

pub(super) use list::List;

const CONFIGURATION: &str = "/etc/containerd/config.toml";
/// Where it keeps everything, by default and for k3s.
const ROOTS: [&str; 2] = [ROOT, "/var/lib/rancher/k3s/agent/containerd"];

/// Why containerd's list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// It cannot be read.
    #[error("cannot read containerd's list of images and containers")]
    Own(#[from] OwnError),
    /// It is damaged.
    #[error("cannot use {}: it is no file of bolt, or a damaged one", .0.display())]
    Damaged(PathBuf),
    /// It was never at rest.
    #[error("cannot use {}: it is being written to; try again", .0.display())]
    Busy(PathBuf),
}

#[derive(Debug, Default, Deserialize)]
struct Configuration {
    root: Option<PathBuf>,
}

/// Where containerd keeps everything.
pub(super) fn roots() -> Result<Vec<PathBuf>, OwnError> {
    let configured: Option<Configuration> = own::toml(Path::new(CONFIGURATION))?;
    let configured = configured.and_then(|file| file.root).filter(|path| path.is_absolute());
    let default = ROOTS.iter().map(PathBuf::from).filter(|path| Some(path) != configured.as_ref()).collect::<Vec<_>>();
    Ok(configured.into_iter().chain(default).collect())
}

/// The directories of a task.
pub(super) fn tasks(namespace: &str, id: &str) -> impl Iterator<Item = PathBuf> {
    STATES.iter().map(move |state| Path::new(state).join(TASKS).join(namespace).join(id))
}

/// The directories of the containers of the CRI service.
pub(super) fn of_cri(root: &Path) -> PathBuf {
    root.join("io.containerd.grpc.v1.cri/containers")
}

/// The store of contents.
pub(super) fn contents(root: &Path) -> PathBuf {
    root.join("io.containerd.content.v1.content")
}
