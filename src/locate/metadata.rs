// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the metadata that runtimes and engines store next to the images.
//!
//! It decodes only the fields that are used, from files of bounded size. An unusable file causes a note and does not
//! affect the images.

mod docker;
mod engine;
mod image;
mod spec;

use std::io::{self, Read};
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::context::{Context, Trust};
use super::folder::{Folder, ImageFile};
use super::layout::Layout;
use crate::causes::with_causes;
use crate::json::{self, DecodeError};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError};
use crate::time::Timestamp;

pub(super) use image::{annotations, retain_known};
pub(super) use spec::network_namespaces;

/// The configuration of a bundle.
pub(super) const CONFIG: &str = "config.json";
/// What makes a directory the checkpoint of a pod.
pub(super) const POD_OPTIONS: &str = "pod.options";
/// What leads to the archives of a pod's containers.
pub(super) const POD_MANIFEST: &str = "checkpoint-manifest.json";
/// The configuration of a pod, as the kubelet gave it.
pub(super) const POD_CONFIGURATION: &str = "pod-config.json";
/// No metadata is larger than this; a container's configuration has some ten kilobytes.
pub(super) const SIZE_LIMIT: u64 = 8 * 1024 * 1024;

/// The names of all files that are read here: what of an archive has to be kept.
pub(super) const FILES: [&str; 9] = [
    CONFIG,
    "spec.dump",
    "config.dump",
    "bind.mounts",
    "network.status",
    "config.v2.json",
    POD_OPTIONS,
    POD_MANIFEST,
    POD_CONFIGURATION,
];

/// Why a file of metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// It cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no metadata.
    #[error("it is larger than {SIZE_LIMIT} bytes")]
    TooLarge,
    /// It cannot be decoded.
    #[error(transparent)]
    Json(#[from] DecodeError),
}

/// The files of a container's directory, and their authors.
pub(super) struct Metadata {
    folder: Folder,
    trust: Trust,
}

impl Metadata {
    /// Those in a directory: of this host's engine, if nobody else can have written them.
    pub(super) fn of(folder: Folder) -> Self {
        let trust = folder.host().map_or(Trust::Stranger, trust_in_directory);
        Metadata { folder, trust }
    }

    /// Those of what was made to be carried elsewhere.
    pub(super) fn of_strangers(folder: Folder) -> Self {
        Metadata { folder, trust: Trust::Stranger }
    }

    /// Those of the container with this id, which the engine keeps beside this one.
    fn beside(&self, id: &str) -> Option<Self> {
        let folder = self.folder.parent()?.below(id).ok()??;
        Some(self.with(folder))
    }

    /// The directory that holds all of the engine's, where this one is `containers/ID` in it.
    fn data_root(&self) -> Option<Self> {
        Some(self.with(self.folder.parent()?.parent()?))
    }

    /// Those in a directory below this one.
    fn below(&self, relative: &str) -> Option<Self> {
        Some(self.with(self.folder.below(relative).ok()??))
    }

    /// Those in another directory of the same engine.
    fn with(&self, folder: Folder) -> Self {
        let trust = folder.host().map_or(Trust::Stranger, trust_in_directory);
        Metadata { folder, trust: self.trust.and(trust) }
    }

    /// A path below this directory, if it is one of this host.
    fn path_of(&self, names: &[&str]) -> Option<PathBuf> {
        let directory = self.folder.host()?.location().ok()?;
        Some(names.iter().fold(directory, |path, name| path.join(name)))
    }

    /// A file of this host's engine that can be decoded, with its author. `None` if there is none; one that
    /// cannot be used is noted.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str, notes: &mut Vec<String>) -> Option<(T, Trust)> {
        Self::usable(name, self.decode(name), notes)
    }

    /// A file with one line of text, in the same way.
    fn text(&self, name: &str, notes: &mut Vec<String>) -> Option<(String, Trust)> {
        let read = self
            .bytes(name)
            .map(|read| read.map(|(bytes, trust)| (String::from_utf8_lossy(&bytes).trim_end().to_owned(), trust)));
        Self::usable(name, read, notes)
    }

    /// What was read of a file; a note says why it cannot be used.
    fn usable<T>(
        name: &str,
        read: Result<Option<(T, Trust)>, MetadataError>,
        notes: &mut Vec<String>,
    ) -> Option<(T, Trust)> {
        read.unwrap_or_else(|error| {
            notes.push(format!("{name} beside the images is not used: {}", with_causes(&error)));
            None
        })
    }

    /// A file that can be decoded, with its author; the error says why it cannot be used.
    pub(super) fn decode<T: DeserializeOwned>(&self, name: &str) -> Result<Option<(T, Trust)>, MetadataError> {
        let Some((bytes, trust)) = self.bytes(name)? else { return Ok(None) };
        Ok(Some((json::decode(&bytes)?, trust)))
    }

    fn bytes(&self, name: &str) -> Result<Option<(Vec<u8>, Trust)>, MetadataError> {
        let Some(file) = self.folder.open(name)? else { return Ok(None) };
        let trust = self.trust_in(&file);
        let mut bytes = Vec::new();
        let read = file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
        if read as u64 > SIZE_LIMIT {
            return Err(MetadataError::TooLarge);
        }
        Ok(Some((bytes, trust)))
    }

    /// When a file was last written.
    fn written(&self, name: &str) -> Option<Timestamp> {
        Some(self.folder.open(name).ok()??.written?.said)
    }

    /// Whose word an id in a file is. It leads to what this host's engine keeps under that id, wherever the file came from.
    fn trust_in_id(&self, name: &str) -> Trust {
        match self.folder.open(name) {
            Ok(Some(file)) if file.author == Author::Trusted => Trust::Host,
            Ok(_) | Err(_) => Trust::Stranger,
        }
    }

    fn trust_in(&self, file: &ImageFile) -> Trust {
        if file.author == Author::Trusted { self.trust } else { Trust::Stranger }
    }
}

/// What the metadata says.
pub(super) fn read(metadata: &Metadata, layout: Layout) -> Context {
    let mut context = Context::default();
    if layout == Layout::Docker {
        docker::add(metadata, &mut context);
        return context;
    }
    spec::add(metadata, CONFIG, &mut context);
    spec::add(metadata, "spec.dump", &mut context);
    engine::add(metadata, &mut context);
    context
}

/// Whether the directory, and every one on the way to it, is root's and nobody else can write it.
fn trust_in_directory(directory: &Directory) -> Trust {
    match is_out_of_others_reach(directory) {
        Ok(true) => Trust::Host,
        _ => Trust::Stranger,
    }
}

fn is_out_of_others_reach(directory: &Directory) -> Result<bool, FileError> {
    if directory.author() != Ok(Author::Trusted) {
        return Ok(false);
    }
    match directory.parent()? {
        Some(parent) => is_out_of_others_reach(&parent),
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests;
