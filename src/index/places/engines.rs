// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the engines other than podman keep images: Docker, containerd, the kubelet, runc and crun, LXC, Incus, zeropod.
//!
//! A configuration, or the state of a container, only says where to look. It is read only if nobody but root can have
//! written it.

use std::path::{Path, PathBuf};

use super::super::unseen::{Unseen, Why};
use super::super::{Engine, Holder};
use super::{Base, Place, Places, walk};
use crate::causes::with_causes;
use crate::host;
use crate::locate::engines::{self, oci_runtime::Depth};
use crate::locate::own::OwnError;
use crate::system::dir::Directory;

/// A store that is at one place on every host.
struct Store {
    engine: Engine,
    path: &'static str,
    patterns: &'static [&'static str],
}

const STORES: [Store; 10] = [
    Store {
        engine: Engine::Containerd,
        path: "/var/lib/containerd",
        patterns: &[
            "io.containerd.grpc.v1.cri/containers/+/ctrd-restore/checkpoint",
            "io.containerd.grpc.v1.cri/containers/+/ctrd-checkpoint/checkpoint",
            "io.containerd.runtime.v2.task/*/+/work",
            "io.containerd.runtime.v2.task/*/+/checkpoint",
        ],
    },
    Store {
        engine: Engine::Containerd,
        path: "/run/containerd/io.containerd.runtime.v2.task",
        patterns: &["*/+/checkpoint", "*/+/work"],
    },
    // Here containerd has CRIU put the images, also for Docker, before it packs them: they stay if it is killed meanwhile.
    Store { engine: Engine::Containerd, path: "/tmp", patterns: &["ctrd-checkpoint*"] },
    Store {
        engine: Engine::Kubelet,
        path: "/var/lib/kubelet",
        patterns: &[
            "checkpoints/*.tar",
            "checkpoints/*/checkpoint",
            "pod-checkpoints/*.tar",
            "pod-checkpoints/*",
            "pod-checkpoints/*/+",
            "pod-checkpoints/*/+/checkpoint",
        ],
    },
    Store { engine: Engine::Lxc, path: "/var/lib/lxc", patterns: &["+/*", "+/*/*"] },
    Store { engine: Engine::Incus, path: "/var/lib/incus/storage-pools", patterns: INCUS },
    Store { engine: Engine::Incus, path: "/var/lib/lxd/storage-pools", patterns: INCUS },
    Store { engine: Engine::Incus, path: "/var/snap/lxd/common/lxd/storage-pools", patterns: INCUS },
    Store { engine: Engine::Zeropod, path: "/var/lib/zeropod/i", patterns: &["+/snapshot"] },
    Store { engine: Engine::OciRuntime, path: "/run/crun", patterns: &["+/checkpoint"] },
];

const INCUS: &[&str] = &["*/containers/+/state", "*/containers-snapshots/+/*/state"];

/// What only an engine can list: archives in a store of blobs.
const ARCHIVES: [&str; 2] = [
    "/var/lib/containerd/io.containerd.content.v1.content/blobs",
    "/var/lib/docker/containerd/daemon/io.containerd.content.v1.content/blobs",
];

/// Adds the stores.
pub(super) fn add(places: &mut Places) {
    add_docker(places);
    for Store { engine, path, patterns } in &STORES {
        add_store(places, *engine, PathBuf::from(path), patterns);
    }
    for path in ARCHIVES.map(PathBuf::from) {
        let theirs = path.clone();
        if host::answer(&[&path], move || Directory::open(&theirs).is_ok()) == Some(true) {
            places.unseen.push(Unseen { place: path, why: Why::Archives });
        }
    }
    for (path, depth) in engines::oci_runtime::STATES {
        let pattern = match depth {
            Depth::Containers => "*",
            Depth::Namespaces => "*/*",
        };
        add_bundles(places, Path::new(path), pattern);
    }
}

fn add_store(places: &mut Places, engine: Engine, path: PathBuf, patterns: &[&'static str]) {
    let patterns: Vec<walk::Pattern> = patterns.iter().map(|pattern| walk::Pattern::of(pattern)).collect();
    places.add(&Base::Store(path), &patterns, &Holder { engine: Some(engine), ..Holder::default() });
}

fn add_docker(places: &mut Places) {
    let root = asked(places, Path::new("/etc/docker"), engines::docker::data_root);
    let root = root.unwrap_or_else(|| PathBuf::from("/var/lib/docker"));
    // With `userns-remap` the containers are in a directory of the user's numbers.
    add_store(places, Engine::Docker, root, &["containers/+/checkpoints/*", "*/containers/+/checkpoints/*"]);
}

/// The bundles of the containers that have a state: their images are in `checkpoint`, unless the user said otherwise.
fn add_bundles(places: &mut Places, states: &Path, pattern: &'static str) {
    let mut found = Places::default();
    found.add(&Base::Store(states.to_owned()), &[walk::Pattern::of(pattern)], &Holder::default());
    places.unseen.append(&mut found.unseen);
    for container in found.list {
        let directory = container.path();
        let theirs = directory.clone();
        let bundle = asked(places, &directory, move || engines::oci_runtime::bundle(&theirs)).flatten();
        let Some(bundle) = bundle else { continue };
        let name = container.relative.file_name().map(|name| name.to_string_lossy().into_owned());
        let holder = Holder { engine: Some(Engine::OciRuntime), container: name, ..Holder::default() };
        let Ok(relative) = bundle.strip_prefix("/") else { continue };
        places.list.push(Place::in_store(Path::new("/"), relative.join("checkpoint"), holder));
    }
}

/// What an engine's own files say. What is there and cannot be used is said.
fn asked<T: Send + 'static>(
    places: &mut Places,
    path: &Path,
    ask: impl FnOnce() -> Result<T, OwnError> + Send + 'static,
) -> Option<T> {
    let why = match host::answer(&[path], ask) {
        Some(Ok(said)) => return Some(said),
        Some(Err(error)) => Why::Unreadable(with_causes(&error)),
        None => Why::Silent,
    };
    places.unseen.push(Unseen { place: path.to_owned(), why });
    None
}
