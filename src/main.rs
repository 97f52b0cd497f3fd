// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program: as a child of itself, parse, run, print an error that is left, exit.
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use criu_gc::cli::{self, Arguments};
use criu_gc::exit::{End, ExitStatus};
use criu_gc::invocation::{Invocation, plugin};
use criu_gc::recorder;
use criu_gc::run;
use criu_gc::supervisor;
use criu_gc::terminal::{self, Terminal};

fn main() -> ExitCode {
    if let Some(end) = supervisor::supervise() {
        return end.follow();
    }
    let status = work();
    supervisor::tell(status);
    End::of_number(status).follow()
}

fn work() -> u8 {
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
        ExitStatus::Unusable as u8
    })
}

fn clean(words: Vec<OsString>) -> io::Result<u8> {
    let arguments = Arguments::of_command_line(words.clone()).unwrap_or_else(|error| cli::refuse(&words, &error));
    run::run(&arguments).map(|status| status as u8)
}

fn describe() -> io::Result<u8> {
    Terminal::new(0, None).print_document(plugin::DESCRIPTION)?;
    Ok(plugin::DESCRIPTION_STATUS)
}
