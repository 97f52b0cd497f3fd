// SPDX-License-Identifier: Apache-2.0 OR MIT
//! runc and crun: the state of a container names its bundle. They remove it once the container has ended, so after most
//! checkpoints only the bundle is left.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::container::{At, Container, Name};
use super::super::own::{self, OwnError};

/// Where runtimes keep the state of a container, in a directory of its own, and how many directories below.
pub const STATES: [(&str, Depth); 4] = [
    ("/run/runc", Depth::Containers),
    ("/run/crun", Depth::Containers),
    ("/run/docker/runtime-runc", Depth::Namespaces),
    ("/run/containerd/runc", Depth::Namespaces),
];

/// What the directories in a directory of states are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Of containers.
    Containers,
    /// Of namespaces of an engine, each with those of containers.
    Namespaces,
}

/// The state of a container: of runc `config.labels`, of crun `bundle`.
#[derive(Debug, Default, Deserialize)]
struct State {
    bundle: Option<PathBuf>,
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    labels: Option<Vec<String>>,
}

impl State {
    fn bundle(self) -> Option<PathBuf> {
        let labels = self.config.and_then(|config| config.labels).unwrap_or_default();
        let label = labels.iter().find_map(|label| label.strip_prefix("bundle=")).map(PathBuf::from);
        self.bundle.or(label).filter(|path| path.is_absolute())
    }
}

/// The bundle of the container whose state is in this directory.
pub fn bundle(directory: &Path) -> Result<Option<PathBuf>, OwnError> {
    for file in ["state.json", "status"] {
        if let Some(state) = own::json::<State>(&directory.join(file))? {
            return Ok(state.bundle());
        }
    }
    Ok(None)
}

/// All containers that have a state.
pub(super) fn containers() -> Result<Vec<Container>, OwnError> {
    let mut found = Vec::new();
    for (states, depth) in STATES {
        let states = Path::new(states);
        let stores = match depth {
            Depth::Containers => vec![states.to_owned()],
            Depth::Namespaces => own::names(states)?.into_iter().map(|name| states.join(name)).collect(),
        };
        for store in stores {
            for id in own::names(&store)? {
                let bundle = bundle(&store.join(&id)).unwrap_or_default();
                // Two engines may have a container of one id.
                let means = store.join(&id).display().to_string();
                let names = vec![Name { typed: id.clone(), means }];
                let at = bundle.into_iter().map(At::Directory).collect();
                found.push(Container { names, id: None, name: Some(id), at });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn the_state_of_a_container_names_its_bundle() {
        let bundle = |state: &str| json::decode::<State>(state.as_bytes()).unwrap().bundle();
        let runc = r#"{"id":"a","config":{"labels":["x=y","bundle=/srv/a"]}}"#;
        assert_eq!(bundle(runc), Some(PathBuf::from("/srv/a")));
        assert_eq!(bundle(r#"{"pid":7,"bundle":"/srv/b"}"#), Some(PathBuf::from("/srv/b")));
        assert_eq!(bundle(r#"{"config":{"labels":["bundle=relative"]}}"#), None);
        assert_eq!(bundle(r#"{"config":{}}"#), None);
    }
}
