// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Incus and LXD: `containers/[PROJECT_]NAME` in each storage pool, and the snapshots beside them.

use std::path::Path;

use super::super::container::{At, Container, Name};
use super::super::own::{self, OwnError};

/// Where they keep everything.
const STORES: [&str; 3] = ["/var/lib/incus", "/var/lib/lxd", "/var/snap/lxd/common/lxd"];
/// The project whose instances have no prefix.
const DEFAULT_PROJECT: &str = "default";

/// All instances.
pub(super) fn containers() -> Result<Vec<Container>, OwnError> {
    let mut found = Vec::new();
    for store in STORES {
        found.extend(containers_below(Path::new(store))?);
    }
    Ok(found)
}

fn containers_below(store: &Path) -> Result<Vec<Container>, OwnError> {
    let pools = store.join("storage-pools");
    let mut found = Vec::new();
    for pool in own::names(&pools)? {
        let pool = pools.join(pool);
        for name in own::names(&pool.join("containers"))? {
            let snapshots = pool.join("containers-snapshots").join(&name);
            let own = At::Directory(pool.join("containers").join(&name));
            let kept = own::names(&snapshots)?.into_iter().map(|snapshot| At::Directory(snapshots.join(snapshot)));
            let at = [own].into_iter().chain(kept).collect();
            // No name of an instance has an underscore.
            let (project, instance) = name.rsplit_once('_').unwrap_or((DEFAULT_PROJECT, &name));
            let whole = format!("{project}/{instance}");
            let names = [instance, &whole].map(|typed| Name { typed: typed.to_owned(), means: whole.clone() });
            found.push(Container { names: names.into(), id: None, name: Some(instance.to_owned()), at });
        }
    }
    Ok(found)
}
