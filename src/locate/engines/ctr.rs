// SPDX-License-Identifier: Apache-2.0 OR MIT
//! containerd as ctr sees it: `ctr tasks checkpoint` makes an image with a name of its own, in the store of contents.

use std::collections::BTreeMap;

use super::super::container::{At, Container, Name};
use super::containerd::{self, List};
use super::{Engine, NameError};

/// How ctr calls the image of a checkpoint: this, the id of the container, a colon and the time.
const CHECKPOINT: &str = "containerd.io/checkpoint/";

/// All containers, and those of which only a checkpoint is left.
pub(super) fn containers() -> Result<Vec<Container>, NameError> {
    let own = |source| NameError::Own { engine: Engine::Ctr, source };
    let mut found = Vec::new();
    for root in containerd::roots().map_err(own)? {
        let store = containerd::contents(&root);
        for (namespace, content) in List::of(&root)?.0 {
            let mut places: BTreeMap<String, Vec<At>> = BTreeMap::new();
            for id in content.containers.into_keys() {
                let tasks = containerd::tasks(&namespace, &id).map(At::Directory);
                places.insert(id.clone(), tasks.collect());
            }
            for (name, digest) in content.images {
                let Some(id) = container_of(&name) else { continue };
                places.entry(id.to_owned()).or_default().push(At::Image { store: store.clone(), digest });
            }
            found.extend(places.into_iter().map(|(id, at)| container(&namespace, id, at)));
        }
    }
    Ok(found)
}

fn container(namespace: &str, id: String, at: Vec<At>) -> Container {
    let whole = format!("{namespace}/{id}");
    let names = [&id, &whole].map(|typed| Name { typed: typed.clone(), means: whole.clone() });
    Container { names: names.into(), id: None, name: Some(id), at }
}

/// The container whose checkpoint the image of this name is.
fn container_of(image: &str) -> Option<&str> {
    let (id, time) = image.strip_prefix(CHECKPOINT)?.split_once(':')?;
    (!id.is_empty() && !time.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_image_tells_the_container() {
        assert_eq!(container_of("containerd.io/checkpoint/job:11-27-2026-20:01:02"), Some("job"));
        for other in ["docker.io/library/busybox:latest", "containerd.io/checkpoint/job", "containerd.io/checkpoint/:x"]
        {
            assert_eq!(container_of(other), None, "{other}");
        }
    }
}
