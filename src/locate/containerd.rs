// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What containerd keeps of the containers of this host: for each a directory with its configuration, and its root
//! directory mounted in it. It says where a container is of which a checkpoint has only an id or a layer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::context::{Context, Recorded, Trust};
use super::folder::Folder;
use super::metadata::{self, Metadata};
use crate::system::dir::Directory;
use crate::system::mountinfo::{HostMount, option, unescape};
use crate::time::Timestamp;

/// Where containerd keeps its state, by default and for k3s.
pub(super) const STATES: [&str; 2] = ["/run/containerd", "/run/k3s/containerd"];
/// Where it keeps what outlives a boot, by default.
pub(super) const ROOT: &str = "/var/lib/containerd";
/// The directory of all containers in it, below one for each of containerd's namespaces.
pub(super) const TASKS: &str = "io.containerd.runtime.v2.task";
/// That of the CRI service.
const OF_KUBERNETES: &str = "k8s.io";

/// The layer that a container wrote to, by its images.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The upper directory of its root directory.
    pub upper: PathBuf,
    /// When the images were written.
    pub written: Timestamp,
    /// Whose word that is.
    pub trust: Trust,
}

/// Adds what this host's containerd says: of the pod's sandbox, and of the container whose root directory is one of these
/// mounts.
pub fn complete(context: &mut Context, layer: Option<&Layer>, mounts: &[HostMount]) {
    if let Some(Recorded { value: id, trust, .. }) = context.sandbox.clone().filter(|sandbox| is_id(&sandbox.value)) {
        for state in STATES {
            add_network(context, &Path::new(state).join(TASKS).join(OF_KUBERNETES).join(&id), trust);
        }
    }
    if let Some(layer) = layer.filter(|_| context.root.is_none()) {
        add_container(context, layer, mounts);
    }
}

/// The container that writes to the layer now. A layer that is younger than the images is another one in its place; an archive
/// has whole seconds of their time.
fn add_container(context: &mut Context, layer: &Layer, mounts: &[HostMount]) {
    let is_of_layer = |mount: &&HostMount| {
        let upper = option(&mount.options, b"upperdir=").map(unescape);
        mount.root == b"/" && upper.as_deref() == Some(layer.upper.as_os_str().as_bytes())
    };
    let roots = mounts.iter().filter(is_of_layer).map(|mount| Path::new(OsStr::from_bytes(&mount.mountpoint)));
    let mut containers = roots.filter_map(|root| Some((root, container_of(root)?)));
    let (Some((root, directory)), None) = (containers.next(), containers.next()) else { return };
    let born = Directory::open_exactly(&layer.upper).and_then(|upper| upper.identity()).ok().and_then(|it| it.born);
    if born.is_none_or(|born| born > layer.written.latest()) {
        return;
    }
    if let Some(trust) = add_network(context, directory, layer.trust) {
        context.set_root(root.to_owned(), &directory.join(metadata::CONFIG).to_string_lossy(), trust);
    }
}

/// The directory of the container whose root directory containerd mounts here.
fn container_of(root: &Path) -> Option<&Path> {
    let directory = root.parent().filter(|_| root.ends_with("rootfs"))?;
    let of_task = |state: &str| {
        let names = directory.strip_prefix(Path::new(state).join(TASKS)).ok()?;
        let is_plain = names.components().all(|name| matches!(name, Component::Normal(_)));
        (is_plain && names.components().count() == 2).then_some(directory)
    };
    STATES.into_iter().find_map(of_task)
}

/// Adds the network namespace of the container that has this directory, and says whose word that is.
fn add_network(context: &mut Context, directory: &Path, trust: Trust) -> Option<Trust> {
    let opened = Directory::open_exactly(directory).and_then(|found| found.reopened()).ok()?;
    let (paths, of_config) = metadata::network_namespaces(&Metadata::of(Folder::Host(opened)))?;
    let trust = trust.and(of_config);
    let file = directory.join(metadata::CONFIG);
    for path in paths {
        context.add_network_namespace(path, &file.to_string_lossy(), trust);
    }
    Some(trust)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_the_place_of_its_root_directory() {
        let tasks = "/run/containerd/io.containerd.runtime.v2.task";
        let of = |path: String| container_of(Path::new(&path)).map(Path::to_owned);
        assert_eq!(of(format!("{tasks}/default/job/rootfs")), Some(format!("{tasks}/default/job").into()));
        for other in [
            format!("{tasks}/default/job"),
            format!("{tasks}/default/job/rootfs/tmp"),
            format!("{tasks}/job/rootfs"),
            "/srv/default/job/rootfs".to_owned(),
        ] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }
}
