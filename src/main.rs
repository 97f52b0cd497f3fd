// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program: parse, run, print an error that is left, exit.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use criu_gc::cli::Arguments;
use criu_gc::exit::ExitStatus;
use criu_gc::run;

fn main() -> ExitCode {
    let arguments = Arguments::of_command_line(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run::run(&arguments) {
        Ok(status) => status.into(),
        Err(error) => {
            criu_gc::terminal::report_failure(&error);
            ExitStatus::Unusable.into()
        }
    }
}
