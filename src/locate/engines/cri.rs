// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The containers of Kubernetes by the ids of crictl: those of containerd and of CRI-O on this host, and the kubelet's archives.

use super::super::container::{At, Container};
use super::super::{Collection, own, podman};
use super::containerd;
use super::{Archives, Engine, NameError, kubernetes};

/// All containers.
pub(super) fn containers(archives: Archives) -> Result<Vec<Container>, NameError> {
    let own = |source| NameError::Own { engine: Engine::Cri, source };
    let mut found = Vec::new();
    for root in containerd::roots().map_err(own)? {
        let store = containerd::of_cri(&root);
        for id in own::names(&store).map_err(own)? {
            found.push(Container::with_id(id.clone(), None, vec![At::Directory(store.join(id))]));
        }
    }
    // CRI-O keeps its containers as podman does, in the same storage. Their names are podman's own.
    found.extend(podman::containers()?.into_iter().filter_map(|Container { id, at, .. }| {
        let at = at.into_iter().filter(|at| matches!(at, At::Directory(_))).collect();
        Some(Container::with_id(id?, None, at))
    }));
    if archives == Archives::Read {
        let Collection { located, unusable } = kubernetes::archived()?;
        for located in located {
            if let Some(id) = located.context.container.id.clone() {
                found.push(Container::with_id(id, None, vec![At::Here(Box::new(located))]));
            }
        }
        found.extend(unusable.into_iter().map(Container::unread));
    }
    Ok(found)
}
