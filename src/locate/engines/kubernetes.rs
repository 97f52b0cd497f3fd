// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Pods by their names: in the archives that the kubelet keeps, and in containerd's containers, whose labels name the pod.

use std::path::Path;

use super::super::collection::{self, Reading};
use super::super::container::{At, Container, Name};
use super::super::own;
use super::super::{Collection, LocateError, Located, Unusable};
use super::containerd::{self, List};
use super::{Archives, Engine, NameError};

/// Where the kubelet has the checkpoints of containers, and those of whole pods.
const STORES: [&str; 2] = ["/var/lib/kubelet/checkpoints", "/var/lib/kubelet/pod-checkpoints"];
/// How it calls an archive: this, pod, underscore, namespace and more.
const ARCHIVE: &str = "checkpoint-";
/// containerd's namespace of the CRI service.
const OF_CRI: &str = "k8s.io";

/// Which container of which pod.
struct Place<'a> {
    namespace: Option<&'a str>,
    pod: &'a str,
    container: Option<&'a str>,
}

/// All containers of pods.
pub(super) fn containers(archives: Archives) -> Result<Vec<Container>, NameError> {
    let own = |source| NameError::Own { engine: Engine::Kubernetes, source };
    let mut found = Vec::new();
    if archives == Archives::Read {
        let Collection { located, unusable } = archived()?;
        found.extend(located.into_iter().filter_map(of_located));
        found.extend(unusable.into_iter().map(of_unusable));
    }
    for root in containerd::roots().map_err(own)? {
        let store = containerd::of_cri(&root);
        let Some(list) = List::of(&root)?.0.remove(OF_CRI) else { continue };
        for (id, labels) in list.containers {
            let label = |name: &str| labels.get(name).map(String::as_str);
            let Some(pod) = label("io.kubernetes.pod.name") else { continue };
            let (namespace, container) = (label("io.kubernetes.pod.namespace"), label("io.kubernetes.container.name"));
            // A sandbox has no container's name.
            if container.is_some() {
                found.push(Place { namespace, pod, container }.container(At::Directory(store.join(id))));
            }
        }
    }
    Ok(found)
}

/// The checkpoints in the kubelet's archives, and the archives that cannot be read.
pub(super) fn archived() -> Result<Collection, NameError> {
    let mut found = Collection::default();
    for store in STORES {
        found.append(collection_at(Path::new(store))?);
    }
    Ok(found)
}

fn collection_at(store: &Path) -> Result<Collection, NameError> {
    let own = |source| NameError::Own { engine: Engine::Kubernetes, source };
    let Some(directory) = own::directory(store).map_err(own)? else { return Ok(Collection::default()) };
    match collection::locate(&directory, Reading { work_dir: None, progress: &|_| {} }) {
        Ok(found) => Ok(found),
        Err(LocateError::NoImages { .. } | LocateError::OnlyPages { .. }) => Ok(Collection::default()),
        Err(error) => {
            Ok(Collection { located: Vec::new(), unusable: vec![Unusable { path: store.to_owned(), error }] })
        }
    }
}

fn of_located(located: Located) -> Option<Container> {
    let context = located.context.clone();
    let pod = context.pod.name.as_deref()?;
    let place =
        Place { namespace: context.pod_namespace.as_deref(), pod, container: context.container.name.as_deref() };
    Some(place.container(At::Here(Box::new(located))))
}

/// An archive that cannot be read is of the pod in its name.
fn of_unusable(unusable: Unusable) -> Container {
    let name = unusable.path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let pod = name.strip_prefix(ARCHIVE).and_then(|rest| rest.split_once('_')).map_or(name.as_str(), |(pod, _)| pod);
    Container { name: Some(pod.to_owned()), at: vec![At::Unusable(unusable)], ..Container::default() }
}

impl Place<'_> {
    /// What may be typed: `[NAMESPACE/]POD[/CONTAINER]`.
    fn container(&self, at: At) -> Container {
        let Place { namespace, pod, container } = self;
        let means = namespace.map_or((*pod).to_owned(), |namespace| format!("{namespace}/{pod}"));
        let of_pod = [(*pod).to_owned(), means.clone()].map(|typed| Name { typed, means: means.clone() });
        let of_container = container.iter().flat_map(|container| {
            [format!("{pod}/{container}"), format!("{means}/{container}")]
                .map(|typed| Name { typed, means: format!("{means}/{container}") })
        });
        let names: Vec<Name> = of_pod.into_iter().chain(of_container).collect();
        Container { names, id: None, name: container.map(str::to_owned), at: vec![at] }
    }
}

#[cfg(test)]
mod tests;
