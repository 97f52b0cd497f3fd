// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The checkpoint of a pod, as containerd and CRI-O write it: an archive for each container, and a manifest that names them.
//!
//! `checkpoint-manifest.json` is of version 2 by containerd, whose archives are container images, and of version 1 by CRI-O.
//! Both name each container with its archive. `pod-config.json` is the pod's configuration as the kubelet gave it.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::LocateError;
use super::Located;
use super::folder::Folder;
use super::layout::Layout;
use super::metadata::{Metadata, MetadataError, POD_CONFIGURATION, POD_MANIFEST};
use super::tree::split;

/// The versions of the manifest that are known.
const VERSIONS: std::ops::RangeInclusive<u64> = 1..=2;
/// No pod has more containers.
const CONTAINERS: usize = 1024;

/// The checkpoint of a pod.
#[derive(Debug)]
pub(super) struct Pod {
    containers: Vec<Container>,
    sandbox: Option<String>,
    metadata: PodMetadata,
    notes: Vec<String>,
}

/// A container of it.
#[derive(Debug, Deserialize)]
pub(super) struct Container {
    name: Option<String>,
    id: Option<String>,
    archive: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    version: Option<u64>,
    sandbox_id: Option<String>,
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
struct Configuration {
    metadata: Option<PodMetadata>,
}

#[derive(Debug, Default, Deserialize)]
struct PodMetadata {
    name: Option<String>,
    namespace: Option<String>,
}

impl Pod {
    /// The pod whose checkpoint this directory is, if it has a manifest.
    pub(super) fn of(folder: &Folder) -> Result<Option<Self>, LocateError> {
        if !folder.has(POD_MANIFEST) {
            return Ok(None);
        }
        let path = folder.path().join(POD_MANIFEST);
        let failed = |source: MetadataError| LocateError::Manifest { path: path.clone(), source };
        let files = Metadata::of_strangers(folder.again()?);
        let Some((manifest, _)) = files.decode::<Manifest>(POD_MANIFEST).map_err(failed)? else { return Ok(None) };
        let Manifest { version, sandbox_id, containers } = manifest;
        let is_path = |container: &Container| container.has_plain_path();
        if containers.is_empty() || containers.len() > CONTAINERS || !containers.iter().all(is_path) {
            return Err(LocateError::Containers { path });
        }
        let mut notes = Vec::new();
        if !version.is_some_and(|version| VERSIONS.contains(&version)) {
            notes.push(format!("{POD_MANIFEST} is of a version that this criu-gc does not know"));
        }
        let configuration = files.json::<Configuration>(POD_CONFIGURATION, &mut notes);
        let metadata = configuration.and_then(|(file, _)| file.metadata).unwrap_or_default();
        Ok(Some(Pod { containers, sandbox: sandbox_id, metadata, notes }))
    }

    /// Its containers.
    pub(super) fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// Adds to a checkpoint in the archive of a container what the manifest says of it.
    pub(super) fn complete(&self, container: &Container, located: &mut Located) {
        let context = &mut located.context;
        located.layout = Layout::Pod;
        context.container.complete(container.name.clone(), container.id.clone());
        context.pod.complete(self.metadata.name.clone(), self.sandbox.clone());
        context.set_pod_namespace(self.metadata.namespace.clone());
        context.notes.extend(self.notes.iter().cloned());
    }
}

/// How people and engines call archives.
const ARCHIVES: [&[u8]; 4] = [b".tar", b".tar.gz", b".tgz", b".tar.zst"];
/// Archives of other files, which engines write beside images, and podman's directory of volumes.
const OF_FILES: [&[u8]; 2] = [b"rootfs-diff.tar", b"devshm-checkpoint.tar"];
const OF_VOLUMES: &[u8] = b"volumes";

/// Whether what is at this path may be an archive with images.
pub(super) fn is_archive(path: &[u8]) -> bool {
    let (place, name) = split(path);
    ARCHIVES.iter().any(|ending| name.ends_with(ending)) && !OF_FILES.contains(&name) && split(place).1 != OF_VOLUMES
}

impl Container {
    /// Where its archive is below the manifest's directory.
    pub(super) fn archive(&self) -> &Path {
        &self.archive
    }

    fn has_plain_path(&self) -> bool {
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        self.archive.components().next().is_some() && self.archive.components().all(is_plain)
    }
}
