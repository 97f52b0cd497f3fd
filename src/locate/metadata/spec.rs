// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The OCI runtime configuration of a container: `config.json` in a bundle, `spec.dump` in an engine's export.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{CONFIG, Metadata};
use crate::locate::context::{Bind, Context, Recorded, Trust};

#[derive(Deserialize)]
struct Spec {
    root: Option<Root>,
    linux: Option<Linux>,
    mounts: Option<Vec<Mount>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Root {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Mount {
    destination: PathBuf,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<PathBuf>,
    options: Option<Vec<String>>,
}

impl Mount {
    fn is_bind(&self) -> bool {
        let options = self.options.iter().flatten();
        self.kind.as_deref() == Some("bind") || options.into_iter().any(|option| option == "bind" || option == "rbind")
    }
}

/// Annotations that name the engine, the container and its pod. Each has the engine's own prefix.
const NAMES: [(&str, Fact); 17] = [
    ("io.kubernetes.cri-o.Name", Fact::ContainerName),
    ("io.kubernetes.cri-o.ContainerID", Fact::ContainerId),
    ("io.kubernetes.container.name", Fact::ContainerName),
    ("io.kubernetes.cri.container-name", Fact::ContainerName),
    ("io.kubernetes.pod.name", Fact::PodName),
    ("io.kubernetes.cri.sandbox-name", Fact::PodName),
    ("io.kubernetes.cri-o.SandboxName", Fact::PodName),
    ("io.kubernetes.cri-o.SandboxID", Fact::PodId),
    ("io.kubernetes.pod.namespace", Fact::PodNamespace),
    ("io.kubernetes.cri.sandbox-namespace", Fact::PodNamespace),
    ("io.kubernetes.cri-o.Namespace", Fact::PodNamespace),
    ("io.kubernetes.cri.image-name", Fact::Image),
    ("io.kubernetes.cri-o.ImageName", Fact::Image),
    ("io.kubernetes.cri.sandbox-id", Fact::PodId),
    ("io.kubernetes.cri.container-type", Fact::Engine("containerd")),
    ("io.kubernetes.cri-o.ContainerType", Fact::Engine("CRI-O")),
    ("org.criu.checkpoint.criu.version", Fact::Criu),
];

#[derive(Clone, Copy)]
enum Fact {
    ContainerName,
    ContainerId,
    PodName,
    PodId,
    PodNamespace,
    Image,
    Engine(&'static str),
    Criu,
}

/// Adds what the configuration `file` says.
pub(super) fn add(metadata: &Metadata, file: &str, context: &mut Context) {
    let Some((spec, trust)) = metadata.json::<Spec>(file, &mut context.notes) else { return };
    if let Some(root) = spec.root.and_then(|root| metadata.absolute(root.path)) {
        context.set_root(root, file, trust);
    }
    for path in networks(spec.linux) {
        context.add_network_namespace(path, file, trust);
    }
    for mount in spec.mounts.unwrap_or_default() {
        if !mount.is_bind() {
            continue;
        }
        if let Some(source) = mount.source.and_then(|source| metadata.absolute(source)) {
            context.add_bind(Bind { destination: mount.destination, source }, file, trust);
        }
    }
    let annotations = spec.annotations.unwrap_or_default();
    if let Some(id) = annotations.get("io.kubernetes.cri.sandbox-id") {
        context.sandbox =
            Some(Recorded { value: id.clone(), file: file.to_owned(), trust: metadata.trust_in_id(file) });
    }
    add_annotations(&annotations, context);
}

/// The network namespaces in the configuration of a bundle, and whose word they are.
pub(in crate::locate) fn network_namespaces(metadata: &Metadata) -> Option<(Vec<PathBuf>, Trust)> {
    let (spec, trust) = metadata.decode::<Spec>(CONFIG).ok()??;
    Some((networks(spec.linux).collect(), trust))
}

fn networks(linux: Option<Linux>) -> impl Iterator<Item = PathBuf> {
    let namespaces = linux.and_then(|linux| linux.namespaces).unwrap_or_default();
    let networks = namespaces.into_iter().filter(|namespace| namespace.kind == "network");
    networks.filter_map(|namespace| namespace.path).filter(|path| path.is_absolute())
}

fn add_annotations(annotations: &BTreeMap<String, String>, context: &mut Context) {
    match annotations.get("io.container.manager").map(String::as_str) {
        Some("libpod") => context.engine.complete(Some("podman".to_owned()), None),
        Some("cri-o") => context.engine.complete(Some("CRI-O".to_owned()), None),
        _ => {}
    }
    for (name, fact) in NAMES {
        let Some(value) = annotations.get(name).cloned() else { continue };
        match fact {
            Fact::ContainerName => context.container.complete(Some(value), None),
            Fact::ContainerId => context.container.complete(None, Some(value)),
            Fact::PodName => context.pod.complete(Some(value), None),
            Fact::PodId => context.pod.complete(None, Some(value)),
            Fact::PodNamespace => context.set_pod_namespace(Some(value)),
            Fact::Image => context.set_image(Some(value)),
            Fact::Engine(engine) => context.engine.complete(Some(engine.to_owned()), None),
            Fact::Criu => context.set_criu_version(Some(value)),
        }
    }
}

impl Metadata {
    /// A path of the configuration: relative ones start at the bundle, which in an archive is nowhere.
    fn absolute(&self, path: PathBuf) -> Option<PathBuf> {
        if path.is_absolute() {
            return Some(path);
        }
        // Where it is, not how the user named it: that may be by a symbolic link.
        let bundle = self.folder.host()?.location().ok()?;
        Some(bundle.join(path))
    }
}
