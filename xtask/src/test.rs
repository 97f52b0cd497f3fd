// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask test`: all tests, the privileged ones too.

use std::ffi::OsString;

use ::machine::Kernel;

use crate::error::Error;
use crate::{cargo, image, machine, program, zdtm};

/// The kernel of Debian 12, whose own CRIU runs on no newer one.
const KERNEL: Kernel = Kernel::V6_1;

pub(crate) fn run(arguments: &[OsString]) -> Result<(), Error> {
    machine::bring(&[KERNEL])?;
    image::run()?;
    for which in ["--all-targets", "--doc"] {
        let mut command = cargo::privileged();
        command.args(["test", "--workspace", which, "--"]).args(arguments);
        program::stream(&mut command)?;
    }
    // Arguments are for the test programs, most of them names of tests.
    if !arguments.is_empty() {
        return Ok(());
    }
    zdtm::run(&::zdtm::Options::default())?;
    machine::run_core(KERNEL)
}
