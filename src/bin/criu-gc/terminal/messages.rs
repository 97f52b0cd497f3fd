// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where messages go: standard error, standard output (`-o -`), or a log file.
//!
//! A run that fails leaves no log file. So messages for one are held back until the run has come so far that it makes
//! the file, or has failed; then they go to standard error. Errors go there in any case, at once.

use std::fs::File;
use std::io::{self, Write};

use super::Line;

/// Where messages go.
#[derive(Debug)]
pub(crate) enum Messages {
    StandardError,
    StandardOutput,
    /// Into a file that does not exist yet.
    Held(Vec<Held>),
    Log(File),
}

/// What is held back.
#[derive(Debug)]
pub(crate) enum Held {
    Message(Line),
    /// It has been written on standard error.
    Error(Line),
}

impl Messages {
    /// Writes a message. There is nobody left to tell about one that cannot be written.
    pub(super) fn message(&mut self, line: Line) {
        match self {
            Messages::StandardError => write_on_standard_error(&line),
            Messages::StandardOutput => drop(io::stdout().lock().write_all(line.as_bytes())),
            Messages::Held(held) => held.push(Held::Message(line)),
            Messages::Log(log) => drop(log.write_all(line.as_bytes())),
        }
    }

    /// Writes an error: always on standard error, and where the messages are.
    pub(super) fn error(&mut self, line: Line) {
        write_on_standard_error(&line);
        match self {
            Messages::StandardError => {}
            Messages::StandardOutput => drop(io::stdout().lock().write_all(line.as_bytes())),
            Messages::Held(held) => held.push(Held::Error(line)),
            Messages::Log(log) => drop(log.write_all(line.as_bytes())),
        }
    }

    /// Writes what is held back into the log, or on standard error if there is none, as everything from now on.
    pub(super) fn release(&mut self, log: Option<File>) {
        let Messages::Held(held) = self else { return };
        let held = std::mem::take(held);
        *self = Messages::StandardError;
        match log {
            Some(mut log) => {
                for Held::Message(line) | Held::Error(line) in held {
                    let _ = log.write_all(line.as_bytes());
                }
                *self = Messages::Log(log);
            }
            None => held.iter().for_each(|held| match held {
                Held::Message(line) => write_on_standard_error(line),
                Held::Error(_) => {}
            }),
        }
    }
}

fn write_on_standard_error(line: &Line) {
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
