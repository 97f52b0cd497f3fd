// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LXC: a directory for each container. Checkpoints are found where they lie in it: LXC does not note where `-D` led.

use std::path::{Path, PathBuf};

use super::super::container::{At, Container};
use super::super::own::{self, OwnError};

const CONFIGURATION: &str = "/etc/lxc/lxc.conf";
const CONTAINERS: &str = "/var/lib/lxc";
/// What makes a directory one of a container.
const OF_CONTAINER: &str = "config";

/// All containers.
pub(super) fn containers() -> Result<Vec<Container>, OwnError> {
    let configuration = own::text(Path::new(CONFIGURATION))?.unwrap_or_default();
    containers_below(&store(&configuration))
}

/// Where the containers are: `lxc.lxcpath` in the configuration.
fn store(configuration: &str) -> PathBuf {
    let mut values = configuration.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "lxc.lxcpath").then(|| PathBuf::from(value.trim()))
    });
    values.rfind(|path| path.is_absolute()).unwrap_or_else(|| CONTAINERS.into())
}

fn containers_below(store: &Path) -> Result<Vec<Container>, OwnError> {
    let mut found = Vec::new();
    for name in own::names(store)? {
        let directory = store.join(&name);
        if own::names(&directory).is_ok_and(|names| names.iter().any(|name| name == OF_CONTAINER)) {
            found.push(Container::named(&name, vec![At::Entries(directory)]));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_where_the_containers_are() {
        assert_eq!(store("# nothing\nlxc.bdev.lvm.vg = x\n"), Path::new(CONTAINERS));
        assert_eq!(store("lxc.lxcpath = /srv/lxc \n"), Path::new("/srv/lxc"));
        assert_eq!(store("lxc.lxcpath=relative\n"), Path::new(CONTAINERS));
    }
}
