// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program: parse, run, print an error that is left, exit.

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use criu_gc::cli::Cli;
use criu_gc::exit::ExitStatus;
use criu_gc::run;

fn main() -> ExitCode {
    match run::run(&Cli::parse().into_arguments()) {
        Ok(status) => status.into(),
        // Whoever read the output has seen enough; the work is done all the same.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitStatus::Unusable.into(),
        Err(error) => {
            criu_gc::terminal::report_failure(&error);
            ExitStatus::Unusable.into()
        }
    }
}
