// SPDX-License-Identifier: Apache-2.0 OR MIT
//! runc and crun: the state of a container names its bundle. They remove it once the container has ended, so after most
//! checkpoints only the bundle is left.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde::Deserialize;

use super::super::container::{At, Container, Name};
use super::super::own::{self, OwnError};
use crate::system::dir::Directory;
use crate::time::Timestamp;

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

/// The file that runc writes beside the state of a container once it is checkpointed (`criuNotifications` in
/// `libcontainer/criu_linux.go`).
const CHECKPOINTED: &str = "checkpoint";

/// The state of a container: of runc `config.labels`, of crun `bundle`.
#[derive(Debug, Default, Deserialize)]
struct State {
    bundle: Option<PathBuf>,
    config: Option<Config>,
    init_process_pid: Option<u32>,
    init_process_start: Option<u64>,
}

/// A container that runc has checkpointed and not forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpointed {
    /// Where its state is.
    pub directory: PathBuf,
    /// Its bundle.
    pub bundle: Option<PathBuf>,
    /// Its first process: the pid, and when it started, in ticks since the boot.
    pub process: (u32, u64),
    /// When it was checkpointed.
    pub since: Timestamp,
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
    for (store, id) in states()? {
        let bundle = bundle(&store.join(&id)).unwrap_or_default();
        // Two engines may have a container of one id.
        let means = store.join(&id).display().to_string();
        let names = vec![Name { typed: id.clone(), means }];
        let at = bundle.into_iter().map(At::Directory).collect();
        found.push(Container { names, id: None, name: Some(id), at });
    }
    Ok(found)
}

/// Where the states are, and the ids of their containers.
fn states() -> Result<Vec<(PathBuf, String)>, OwnError> {
    let mut found = Vec::new();
    for (states, depth) in STATES {
        let states = Path::new(states);
        let stores = match depth {
            Depth::Containers => vec![states.to_owned()],
            Depth::Namespaces => own::names(states)?.into_iter().map(|name| states.join(name)).collect(),
        };
        for store in stores {
            found.extend(own::names(&store)?.into_iter().map(|id| (store.clone(), id)));
        }
    }
    Ok(found)
}

/// The containers that runc has checkpointed, and what could not be read.
pub fn checkpointed() -> Result<(Vec<Checkpointed>, Vec<OwnError>), OwnError> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for (store, id) in states()? {
        match checkpointed_at(store.join(id)) {
            Ok(container) => found.extend(container),
            Err(error) => unread.push(error),
        }
    }
    Ok((found, unread))
}

fn checkpointed_at(directory: PathBuf) -> Result<Option<Checkpointed>, OwnError> {
    let entry = |opened: Directory| opened.entry(CHECKPOINTED.as_ref());
    let Some(mark) = own::directory(&directory)?.map(entry).transpose()?.flatten() else { return Ok(None) };
    let is_mark = mark.file_type() == FileType::RegularFile && mark.size == 0 && mark.owner == 0;
    let state = if is_mark { own::json::<State>(&directory.join("state.json"))? } else { None };
    let Some(state) = state else { return Ok(None) };
    let process = state.init_process_pid.zip(state.init_process_start);
    let bundle = state.bundle();
    Ok(process.map(|process| Checkpointed { directory, bundle, process, since: mark.changed }))
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
