// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask setup`: a machine on which all tests run. A second time it is quick and needs no
//! network.

use std::path::Path;
use std::process::Command;

use testkit::Artifacts;

use crate::error::Error;
use crate::tree::create;
use crate::versions::Freshness;
use crate::{cargo, criu, crun, engines, packages, program};

pub(crate) fn run(freshness: Freshness) -> Result<(), Error> {
    let artifacts = Artifacts::of_workspace();
    for directory in [artifacts.criu(), artifacts.target().join("workload"), artifacts.target().join("killer")] {
        create(&directory)?;
    }
    packages::install_missing(packages::OF_TESTS)?;
    criu::bring(&artifacts.criu(), freshness)?;
    crun::bring(&artifacts.crun(), freshness)?;
    engines::bring(&artifacts.engines(), freshness)?;
    cargo::build_workload(&artifacts.workload())?;
    build_killer(&artifacts.killer())
}

/// Builds the preload library that kills CRIU at a chosen call.
fn build_killer(path: &Path) -> Result<(), Error> {
    let source = Path::new(cargo::workspace()).join("tests/testkit/killer.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(path).arg(source);
    program::stream(&mut compiler)
}
