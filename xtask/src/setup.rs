// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask setup`: a machine on which all tests run. A second time it is quick and needs no
//! network.

use std::fs;

use testkit::Artifacts;

use crate::error::Error;
use crate::{cargo, criu, crun, packages};

/// Whether the archive is asked for newer versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// Not if some are here.
    AsFound,
    /// In any case.
    LookAgain,
}

pub(crate) fn run(freshness: Freshness) -> Result<(), Error> {
    let artifacts = Artifacts::of_workspace();
    for directory in [artifacts.criu(), artifacts.target().join("workload")] {
        let create = |source| Error::File { action: "create", path: directory.clone(), source };
        fs::create_dir_all(&directory).map_err(create)?;
    }
    packages::install_missing(packages::OF_TESTS)?;
    criu::bring(&artifacts.criu(), freshness)?;
    crun::bring(&artifacts.crun(), freshness)?;
    cargo::build_workload(&artifacts.workload())
}
