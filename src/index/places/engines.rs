// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the engines other than podman keep images: Docker, containerd, the kubelet, runc and crun, LXC, Incus, zeropod.
//!
//! A configuration, or the state of a container, only says where to look. It is read only if nobody but root can have
//! written it.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::unseen::{Unseen, Why};
use super::super::{Engine, Holder};
use super::{Base, Place, Places, walk};
use crate::host;
use crate::json;
use crate::system::author::Author;
use crate::system::dir::Directory;
use crate::system::way;

/// No configuration or state is larger.
const SIZE_LIMIT: u64 = 8 * 1024 * 1024;

/// A store that is at one place on every host.
struct Store {
    engine: Engine,
    path: &'static str,
    patterns: &'static [&'static str],
}

const STORES: [Store; 9] = [
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
    Store {
        engine: Engine::Kubelet,
        path: "/var/lib/kubelet",
        patterns: &[
            "checkpoints/*.tar",
            "checkpoints/*/checkpoint",
            "pod-checkpoints/*.tar",
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
const ARCHIVES: [&str; 1] = ["/var/lib/containerd/io.containerd.content.v1.content/blobs"];

/// Where runtimes keep the state of a container, in a directory of its own.
const STATES: [(&str, &str); 4] =
    [("/run/runc", "*"), ("/run/crun", "*"), ("/run/docker/runtime-runc", "*/*"), ("/run/containerd/runc", "*/*")];

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
    for (path, pattern) in STATES {
        add_bundles(places, Path::new(path), pattern);
    }
}

fn add_store(places: &mut Places, engine: Engine, path: PathBuf, patterns: &[&'static str]) {
    let patterns: Vec<walk::Pattern> = patterns.iter().map(|pattern| walk::Pattern::of(pattern)).collect();
    places.add(&Base::Store(path), &patterns, &Holder { engine: Some(engine), ..Holder::default() });
}

/// Docker's configuration.
#[derive(Debug, Default, Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
    /// The name of the option until 17.05.
    graph: Option<PathBuf>,
}

fn add_docker(places: &mut Places) {
    const CONFIGURATION: &str = "/etc/docker/daemon.json";
    let configured: Option<Daemon> = read(places, Path::new(CONFIGURATION));
    let root = configured.and_then(|daemon| daemon.data_root.or(daemon.graph)).filter(|path| path.is_absolute());
    let root = root.unwrap_or_else(|| PathBuf::from("/var/lib/docker"));
    // With `userns-remap` the containers are in a directory of the user's numbers.
    add_store(places, Engine::Docker, root, &["containers/+/checkpoints/*", "*/containers/+/checkpoints/*"]);
}

/// The state of a container: of runc `config.labels`, of crun `bundle`.
#[derive(Debug, Default, Deserialize)]
struct ContainerState {
    bundle: Option<PathBuf>,
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    labels: Option<Vec<String>>,
}

impl ContainerState {
    fn bundle(self) -> Option<PathBuf> {
        let labels = self.config.and_then(|config| config.labels).unwrap_or_default();
        let label = labels.iter().find_map(|label| label.strip_prefix("bundle=")).map(PathBuf::from);
        self.bundle.or(label).filter(|path| path.is_absolute())
    }
}

/// The bundles of the containers that have a state: their images are in `checkpoint`, unless the user said otherwise.
fn add_bundles(places: &mut Places, states: &Path, pattern: &'static str) {
    let mut found = Places::default();
    found.add(&Base::Store(states.to_owned()), &[walk::Pattern::of(pattern)], &Holder::default());
    places.unseen.append(&mut found.unseen);
    for container in found.list {
        let state = ["state.json", "status"].map(|file| container.path().join(file));
        let state = state.iter().find_map(|path| read::<ContainerState>(places, path));
        let Some(bundle) = state.and_then(ContainerState::bundle) else { continue };
        let name = container.relative.file_name().map(|name| name.to_string_lossy().into_owned());
        let holder = Holder { engine: Some(Engine::OciRuntime), container: name, ..Holder::default() };
        let Ok(relative) = bundle.strip_prefix("/") else { continue };
        places.list.push(Place::in_store(Path::new("/"), relative.join("checkpoint"), holder));
    }
}

/// A document of root's; `None` if there is none. What is there and cannot be used is said.
fn read<T: DeserializeOwned + Send + 'static>(places: &mut Places, path: &Path) -> Option<T> {
    let theirs = path.to_owned();
    let why = match host::answer(&[path], move || decode(&theirs)) {
        Some(Ok(document)) => return document,
        Some(Err(why)) => Why::Unreadable(why),
        None => Why::Silent,
    };
    places.unseen.push(Unseen { place: path.to_owned(), why });
    None
}

fn decode<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let directory = match way::open(parent) {
        Ok(directory) => directory,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let Some(file) = directory.read_file(name).map_err(|error| error.to_string())? else { return Ok(None) };
    if directory.author_of(&file) != Ok(Author::Trusted) {
        return Err("users other than root can write it".to_owned());
    }
    let mut bytes = Vec::new();
    let length = file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if length as u64 > SIZE_LIMIT {
        return Err(format!("it is larger than {SIZE_LIMIT} bytes"));
    }
    json::decode(&bytes).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(state: &str) -> Option<PathBuf> {
        json::decode::<ContainerState>(state.as_bytes()).unwrap().bundle()
    }

    #[test]
    fn the_state_of_a_container_names_its_bundle() {
        let runc = r#"{"id":"a","config":{"labels":["x=y","bundle=/srv/a"]}}"#;
        assert_eq!(bundle(runc), Some(PathBuf::from("/srv/a")));
        assert_eq!(bundle(r#"{"pid":7,"bundle":"/srv/b"}"#), Some(PathBuf::from("/srv/b")));
        assert_eq!(bundle(r#"{"config":{"labels":["bundle=relative"]}}"#), None);
        assert_eq!(bundle(r#"{"config":{}}"#), None);
    }

    #[test]
    fn only_a_document_of_roots_is_read() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("daemon.json");
        assert!(matches!(decode::<Daemon>(&path), Ok(None)));
        std::fs::write(&path, r#"{"data-root":"/srv/docker"}"#).unwrap();
        let found: Daemon = decode(&path).unwrap().unwrap();
        assert_eq!(found.data_root, Some(PathBuf::from("/srv/docker")));
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(decode::<Daemon>(&path).is_err());
        std::fs::write(&path, "{").unwrap();
        assert!(decode::<Daemon>(&path).is_err());
    }
}
