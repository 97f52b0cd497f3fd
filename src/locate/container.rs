// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A container as an engine of this host knows it: what an operator calls it, and where its checkpoints may be.

use std::path::{Path, PathBuf};

use super::{Located, Unusable};

/// A container, an instance or a pod.
#[derive(Debug, Default)]
pub(super) struct Container {
    /// What may be typed for it.
    pub(super) names: Vec<Name>,
    /// Its id, of which the beginning may be typed too.
    pub(super) id: Option<String>,
    /// Its own name, for people.
    pub(super) name: Option<String>,
    /// Where its checkpoints may be.
    pub(super) at: Vec<At>,
}

/// What may be typed for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// What is typed.
    pub(super) typed: String,
    /// The one thing that it means. If what is typed means several, it is ambiguous.
    pub(super) means: String,
}

/// Where checkpoints may be.
#[derive(Debug)]
pub(super) enum At {
    /// In a directory of the engine's, where it has the images.
    Directory(PathBuf),
    /// In a directory that people use: in any entry.
    Entries(PathBuf),
    /// In a container image, which containerd keeps: the directory above `blobs`, and the digest of the image's index.
    Image {
        /// containerd's store of contents.
        store: PathBuf,
        /// `sha256:…`
        digest: String,
    },
    /// Here: it was read in order to find out whose it is.
    Here(Box<Located>),
    /// Perhaps in something that cannot be read.
    Unusable(Unusable),
}

impl Container {
    /// A container that has one name and means itself.
    pub(super) fn named(name: &str, at: Vec<At>) -> Self {
        Container { names: vec![Name::plain(name)], id: None, name: Some(name.to_owned()), at }
    }

    /// A container with an id, by which it is known if it has no name.
    pub(super) fn with_id(id: String, name: Option<String>, at: Vec<At>) -> Self {
        let by_name = name.iter().map(|name| Name { typed: name.clone(), means: id.clone() });
        let names = by_name.chain([Name { typed: id.clone(), means: id.clone() }]).collect();
        Container { names, id: Some(id), name, at }
    }

    /// Something that cannot be read, and may be any container's.
    pub(super) fn unread(unusable: Unusable) -> Self {
        Container { at: vec![At::Unusable(unusable)], ..Container::default() }
    }

    /// What cannot be read, if nothing tells whose it is.
    pub(super) fn unread_path(&self) -> Option<&Path> {
        match &self.at[..] {
            [At::Unusable(unusable)] if self.names.is_empty() && self.name.is_none() => Some(&unusable.path),
            _ => None,
        }
    }

    /// Whether this is something that cannot be read, and may be of what was typed.
    pub(super) fn is_perhaps(&self, typed: &str) -> bool {
        let is_unusable = self.names.is_empty() && self.at.iter().any(|at| matches!(at, At::Unusable(_)));
        is_unusable && self.name.as_deref().is_some_and(|name| typed.split('/').any(|part| part == name))
    }

    /// What a completion offers, and an error names: its name, else its id.
    pub(super) fn shown(&self) -> &str {
        self.names.first().map(|name| name.typed.as_str()).or(self.name.as_deref()).unwrap_or_default()
    }
}

impl Name {
    /// A name that means itself.
    pub(super) fn plain(name: &str) -> Self {
        Name { typed: name.to_owned(), means: name.to_owned() }
    }
}
