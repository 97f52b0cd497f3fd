// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program: parse, run, print an error that is left, exit.
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use criu_gc::cli::{self, Arguments};
use criu_gc::exit::ExitStatus;
use criu_gc::invocation::{Invocation, plugin};
use criu_gc::recorder;
use criu_gc::run;
use criu_gc::terminal::{self, Terminal};

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let status = match Invocation::of(words.first().map(OsString::as_os_str).unwrap_or_default()) {
        Invocation::Tool => clean(words),
        Invocation::ActionScript(on_failure) => Ok(recorder::run(on_failure)),
        Invocation::CheckpointctlPlugin if words[1..] == [plugin::DESCRIPTION_OPTION] => describe(),
        Invocation::CheckpointctlPlugin => {
            words[0] = plugin::COMMAND.into();
            clean(words)
        }
    };
    status.unwrap_or_else(|error| {
        terminal::report_failure(&error);
        ExitStatus::Unusable.into()
    })
}

fn clean(words: Vec<OsString>) -> io::Result<ExitCode> {
    let arguments = Arguments::of_command_line(words.clone()).unwrap_or_else(|error| cli::refuse(&words, &error));
    let status = run::run(&arguments)?;
    if let Some(signal) = status.signal() {
        // It only returns if it failed, and then the number has to do.
        let _ = signal.end_program();
    }
    Ok(status.into())
}

fn describe() -> io::Result<ExitCode> {
    Terminal::new(0, None).print_document(plugin::DESCRIPTION)?;
    Ok(plugin::DESCRIPTION_STATUS.into())
}
