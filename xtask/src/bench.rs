// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench`: what is claimed of speed, measured side by side.

use crate::cargo;
use crate::error::Error;
use crate::program;
use crate::setup;
use crate::versions::Freshness;

pub(crate) fn run() -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    program::stream(cargo::privileged().args([
        "bench",
        "--package",
        "criu-gc",
        "--bench",
        "link_remaps",
        "--bench",
        "index",
        "--bench",
        "speed",
    ]))
}
