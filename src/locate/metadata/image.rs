// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The annotations by which a checkpoint in an OCI image tells what it is: those of podman's `--create-image`, and those
//! on which the Kubernetes engines agreed.

use std::collections::BTreeMap;

use crate::locate::context::Context;

/// The prefixes of both.
const PODMAN: &str = "io.podman.annotations.checkpoint.";
const CRIU: &str = "org.criu.checkpoint.";

/// Adds what the annotations of a manifest say.
pub(in crate::locate) fn annotations(annotations: &BTreeMap<String, String>, context: &mut Context) {
    let get = |prefix: &str, name: &str| annotations.get(&format!("{prefix}{name}")).cloned();
    context.engine.complete(get(CRIU, "engine.name"), get(CRIU, "engine.version"));
    if let Some(version) = get(PODMAN, "podman.version") {
        context.engine.complete(Some("podman".to_owned()), Some(version));
    }
    context.container.complete(get(CRIU, "container.name").or_else(|| get(PODMAN, "name")), None);
    context.pod.complete(get(CRIU, "pod.name"), get(CRIU, "pod.id"));
    let version = get(CRIU, "criu.version").or_else(|| get(PODMAN, "criu.version"));
    context.set_criu_version(version);
}
