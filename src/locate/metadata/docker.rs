// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Docker's own records of a container: `config.v2.json`, `hostconfig.json`, and which layer it writes to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Metadata;
use crate::locate::context::{Bind, Context, Recorded, Trust};
use crate::time::Timestamp;

const FILE: &str = "config.v2.json";
const HOST_FILE: &str = "hostconfig.json";
/// Where a container has its shared memory.
const SHM: &str = "/dev/shm";
/// How containerd begins the error of `docker start --checkpoint` (`cmd/containerd-shim-runc-v2/process/init.go`).
const RESTORE_FAILED: &str = "OCI runtime restore failed";

#[derive(Deserialize)]
struct HostConfig {
    #[serde(rename = "NetworkMode")]
    network_mode: Option<String>,
}

#[derive(Deserialize)]
struct DockerContainer {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "State")]
    state: Option<State>,
    #[serde(rename = "Config")]
    config: Option<Config>,
    /// The storage driver, `overlay2` by default.
    #[serde(rename = "Driver")]
    driver: Option<String>,
    #[serde(rename = "NetworkSettings")]
    network: Option<NetworkSettings>,
    #[serde(rename = "MountPoints")]
    mounts: Option<BTreeMap<String, MountPoint>>,
    /// What it mounted at `/dev/shm`, unless it mounted something else there.
    #[serde(rename = "ShmPath")]
    shm: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Image")]
    image: Option<String>,
}

#[derive(Deserialize)]
struct State {
    /// When it was started last, in RFC 3339; the year 1 for never.
    #[serde(rename = "StartedAt")]
    started: Option<String>,
    /// Why it could not be started last.
    #[serde(rename = "Error")]
    error: Option<String>,
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
    let Some((container, trust)) = metadata.json::<DockerContainer>(FILE, &mut context.notes) else { return };
    // Docker's own names of containers begin with a slash.
    let name = container.name.map(|name| name.trim_start_matches('/').to_owned());
    if let (Some(driver), Some(id)) = (container.driver, &container.id) {
        add_root(metadata, &driver, id, trust, context);
    }
    context.container.complete(name, container.id);
    context.set_image(container.config.and_then(|config| config.image));
    if let Some(State { started, error }) = container.state {
        let started = started.and_then(|text| humantime::parse_rfc3339(&text).ok()).and_then(Timestamp::of);
        if let Some(time) = started {
            context.set_started(time, FILE, trust);
        }
        let is_of_restore = error.is_some_and(|error| error.starts_with(RESTORE_FAILED));
        if let Some(time) = metadata.written(FILE).filter(|_| is_of_restore && started.is_some()) {
            context.failed_restore = Some(Recorded { value: time, file: FILE.to_owned(), trust });
        }
    }
    match sandbox(container.network) {
        Some(path) => context.add_network_namespace(path, FILE, trust),
        None => add_network_of_another(metadata, context),
    }
    for mount in container.mounts.unwrap_or_default().into_values() {
        let source = mount.source.filter(|source| source.is_absolute());
        if let (Some(source), Some(destination)) = (source, mount.destination) {
            context.add_bind(Bind { destination, source }, FILE, trust);
        }
    }
    let is_taken = context.binds.iter().any(|bind| bind.value.destination == Path::new(SHM));
    if let Some(source) = container.shm.filter(|source| source.is_absolute() && !is_taken) {
        context.add_bind(Bind { destination: SHM.into(), source }, FILE, trust);
    }
}

fn sandbox(network: Option<NetworkSettings>) -> Option<PathBuf> {
    network.and_then(|network| network.sandbox).filter(|path| path.is_absolute())
}

/// `docker run --network container:NAME`: the container has no network of its own, and Docker records the id of the
/// other one.
fn add_network_of_another(metadata: &Metadata, context: &mut Context) {
    let Some((host, trust)) = metadata.json::<HostConfig>(HOST_FILE, &mut context.notes) else { return };
    let mode = host.network_mode.unwrap_or_default();
    let Some(id) = mode.strip_prefix("container:").filter(|id| is_id(id)) else { return };
    let Some(other) = metadata.beside(id) else { return };
    let Some((container, trust_in_other)) = other.json::<DockerContainer>(FILE, &mut context.notes) else { return };
    if let Some(path) = sandbox(container.network) {
        context.add_network_namespace(path, FILE, trust.and(trust_in_other));
    }
}

/// Docker mounts the root directory of a container at `DRIVER/LAYER/merged` below its data root, and keeps the name of the
/// layer in a file of its own.
fn add_root(metadata: &Metadata, driver: &str, id: &str, trust: Trust, context: &mut Context) {
    const FILE: &str = "mount-id";
    let is_driver = driver.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !(is_driver && is_id(id)) {
        return;
    }
    let Some(data_root) = metadata.data_root() else { return };
    let Some(mounts) = data_root.below(&format!("image/{driver}/layerdb/mounts/{id}")) else {
        return add_root_of_containerd(&data_root, driver, id, trust, context);
    };
    let Some((layer, trust_in_layer)) = mounts.text(FILE, &mut context.notes) else { return };
    let root = is_id(&layer).then(|| data_root.path_of(&[driver, &layer, "merged"])).flatten();
    if let Some(root) = root {
        context.set_root(root, FILE, trust.and(trust_in_layer));
    }
}

/// With containerd's image store Docker mounts it at `rootfs/DRIVER/ID`. What is mounted there is the container's.
fn add_root_of_containerd(data_root: &Metadata, driver: &str, id: &str, trust: Trust, context: &mut Context) {
    let place = ["rootfs", driver];
    let Some(roots) = data_root.below(&place.join("/")).filter(|roots| roots.below(id).is_some()) else { return };
    if let Some(root) = data_root.path_of(&[&place[..], &[id]].concat()) {
        context.set_root(root, FILE, roots.trust.and(trust));
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
