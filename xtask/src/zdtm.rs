// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask zdtm`: brings what the gc tests need, and hands over to their runner (tests/zdtm).

use std::path::PathBuf;

use testkit::BINARY;
use zdtm::{Options, Project};

use crate::cargo;
use crate::error::Error;
use crate::setup;
use crate::versions::Freshness;

/// Runs what is asked for, and fails if a run does.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    let stub = std::env::var_os(BINARY).map(PathBuf::from);
    let tool = stub.map_or_else(cargo::build_tool, Ok)?;
    Ok(zdtm::run(options, &Project { directory: cargo::workspace(), tool: &tool })?)
}
