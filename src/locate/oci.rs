// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the checkpoints in container images: OCI image layouts, and the output of `docker save`.
//!
//! An image layout is a directory of blobs (`blobs/ALGORITHM/DIGEST`) with an `index.json` that leads, through indexes
//! and manifests, to layers, which are archives (OCI image specification, "Image Layout"). Checkpoints are images whose
//! only layer is an engine's export (podman's `--create-image`, the Kubernetes engines), and containerd's, whose index
//! names the CRIU images next to the manifest of the container's image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::blobs::{Blob, Blobs, DOCKER_MANIFEST, DOCUMENT_LIMIT, INDEX};
use super::contents::{self, Contents, Origin};
use super::folder::Folder;
use super::layout::Layout;
use super::metadata;
use super::{LocateError, Located, search};
use crate::archive::{ArchiveError, Entries, Meter, Progress, Source};
use crate::json;
use crate::system::dir::{Directory, Reach};

/// The longest chain of indexes that leads to a manifest.
const DEPTH: usize = 4;
/// No layout leads to more manifests and indexes.
const DOCUMENTS: usize = 1024;
/// The most layers in all images of a layout. Engines make images with up to 127.
const LAYERS: usize = 4096;
/// The end of the media type that containerd gives to the images of CRIU
/// (`application/vnd.containerd.container.criu.checkpoint.criu.tar`).
const CONTAINERD_IMAGES: &str = "criu.checkpoint.criu.tar";

/// Whether a directory is an image layout.
pub(super) fn is_layout(directory: &Directory) -> bool {
    let has = |name: &str| directory.entry(name.as_ref()).is_ok_and(|entry| entry.is_some());
    has(INDEX) && has("blobs")
}

/// Finds the checkpoints in a layout that was read from an archive.
pub(super) fn locate(blobs: &Blobs, path: &Path, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    find(&BlobStore::Archived(blobs), path, work_dir)
}

/// Finds the checkpoints in a layout in a directory.
pub(super) fn locate_in_directory(
    directory: &Directory,
    work_dir: Option<&Path>,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Vec<Located>, LocateError> {
    find(&BlobStore::Host(directory, Meter::new(progress)), directory.path(), work_dir)
}

/// Finds the checkpoints in the image with this digest, in a directory of blobs that has no index.
pub(super) fn locate_image(
    store: &Directory,
    digest: &str,
    work_dir: Option<&Path>,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Vec<Located>, LocateError> {
    let blobs = BlobStore::Host(store, Meter::new(progress));
    let mut images = LayoutImages { path: store.path(), all: Vec::new(), layers: 0 };
    let image = Descriptor { media_type: None, digest: digest.to_owned() };
    let index = Document { manifests: Some(vec![image]), layers: None, annotations: None };
    walk(&blobs, index, DEPTH, &mut BTreeSet::new(), &mut images)?;
    in_images(&blobs, images.all, store.path(), work_dir)
}

/// An index or a manifest, as far as it matters.
#[derive(Debug, Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// What a document says of a blob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
}

/// One image in the `manifest.json` of `docker save`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    layers: Vec<String>,
}

/// An image that may be a checkpoint.
#[derive(Debug, Default)]
struct Image {
    /// The paths of its layers, the lowest first.
    layers: Vec<String>,
    annotations: BTreeMap<String, String>,
}

/// The images to which a layout leads.
struct LayoutImages<'a> {
    path: &'a Path,
    all: Vec<Image>,
    layers: usize,
}

impl LayoutImages<'_> {
    fn add(&mut self, image: Image) -> Result<(), LocateError> {
        self.layers += image.layers.len();
        if self.layers > LAYERS {
            return Err(LocateError::TooManyLayers { path: self.path.to_owned(), limit: LAYERS });
        }
        self.all.push(image);
        Ok(())
    }
}

impl Descriptor {
    /// Where the blob is; `None` where the digest is no name.
    fn path(&self) -> Option<String> {
        let (algorithm, digest) = self.digest.split_once(':')?;
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_name(algorithm) && is_name(digest)).then(|| format!("blobs/{algorithm}/{digest}"))
    }
}

/// Where the blobs are read.
enum BlobStore<'a> {
    Archived(&'a Blobs),
    Host(&'a Directory, Meter<'a>),
}

impl BlobStore<'_> {
    fn document(&self, path: &str) -> Result<Option<Vec<u8>>, LocateError> {
        let directory = match self {
            BlobStore::Archived(blobs) => {
                let Some(Blob::Document(document)) = blobs.get(path) else { return Ok(None) };
                return Ok(Some(document.clone()));
            }
            BlobStore::Host(directory, _) => directory,
        };
        let Some(file) = opened(directory, path)? else { return Ok(None) };
        let mut document = Vec::new();
        let failed =
            |error| LocateError::Archive { path: directory.path().join(path), source: ArchiveError::Read(error) };
        file.take(DOCUMENT_LIMIT + 1).read_to_end(&mut document).map_err(failed)?;
        Ok((document.len() as u64 <= DOCUMENT_LIMIT).then_some(document))
    }

    /// What matters of a layer; `None` if there is none, or what is there is no archive.
    fn layer(&self, path: &str) -> Result<Option<Contents>, LocateError> {
        let (directory, meter) = match self {
            BlobStore::Archived(blobs) => {
                let Some(Blob::Layer(tree)) = blobs.get(path) else { return Ok(None) };
                return Ok(Some(Contents { tree: tree.clone(), notes: Vec::new() }));
            }
            BlobStore::Host(directory, meter) => (directory, meter),
        };
        let Some(file) = opened(directory, path)? else { return Ok(None) };
        let source = Source::of(file, &directory.path().join(path))?;
        let failed = |error| LocateError::Archive { path: source.path().to_owned(), source: error };
        match Entries::open(&source, meter) {
            Err(ArchiveError::NoArchive { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
            Ok(mut entries) => {
                let content = contents::read(&mut entries, Origin::of(&source)).map_err(failed)?;
                entries.finish().map_err(failed)?;
                Ok(Some(content))
            }
        }
    }
}

/// Opens a file of the layout, by names alone.
fn opened(layout: &Directory, path: &str) -> Result<Option<std::fs::File>, LocateError> {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    match layout.below(Path::new(above), Reach::AcrossMounts) {
        Ok(directory) => Ok(directory.read_file(name.as_ref())?),
        Err(error) if error.is_no_directory() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn find(blobs: &BlobStore<'_>, path: &Path, work_dir: Option<&Path>) -> Result<Vec<Located>, LocateError> {
    in_images(blobs, images(blobs, path)?, path, work_dir)
}

/// The checkpoints in these images.
fn in_images(
    blobs: &BlobStore<'_>,
    images: Vec<Image>,
    path: &Path,
    work_dir: Option<&Path>,
) -> Result<Vec<Located>, LocateError> {
    let mut found = Vec::new();
    for image in images {
        let mut whole = Contents::default();
        for layer in &image.layers {
            if let Some(Contents { tree, notes }) = blobs.layer(layer)? {
                whole.tree.lay_over(&tree);
                whole.notes.extend(notes);
            }
        }
        let checkpoints = match search::locate(Folder::of_archive(whole.tree, path), work_dir) {
            Ok(checkpoints) => checkpoints,
            Err(LocateError::NoImages { .. }) => continue,
            Err(error) => return Err(error),
        };
        for mut checkpoint in checkpoints {
            checkpoint.layout = Layout::OciImage;
            metadata::annotations(&image.annotations, &mut checkpoint.context);
            checkpoint.context.notes.extend(whole.notes.iter().cloned());
            found.push(checkpoint);
        }
        if found.len() > search::CHECKPOINTS_LIMIT {
            return Err(LocateError::TooManyCheckpoints { path: path.to_owned(), limit: search::CHECKPOINTS_LIMIT });
        }
    }
    if found.is_empty() { Err(LocateError::NoImages { path: path.to_owned() }) } else { Ok(found) }
}

/// The images to which the layout leads.
fn images(blobs: &BlobStore<'_>, path: &Path) -> Result<Vec<Image>, LocateError> {
    let invalid = |name: &str, source| LocateError::Document { path: path.join(name), source };
    let mut images = LayoutImages { path, all: Vec::new(), layers: 0 };
    if let Some(index) = blobs.document(INDEX)? {
        let index = json::decode(&index).map_err(|error| invalid(INDEX, error))?;
        let mut seen = BTreeSet::new();
        walk(blobs, index, DEPTH, &mut seen, &mut images)?;
    } else if let Some(manifest) = blobs.document(DOCKER_MANIFEST)? {
        let all: Vec<DockerImage> = json::decode(&manifest).map_err(|error| invalid(DOCKER_MANIFEST, error))?;
        for image in all {
            images.add(Image { layers: image.layers, ..Image::default() })?;
        }
    }
    Ok(images.all)
}

/// Adds the images to which a document leads. A blob that is no document leads to none.
fn walk(
    blobs: &BlobStore<'_>,
    document: Document,
    depth: usize,
    seen: &mut BTreeSet<String>,
    images: &mut LayoutImages<'_>,
) -> Result<(), LocateError> {
    let mut annotations = document.annotations.unwrap_or_default();
    metadata::retain_known(&mut annotations);
    if let Some(layers) = document.layers {
        let layers = layers.iter().filter_map(Descriptor::path).collect();
        images.add(Image { layers, annotations: annotations.clone() })?;
    }
    for descriptor in document.manifests.unwrap_or_default() {
        let Some(path) = descriptor.path() else { continue };
        if depth == 0 || seen.len() == DOCUMENTS || !seen.insert(path.clone()) {
            continue;
        }
        if descriptor.media_type.is_some_and(|kind| kind.ends_with(CONTAINERD_IMAGES)) {
            images.add(Image { layers: vec![path], annotations: annotations.clone() })?;
            continue;
        }
        let document = blobs.document(&path)?;
        if let Some(Ok(document)) = document.map(|document| json::decode(&document)) {
            walk(blobs, document, depth - 1, seen, images)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
