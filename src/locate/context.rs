// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a runtime's metadata adds to the images: the container's root, network namespace and volumes, and the owner of
//! the checkpoint.
//!
//! These are hints. Nothing here is residue, and nothing is removed because of it. At most it says where to look, or
//! ties a network namespace to the checkpoint, and only if this host's own engine wrote it. [`Trust`] makes that
//! distinction: a path from somebody's archive can be any path of this host.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::time::Timestamp;

/// A container is given one network namespace; several files tell of it.
const NAMESPACES_LIMIT: usize = 16;
/// Whoever wrote the metadata may have written binds without end, and each is compared with each.
const BINDS_LIMIT: usize = 1024;
/// The addresses are only for people.
const ADDRESSES_LIMIT: usize = 64;
/// No name or id is longer: those of Kubernetes have up to 253 characters.
const NAME_LIMIT: usize = 256;
/// `PATH_MAX`: no path that can be opened is as long.
const PATH_LIMIT: usize = 4096;

/// What is known of a checkpoint beside its images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The engine that made the checkpoint, and its version.
    pub engine: Named,
    /// The version of CRIU, which no image records.
    pub criu_version: Option<String>,
    /// The container.
    pub container: Named,
    /// The pod that it was in.
    pub pod: Named,
    /// The namespace of Kubernetes that the pod was in.
    pub pod_namespace: Option<String>,
    /// The image that the container was made from.
    pub image: Option<String>,
    /// The id of the sandbox that the pod is to containerd.
    pub sandbox: Option<Recorded<String>>,
    /// The container's root directory on the host that dumped it.
    pub root: Option<Recorded<PathBuf>>,
    /// When the engine started the container last.
    pub started: Option<Recorded<Timestamp>>,
    /// When the engine noted that a restore failed, after which it has not started the container again.
    pub failed_restore: Option<Recorded<Timestamp>>,
    /// The network namespaces that were given to the container.
    pub network_namespaces: Vec<Recorded<PathBuf>>,
    /// The directories and files of the host that were mounted into the container.
    pub binds: Vec<Recorded<Bind>>,
    /// The addresses that the container had.
    pub addresses: Vec<String>,
    /// What of the metadata could not be used, in sentences.
    pub notes: Vec<String>,
}

/// A name, and what goes with it: an id or a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: Option<String>,
    /// The id of a container or pod, the version of an engine.
    pub id: Option<String>,
}

/// A fact with the file that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<T> {
    /// The fact.
    pub value: T,
    /// The file, by its name.
    pub file: String,
    /// Whose word it is.
    pub trust: Trust,
}

/// Whose word a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// That of this host's own engine: the file and every directory on the way to it are root's (or the user's who
    /// runs this), and nobody else can write them.
    Host,
    /// Somebody else's: it came in an archive, or others can write the file or a directory on the way.
    Stranger,
}

impl Trust {
    /// The host's only if both are.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Trust::Host, Trust::Host) => Trust::Host,
            (Trust::Stranger, _) | (_, Trust::Stranger) => Trust::Stranger,
        }
    }
}

/// A mount of the host's files into the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Where the container had it; runtimes use this as the key of an external mount.
    pub destination: PathBuf,
    /// What it was on the host.
    pub source: PathBuf,
}

impl Named {
    /// Takes what is not known yet.
    pub(super) fn complete(&mut self, name: Option<String>, id: Option<String>) {
        self.name = self.name.take().or(name.filter(|name| is_name(name)));
        self.id = self.id.take().or(id.filter(|id| is_name(id)));
    }
}

impl<T> Recorded<T> {
    /// The fact, if it is the word of this host's own engine.
    fn own(&self) -> Option<&T> {
        (self.trust == Trust::Host).then_some(&self.value)
    }
}

impl Context {
    /// Where on this host the container's root directory was, by the word of this host's engine.
    pub fn own_root(&self) -> Option<&Path> {
        self.root.as_ref()?.own().map(PathBuf::as_path)
    }

    /// When this host's engine started the container last.
    pub fn own_start(&self) -> Option<Timestamp> {
        self.started.as_ref()?.own().copied()
    }

    /// When this host's engine noted that a restore failed, and in which file. It has started the container last at the
    /// other time.
    pub fn own_failed_restore(&self) -> Option<(&Recorded<Timestamp>, Timestamp)> {
        let failed = self.failed_restore.as_ref().filter(|failed| failed.trust == Trust::Host)?;
        Some((failed, self.own_start()?))
    }

    /// What this host's engine had mounted into the container.
    pub fn own_binds(&self) -> impl Iterator<Item = &Bind> {
        self.binds.iter().filter_map(Recorded::own)
    }

    pub(super) fn add_network_namespace(&mut self, path: PathBuf, file: &str, trust: Trust) {
        if is_usable(&path) && add(&mut self.network_namespaces, path, file, trust, NAMESPACES_LIMIT) == Room::None {
            self.note_once(format!(
                "{file} names more than {NAMESPACES_LIMIT} network namespaces; the rest are ignored"
            ));
        }
    }

    pub(super) fn add_bind(&mut self, bind: Bind, file: &str, trust: Trust) {
        let is_usable = is_usable(&bind.source) && bind.destination.as_os_str().len() < PATH_LIMIT;
        if is_usable && add(&mut self.binds, bind, file, trust, BINDS_LIMIT) == Room::None {
            self.note_once(format!("{file} names more than {BINDS_LIMIT} mounts; the rest are ignored"));
        }
    }

    /// Adds what is an address, with or without the length of its prefix.
    pub(super) fn add_address(&mut self, text: String) {
        let (address, prefix) = text.split_once('/').unwrap_or((&text, "0"));
        let is_address = address.parse::<IpAddr>().is_ok() && prefix.parse::<u8>().is_ok();
        if is_address && self.addresses.len() < ADDRESSES_LIMIT {
            self.addresses.push(text);
        }
    }

    /// The version of CRIU, if none is known yet.
    pub(super) fn set_criu_version(&mut self, version: Option<String>) {
        self.criu_version = self.criu_version.take().or(version.filter(|version| is_name(version)));
    }

    /// The pod's namespace, if none is known yet.
    pub(super) fn set_pod_namespace(&mut self, namespace: Option<String>) {
        self.pod_namespace = self.pod_namespace.take().or(namespace.filter(|name| is_name(name)));
    }

    /// The container's image, if none is known yet.
    pub(super) fn set_image(&mut self, image: Option<String>) {
        self.image = self.image.take().or(image.filter(|image| is_name(image)));
    }

    fn note_once(&mut self, note: String) {
        if self.notes.last() != Some(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn set_started(&mut self, time: Timestamp, file: &str, trust: Trust) {
        self.started = Some(Recorded { value: time, file: file.to_owned(), trust });
    }

    pub(super) fn set_root(&mut self, path: PathBuf, file: &str, trust: Trust) {
        if is_usable(&path)
            && self.root.as_ref().is_none_or(|root| root.trust == Trust::Stranger && trust == Trust::Host)
        {
            self.root = Some(Recorded { value: path, file: file.to_owned(), trust });
        }
    }
}

/// Whether there was room for a fact.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    None,
}

/// Adds a fact once. That it also stands in a file which others can write takes nothing from it.
fn add<T: PartialEq>(facts: &mut Vec<Recorded<T>>, value: T, file: &str, trust: Trust, limit: usize) -> Room {
    if facts.len() >= limit {
        return Room::None;
    }
    let new = Recorded { value, file: file.to_owned(), trust };
    match facts.iter_mut().find(|known| known.value == new.value) {
        Some(known) if known.trust == Trust::Stranger => *known = new,
        Some(_) => {}
        None => facts.push(new),
    }
    Room::Enough
}

fn is_usable(path: &Path) -> bool {
    path.is_absolute() && path.as_os_str().len() < PATH_LIMIT
}

/// Whether it may be a name, an id or a version.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_LIMIT
}
