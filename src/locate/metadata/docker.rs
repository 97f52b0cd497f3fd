// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Docker's own records of a container: `config.v2.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::Metadata;
use crate::locate::context::{Bind, Context};

const FILE: &str = "config.v2.json";

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "NetworkSettings")]
    network: Option<NetworkSettings>,
    #[serde(rename = "MountPoints")]
    mounts: Option<BTreeMap<String, MountPoint>>,
}

#[derive(Deserialize)]
struct NetworkSettings {
    #[serde(rename = "SandboxKey")]
    sandbox: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MountPoint {
    #[serde(rename = "Source")]
    source: Option<PathBuf>,
    #[serde(rename = "Destination")]
    destination: Option<PathBuf>,
}

/// Adds what they say.
pub(super) fn add(metadata: &Metadata, context: &mut Context) {
    context.engine.complete(Some("Docker".to_owned()), None);
    let Some((container, trust)) = metadata.json::<Container>(FILE, &mut context.notes) else { return };
    // Docker's own names of containers begin with a slash.
    let name = container.name.map(|name| name.trim_start_matches('/').to_owned());
    context.container.complete(name, container.id);
    if let Some(path) = container.network.and_then(|network| network.sandbox).filter(|path| path.is_absolute()) {
        context.add_network_namespace(path, FILE, trust);
    }
    for mount in container.mounts.unwrap_or_default().into_values() {
        if let (Some(source), Some(destination)) = (mount.source, mount.destination)
            && source.is_absolute()
        {
            context.add_bind(Bind { destination, source }, FILE, trust);
        }
    }
}
