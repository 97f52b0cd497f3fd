// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask test`: all tests, the privileged ones too.

use std::ffi::OsString;
use std::process::Command;

use ::machine::Kernel;
use testkit::Artifacts;

use crate::cargo::cargo;
use crate::error::Error;
use crate::program;
use crate::{machine, zdtm};

/// The kernel of Debian 12, whose own CRIU runs on no newer one.
const KERNEL: Kernel = Kernel::V6_1;

pub(crate) fn run(arguments: &[OsString]) -> Result<(), Error> {
    machine::bring(&[KERNEL])?;
    for which in ["--all-targets", "--doc"] {
        let mut command = complete(cargo());
        command.args(["test", "--workspace", which, "--"]).args(arguments);
        program::stream(&mut command)?;
    }
    // Arguments are for the test programs, most of them names of tests.
    if !arguments.is_empty() {
        return Ok(());
    }
    zdtm::run(&zdtm::Options::default())?;
    machine::run_core(KERNEL)
}

/// The command, with an environment in which a privileged test must run.
pub(crate) fn complete(mut command: Command) -> Command {
    command.env(testkit::REQUIRED, "1").env(testkit::TARGET, Artifacts::of_workspace().target());
    command
}
