// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The origin of a checkpoint in the report: its layout and a runtime's metadata.

use std::path::Path;

use serde::Serialize;

use crate::archive::Compression;
use crate::json::Bytes;
use crate::locate::context::{Named, Recorded, Trust};
use crate::locate::{Context, Layout};
use crate::time::Timestamp;

/// Where a checkpoint comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// How its images are held.
    pub(crate) layout: Layout,
    /// How the archive is compressed that they are in; `None` where they are in a directory.
    pub(crate) archive: Option<Compression>,
    /// What the metadata beside them says.
    pub(crate) metadata: Context,
    /// When the images were written, by what they say.
    pub(crate) written: Option<Timestamp>,
}

/// What a runtime's metadata says. Hints: nothing is removed because of them.
#[derive(Debug, Clone, Serialize)]
pub struct MetadataReport {
    /// How the images are held, in words for people.
    pub words: String,
    /// The engine, and its version as `id`.
    pub engine: NamedReport,
    /// The version of CRIU.
    pub criu_version: Option<String>,
    /// The container.
    pub container: NamedReport,
    /// The pod.
    pub pod: NamedReport,
    /// The namespace of Kubernetes that the pod was in.
    pub pod_namespace: Option<String>,
    /// The image that the container was made from.
    pub image: Option<String>,
    /// When the checkpoint was made, in RFC 3339, by the times of its images.
    pub written: Option<String>,
    /// The container's root directory.
    pub root: Option<PathReport>,
    /// The network namespaces that were given to the container.
    pub network_namespaces: Vec<PathReport>,
    /// What was mounted into the container.
    pub binds: Vec<BindReport>,
    /// The container's addresses.
    pub addresses: Vec<String>,
}

/// A name with an id or a version.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NamedReport {
    /// The name.
    pub name: Option<String>,
    /// The id, or the version.
    pub id: Option<String>,
}

/// A path of the host with its author.
#[derive(Debug, Clone, Serialize)]
pub struct PathReport {
    /// The path.
    pub path: Bytes,
    /// The file that names it.
    pub file: String,
    /// Whether it is the word of this host's own engine.
    pub is_own: bool,
}

/// A mount of the host's files into the container.
#[derive(Debug, Clone, Serialize)]
pub struct BindReport {
    /// Where the container had it.
    pub destination: Bytes,
    /// What it was on the host.
    #[serde(flatten)]
    pub source: PathReport,
}

impl MetadataReport {
    /// `None` for images that are held plainly, with nothing beside them.
    pub(super) fn of(origin: &Origin) -> Option<Self> {
        let Origin { layout, archive, metadata, written } = origin;
        if matches!(layout, Layout::ImagesDirectory) && archive.is_none() {
            return None;
        }
        Some(MetadataReport {
            words: format!("{}{}", layout.words(), archive.map_or("", Compression::words)),
            engine: NamedReport::of(&metadata.engine),
            criu_version: metadata.criu_version.clone(),
            container: NamedReport::of(&metadata.container),
            pod: NamedReport::of(&metadata.pod),
            pod_namespace: metadata.pod_namespace.clone(),
            image: metadata.image.clone(),
            written: written.and_then(Timestamp::to_rfc3339),
            root: metadata.root.as_ref().map(|root| PathReport::of(&root.value, root)),
            network_namespaces: metadata
                .network_namespaces
                .iter()
                .map(|recorded| PathReport::of(&recorded.value, recorded))
                .collect(),
            binds: metadata
                .binds
                .iter()
                .map(|recorded| BindReport {
                    destination: Bytes::of_path(&recorded.value.destination),
                    source: PathReport::of(&recorded.value.source, recorded),
                })
                .collect(),
            addresses: metadata.addresses.clone(),
        })
    }
}

impl NamedReport {
    fn of(named: &Named) -> Self {
        NamedReport { name: named.name.clone(), id: named.id.clone() }
    }
}

impl PathReport {
    fn of<T>(path: &Path, recorded: &Recorded<T>) -> Self {
        PathReport { path: Bytes::of_path(path), file: recorded.file.clone(), is_own: recorded.trust == Trust::Host }
    }
}
