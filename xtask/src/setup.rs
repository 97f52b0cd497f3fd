// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask setup`: a machine on which all tests run. A second time it is quick and needs no
//! network.

use testkit::Artifacts;

use crate::error::Error;
use crate::tree::create;
use crate::versions::Freshness;
use crate::{cargo, criu, crun, packages};

pub(crate) fn run(freshness: Freshness) -> Result<(), Error> {
    let artifacts = Artifacts::of_workspace();
    for directory in [artifacts.criu(), artifacts.target().join("workload")] {
        create(&directory)?;
    }
    packages::install_missing(packages::OF_TESTS)?;
    criu::bring(&artifacts.criu(), freshness)?;
    crun::bring(&artifacts.crun(), freshness)?;
    cargo::build_workload(&artifacts.workload())
}
