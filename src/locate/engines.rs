// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `docker:NAME` and the like: from what an operator calls a container to its checkpoints, by the engine's own files.
//!
//! No client and no daemon is asked. The files are read only if nobody but root can have written them, because a name decides
//! whose residue is removed.

mod bolt;
pub mod containerd;
mod cri;
mod ctr;
pub mod docker;
mod incus;
mod kubernetes;
mod lxc;
pub mod oci_runtime;
mod pick;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::containerd::BoltError;
use self::pick::pick;
use super::collection::Reading;
use super::container::{At, Container};
use super::folder::Folder;
use super::own::{self, OwnError};
use super::podman::{self, PodmanError};
use super::{Collection, LocateError, collection, oci, search};

/// An engine whose containers can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// podman of root.
    Podman,
    /// Docker.
    Docker,
    /// containerd or CRI-O, by the ids of crictl.
    Cri,
    /// containerd, as ctr sees it.
    Ctr,
    /// LXC.
    Lxc,
    /// Incus or LXD.
    Incus,
    /// runc, crun.
    Runc,
    /// The kubelet.
    Kubernetes,
}

/// Why a name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// There is none of this name.
    #[error("{}{}{}; {}", engine.absent(typed), near(nearest), may_have_it(unread), forms())]
    Absent {
        /// Of which.
        engine: Engine,
        /// The name.
        typed: String,
        /// Those that were perhaps meant.
        nearest: Vec<String>,
        /// What cannot be read, and may be of it.
        unread: Vec<PathBuf>,
    },
    /// There are several.
    #[error("{named} is ambiguous: {}; {}", means.join(", "), forms())]
    Ambiguous {
        /// What was typed.
        named: String,
        /// What it may mean.
        means: Vec<String>,
    },
    /// No engine has this prefix.
    #[error("there is no file {named}, and no engine is called so; {}", forms())]
    NoEngine {
        /// What was typed.
        named: String,
    },
    /// There is no file of this name, but a container.
    #[error("there is no file {named}; did you mean {}? {}", means.join(" or "), forms())]
    NoFile {
        /// What was typed.
        named: String,
        /// The containers.
        means: Vec<String>,
    },
    /// It was not checkpointed, or its images are gone.
    #[error("{named} has no checkpoint: there are no images in {}{}", place.display(), engine.elsewhere())]
    NoCheckpoint {
        /// Of which.
        engine: Engine,
        /// The container.
        named: String,
        /// Where they would be.
        place: PathBuf,
    },
    /// A file of the engine cannot be used.
    #[error("cannot find out which containers {} has", engine.words())]
    Own {
        /// Of which.
        engine: Engine,
        /// Why.
        source: OwnError,
    },
    /// podman's storage cannot be used.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// containerd's list cannot be used.
    #[error(transparent)]
    Bolt(#[from] BoltError),
}

/// How all names are written.
fn forms() -> String {
    let forms: Vec<&str> = Engine::ALL.iter().map(|engine| engine.form()).collect();
    format!("names are written {}", forms.join(", "))
}

fn near(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; the nearest are {}", nearest.join(", ")) }
}

fn may_have_it(unread: &[PathBuf]) -> String {
    match unread {
        [] => String::new(),
        [path] => format!("; {} cannot be read, and may be of it", path.display()),
        [path, ..] => {
            format!("; {} archives cannot be read, such as {}, and may be of it", unread.len(), path.display())
        }
    }
}

/// Whether archives are read for the names in them, which takes as long as they are large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Archives {
    Read,
    LeftOut,
}

impl Engine {
    /// All of them.
    pub const ALL: [Engine; 8] = [
        Engine::Podman,
        Engine::Docker,
        Engine::Cri,
        Engine::Ctr,
        Engine::Lxc,
        Engine::Incus,
        Engine::Runc,
        Engine::Kubernetes,
    ];

    /// What stands before the colon.
    pub const fn prefix(self) -> &'static str {
        match self {
            Engine::Podman => "podman",
            Engine::Docker => "docker",
            Engine::Cri => "cri",
            Engine::Ctr => "ctr",
            Engine::Lxc => "lxc",
            Engine::Incus => "incus",
            Engine::Runc => "runc",
            Engine::Kubernetes => "k8s",
        }
    }

    const fn form(self) -> &'static str {
        match self {
            Engine::Podman => "podman:NAME|ID",
            Engine::Docker => "docker:NAME|ID",
            Engine::Cri => "cri:ID",
            Engine::Ctr => "ctr:[NAMESPACE/]ID",
            Engine::Lxc => "lxc:NAME",
            Engine::Incus => "incus:[PROJECT/]NAME",
            Engine::Runc => "runc:ID",
            Engine::Kubernetes => "k8s:[NAMESPACE/]POD[/CONTAINER]",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Engine::Podman => "root's podman",
            Engine::Docker => "Docker",
            Engine::Cri => "the CRI of containerd or CRI-O",
            Engine::Ctr => "containerd",
            Engine::Lxc => "LXC",
            Engine::Incus => "Incus or LXD",
            Engine::Runc => "runc or crun",
            Engine::Kubernetes => "the kubelet",
        }
    }

    fn absent(self, typed: &str) -> String {
        let what = match self {
            Engine::Podman | Engine::Docker | Engine::Lxc | Engine::Cri | Engine::Ctr => "container",
            Engine::Incus => "instance",
            Engine::Runc => {
                return format!(
                    "runc and crun have no container {typed}, which they forget at its checkpoint: name its bundle"
                );
            }
            Engine::Kubernetes => return format!("the kubelet has no checkpoint of a pod {typed}"),
        };
        format!("{} has no {what} {typed}", self.words())
    }

    /// Where else a checkpoint may be, which the engine does not keep in mind.
    const fn elsewhere(self) -> &'static str {
        match self {
            Engine::Docker => "; a checkpoint with --checkpoint-dir is in that directory",
            Engine::Ctr => "; a checkpoint with --image-path is in that directory",
            Engine::Lxc => "; lxc-checkpoint writes to the directory that -D names",
            Engine::Runc => "; a checkpoint with --image-path is in that directory",
            Engine::Podman | Engine::Cri | Engine::Incus | Engine::Kubernetes => "",
        }
    }

    /// The containers that it knows.
    fn containers(self, archives: Archives) -> Result<Vec<Container>, NameError> {
        let own = |source| NameError::Own { engine: self, source };
        match self {
            Engine::Podman => Ok(podman::containers()?),
            Engine::Docker => docker::containers().map_err(own),
            Engine::Cri => cri::containers(archives),
            Engine::Ctr => ctr::containers(),
            Engine::Lxc => lxc::containers().map_err(own),
            Engine::Incus => incus::containers().map_err(own),
            Engine::Runc => oci_runtime::containers().map_err(own),
            Engine::Kubernetes => kubernetes::containers(archives),
        }
    }
}

/// The engine and the name, if what the user named is one: `PREFIX:NAME`.
pub(super) fn name_in(named: &Path) -> Option<(Engine, &OsStr)> {
    let bytes = named.as_os_str().as_bytes();
    Engine::ALL.into_iter().find_map(|engine| {
        let name = bytes.strip_prefix(engine.prefix().as_bytes())?.strip_prefix(b":")?;
        Some((engine, OsStr::from_bytes(name)))
    })
}

/// Finds the checkpoints of the container that the user named.
pub(super) fn locate(engine: Engine, name: &OsStr, reading: Reading<'_>) -> Result<Collection, LocateError> {
    let typed = name.to_string_lossy();
    let containers = pick(engine, engine.containers(Archives::Read)?, &typed)?;
    let mut found = Collection::default();
    let mut places = Vec::new();
    for Container { id, name, at, .. } in containers {
        for at in at {
            let mut of_container = in_place(at, reading, &mut places)?;
            for located in &mut of_container.located {
                located.context.container.complete(name.clone(), id.clone());
            }
            found.append(of_container);
        }
    }
    if found.located.is_empty() && found.unusable.is_empty() {
        let named = format!("{}:{typed}", engine.prefix());
        let place = places.into_iter().next().unwrap_or_default();
        return Err(NameError::NoCheckpoint { engine, named, place }.into());
    }
    Ok(found)
}

/// The checkpoints in a place of a container, which is noted in `places`.
fn in_place(at: At, reading: Reading<'_>, places: &mut Vec<PathBuf>) -> Result<Collection, LocateError> {
    let found = match at {
        At::Here(located) => return Ok(Collection::of(vec![*located])),
        At::Unusable(unusable) => return Ok(Collection { located: Vec::new(), unusable: vec![unusable] }),
        At::Directory(path) => {
            places.push(path.clone());
            let Some(directory) = own::directory(&path)? else { return Ok(Collection::default()) };
            search::in_entry(Folder::Host(directory), reading.work_dir).map(Collection::of)
        }
        At::Entries(path) => {
            places.push(path.clone());
            let Some(directory) = own::directory(&path)? else { return Ok(Collection::default()) };
            collection::locate(&directory, reading)
        }
        At::Image { store, digest } => {
            places.push(store.join("blobs").join(digest.replace(':', "/")));
            let Some(directory) = own::directory(&store)? else { return Ok(Collection::default()) };
            oci::locate_image(&directory, &digest, reading.work_dir, reading.progress).map(Collection::of)
        }
    };
    match found {
        Err(LocateError::NoImages { .. } | LocateError::OnlyPages { .. }) => Ok(Collection::default()),
        found => found,
    }
}

/// What is wrong with a path that does not exist, if it may have been meant as a name. For a word that was mistyped no archive
/// is read.
pub(super) fn explain_missing(named: &Path) -> Option<NameError> {
    let named = named.to_str()?;
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    if let Some((prefix, name)) = named.split_once(':') {
        let is_name = is_word(prefix) && name.split('/').all(is_word);
        return is_name.then(|| NameError::NoEngine { named: named.to_owned() });
    }
    if !is_word(named) {
        return None;
    }
    let means: Vec<String> = Engine::ALL
        .into_iter()
        .filter_map(|engine| {
            let found = pick(engine, engine.containers(Archives::LeftOut).ok()?, named).ok()?;
            (!found.is_empty()).then(|| format!("{}:{named}", engine.prefix()))
        })
        .collect();
    (!means.is_empty()).then(|| NameError::NoFile { named: named.to_owned(), means })
}

/// The names that begin with what was typed: of containers that have a checkpoint, as far as that is soon told.
pub fn completions(typed: &str) -> Vec<String> {
    let Some((engine, begin)) = name_in(Path::new(typed)) else {
        let prefixes = Engine::ALL.into_iter().map(|engine| format!("{}:", engine.prefix()));
        return prefixes.filter(|prefix| prefix.starts_with(typed)).collect();
    };
    let begin = begin.to_string_lossy();
    let mut names = Vec::new();
    for container in
        engine.containers(Archives::Read).unwrap_or_default().iter().filter(|container| has_checkpoint(container))
    {
        // The short names and ids only if no other begins so.
        let mut typed = container.names.iter().map(|name| name.typed.as_str()).filter(|name| name.starts_with(&*begin));
        names.extend(typed.next().map(|name| format!("{}:{name}", engine.prefix())));
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn has_checkpoint(container: &Container) -> bool {
    container.at.iter().any(|at| match at {
        At::Directory(path) => {
            let directory = own::directory(path).ok().flatten();
            directory.is_some_and(|directory| search::in_entry(Folder::Host(directory), None).is_ok())
        }
        At::Entries(path) => {
            let directory = own::directory(path).ok().flatten();
            let reading = Reading { work_dir: None, progress: &|_| {} };
            directory.is_some_and(|directory| collection::locate(&directory, reading).is_ok())
        }
        At::Image { .. } | At::Here(_) | At::Unusable(_) => true,
    })
}

#[cfg(test)]
mod tests;
