// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The blobs of container images in an archive: documents, and layers, which are archives.

use std::collections::BTreeMap;

use super::tree::Tree;

/// No index or manifest is larger: the specification's own limit for registries.
pub(super) const DOCUMENT_LIMIT: u64 = 4 * 1024 * 1024;
/// The first document.
pub(super) const INDEX: &str = "index.json";
/// That of `docker save`.
pub(super) const DOCKER_MANIFEST: &str = "manifest.json";

/// A blob that matters.
#[derive(Debug)]
pub(super) enum Blob {
    /// An index or a manifest, perhaps.
    Document(Vec<u8>),
    /// What matters of a layer.
    Layer(Tree),
}

/// The blobs of a layout in an archive, by their paths. In an archive they may stand before what leads to them.
#[derive(Debug, Default)]
pub(super) struct Blobs(BTreeMap<Vec<u8>, Blob>);

impl Blobs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Blob> {
        self.0.get(path.as_bytes())
    }

    pub(super) fn add(&mut self, path: Vec<u8>, blob: Blob) {
        self.0.insert(path, blob);
    }
}

/// Whether the file at this path of an archive is, in a layout of images, a document or a layer.
pub(super) fn is_blob(path: &[u8]) -> bool {
    let Ok(path) = std::str::from_utf8(path) else { return false };
    let is_digest = |name: &str| name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match path.split('/').collect::<Vec<_>>()[..] {
        ["blobs", _, digest] => is_digest(digest),
        [INDEX | DOCKER_MANIFEST] => true,
        // `docker save` before its version 25, and podman's docker-archive.
        [layer] => layer.strip_suffix(".tar").is_some_and(is_digest),
        [digest, "layer.tar"] => is_digest(digest),
        _ => false,
    }
}
