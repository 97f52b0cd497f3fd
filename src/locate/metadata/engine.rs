// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that engines write next to the images at a checkpoint: podman, CRI-O and containerd's CRI plugin use the same
//! file names with different contents.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Metadata, POD_OPTIONS};
use crate::locate::context::{Bind, Context};

/// `config.dump`.
#[derive(Deserialize)]
struct Config {
    id: Option<String>,
    name: Option<String>,
    pod: Option<String>,
    #[serde(rename = "networkMode")]
    network_mode: Option<String>,
    /// The container's image by its name.
    #[serde(rename = "rootfsImageName")]
    image_name: Option<String>,
    #[serde(rename = "rootfsImage")]
    image: Option<String>,
}

/// A volume or file in `bind.mounts` of CRI-O.
#[derive(Deserialize)]
struct BindMount {
    source: PathBuf,
    destination: PathBuf,
}

/// A network in `network.status` of podman: its devices in the container.
#[derive(Deserialize)]
struct NetworkStatus {
    interfaces: Option<BTreeMap<String, Interface>>,
}

#[derive(Deserialize)]
struct Interface {
    subnets: Option<Vec<Subnet>>,
}

#[derive(Deserialize)]
struct Subnet {
    ipnet: Option<String>,
}

/// `pod.options`.
#[derive(Deserialize)]
struct PodOptions {
    name: Option<String>,
    id: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Adds what they say.
pub(super) fn add(metadata: &Metadata, context: &mut Context) {
    if let Some((config, _)) = metadata.json::<Config>("config.dump", &mut context.notes) {
        // Podman's has the mode of the network; those of the CRI engines do not.
        let engine = config.network_mode.is_some().then(|| "podman".to_owned());
        context.engine.complete(engine, None);
        context.container.complete(config.name, config.id);
        context.pod.complete(None, config.pod);
        context.set_image(config.image_name.or(config.image));
    }
    let binds = metadata.json::<Vec<BindMount>>("bind.mounts", &mut context.notes);
    if let Some((binds, trust)) = binds {
        for BindMount { source, destination } in binds {
            if source.is_absolute() {
                context.add_bind(Bind { destination, source }, "bind.mounts", trust);
            }
        }
    }
    // `null` where podman made no network of its own.
    let networks = metadata.json::<Option<BTreeMap<String, NetworkStatus>>>("network.status", &mut context.notes);
    if let Some((Some(networks), _)) = networks {
        let interfaces =
            networks.into_values().flat_map(|network| network.interfaces.unwrap_or_default().into_values());
        let subnets = interfaces.flat_map(|interface| interface.subnets.unwrap_or_default());
        subnets.filter_map(|subnet| subnet.ipnet).for_each(|address| context.add_address(address));
    }
    if let Some((pod, _)) = metadata.json::<PodOptions>(POD_OPTIONS, &mut context.notes) {
        add_pod(pod, context);
    }
}

fn add_pod(pod: PodOptions, context: &mut Context) {
    context.pod.complete(pod.name, pod.id);
    super::annotations(&pod.annotations.unwrap_or_default(), context);
}
