// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What bash asks for when the name of a container is completed: `criu-gc --complete WORD`. Without a word it prints the script
//! for bash, which packages install.

use std::ffi::OsString;
use std::io;

use crate::terminal::{Line, Messages, Terminal};

/// The option, which only shells use and no help names.
const OPTION: &str = "--complete";
/// The script that asks.
const BASH: &str = include_str!("../../../packaging/completions/criu-gc.bash");

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completion {
    /// The script for bash.
    Script,
    /// The names that begin so.
    Names(String),
}

impl Completion {
    /// What the command line asks for, if it is one of a shell.
    pub(crate) fn of(words: &[OsString]) -> Option<Self> {
        match words {
            [_, option] if option == OPTION => Some(Completion::Script),
            [_, option, word] if option == OPTION => Some(Completion::Names(word.to_string_lossy().into_owned())),
            _ => None,
        }
    }

    /// Prints it: a name a line.
    pub(crate) fn print(&self) -> io::Result<()> {
        let terminal = Terminal::new(0, Messages::StandardError);
        match self {
            Completion::Script => terminal.print_document(BASH.trim_end()),
            Completion::Names(begin) => {
                let names = criu_gc::names_beginning(begin);
                terminal.print(&names.iter().map(|name| Line::new().quote(name.as_bytes())).collect::<Vec<_>>())
            }
        }
    }
}
