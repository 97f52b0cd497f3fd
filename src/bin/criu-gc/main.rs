// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program: everything about a process, a terminal and a person.
//!
//! It runs as a child of itself, reads the command line, drops privileges, asks, prints, and chooses the exit status.
//! It uses only the library's public interface.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod cli;
mod completion;
mod config_file;
mod document;
mod exit;
mod healing;
mod interrupt;
mod invocation;
mod log_file;
mod metrics;
mod observer;
mod privilege;
mod process;
mod recording;
mod remedy;
mod run;
mod scanning;
mod supervisor;
mod terminal;
mod text;
mod watching;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use crate::cli::{Arguments, HostLine, WatchArguments};
use crate::completion::Completion;
use crate::exit::{End, ExitStatus};
use crate::invocation::{Invocation, plugin};
use crate::terminal::{Messages, Terminal};

fn main() -> ExitCode {
    // A watch is not supervised: it accesses no filesystem, and each of its passes is a process of its own.
    let words: Vec<OsString> = std::env::args_os().collect();
    let supervised = if WatchArguments::is_meant(&words) { None } else { supervisor::supervise() };
    if let Some(end) = supervised {
        return end.follow();
    }
    let status = work(words);
    supervisor::tell(status);
    End::of_number(status).follow()
}

fn work(mut words: Vec<OsString>) -> u8 {
    let status = match Invocation::of(words.first().map(OsString::as_os_str).unwrap_or_default()) {
        Invocation::Tool => clean(words),
        Invocation::ActionScript(on_failure) => Ok(recording::run(on_failure)),
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
    if let Some(wanted) = Completion::of(&words) {
        return wanted.print().map(|()| ExitStatus::Done as u8);
    }
    if let Some(line) = HostLine::of(&words) {
        let line = line.unwrap_or_else(|error| cli::refuse_line(&words, &error, HostLine::of));
        return scanning::run(&line).map(|status| status as u8);
    }
    if let Some(line) = WatchArguments::of(&words) {
        let line = line.unwrap_or_else(|error| cli::refuse_line(&words, &error, WatchArguments::of));
        return watching::run(&line).map(|status| status as u8);
    }
    let arguments = Arguments::of_command_line(&words).unwrap_or_else(|error| cli::refuse(&words, &error));
    run::run(&words, arguments).map(|status| status as u8)
}

fn describe() -> io::Result<u8> {
    Terminal::new(0, Messages::StandardError).print_document(plugin::DESCRIPTION)?;
    Ok(plugin::DESCRIPTION_STATUS)
}
