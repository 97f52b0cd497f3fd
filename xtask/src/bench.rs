// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench`: what is claimed of speed, measured side by side.

use crate::cargo::cargo;
use crate::error::Error;
use crate::setup::{self, Freshness};
use crate::{program, test};

pub(crate) fn run() -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    program::stream(test::complete(cargo()).args(["bench", "--package", "criu-gc", "--bench", "link_remaps"]))
}
