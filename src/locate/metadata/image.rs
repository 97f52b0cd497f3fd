// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The annotations that describe a checkpoint in an OCI image: those of podman's `--create-image`, and those that the
//! Kubernetes engines share.

use std::collections::BTreeMap;

use crate::locate::context::{self, Context};

/// The prefixes of both.
const PODMAN: &str = "io.podman.annotations.checkpoint.";
const CRIU: &str = "org.criu.checkpoint.";

/// Those that are read, behind one prefix or the other.
const NAMES: [&str; 10] = [
    "engine.name",
    "engine.version",
    "podman.version",
    "container.name",
    "name",
    "pod.name",
    "pod.id",
    "pod.namespace",
    "rootfsImageName",
    "criu.version",
];

/// Takes away all others, and those that are too long to be names: whoever made an image may write megabytes of them
/// beside each of a thousand layers.
pub(in crate::locate) fn retain_known(annotations: &mut BTreeMap<String, String>) {
    let is_known = |name: &str| {
        let rest = name.strip_prefix(PODMAN).or_else(|| name.strip_prefix(CRIU));
        rest.is_some_and(|rest| NAMES.contains(&rest))
    };
    annotations.retain(|name, value| is_known(name) && context::is_name(value));
}

/// Adds what the annotations of a manifest say.
pub(in crate::locate) fn annotations(annotations: &BTreeMap<String, String>, context: &mut Context) {
    let get = |prefix: &str, name: &str| annotations.get(&format!("{prefix}{name}")).cloned();
    context.engine.complete(get(CRIU, "engine.name"), get(CRIU, "engine.version"));
    if let Some(version) = get(PODMAN, "podman.version") {
        context.engine.complete(Some("podman".to_owned()), Some(version));
    }
    context.container.complete(get(CRIU, "container.name").or_else(|| get(PODMAN, "name")), None);
    context.pod.complete(get(CRIU, "pod.name"), get(CRIU, "pod.id"));
    context.set_pod_namespace(get(CRIU, "pod.namespace"));
    context.set_image(get(CRIU, "rootfsImageName").or_else(|| get(PODMAN, "rootfsImageName")));
    let version = get(CRIU, "criu.version").or_else(|| get(PODMAN, "criu.version"));
    context.set_criu_version(version);
}
