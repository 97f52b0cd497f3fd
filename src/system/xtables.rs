// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The filter tables of legacy iptables, in the calling thread's network namespace.
//!
//! A look must not create anything, but most ways to ask for a legacy table create it. So the kernel's list of names is
//! read first, and `iptables-legacy-save -t filter` runs only where `filter` is among them: no namespace loses a table
//! unless root unloads its module. Other tables, which may be long, are not read. The explicit `-legacy` names
//! (iptables 1.8 and later) are necessary: plain `iptables` may be the other backend.
//!
//! Changes go through one `iptables-legacy-restore --noflush`, which applies all or none, holds the iptables lock, and
//! preserves the counters of other rules.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::command;

mod save;

pub use save::{ParseError, each_of_filter};

/// How long to wait for the lock of iptables: less than a program may run, so that it is never killed for waiting.
const LOCK_WAIT: &str = "--wait=20";
const LOCK_WAIT_SECONDS: u32 = 20;
/// `RESOURCE_PROBLEM` (xtables.h): how the programs end that have waited for the lock in vain.
const LOCK_STATUS: i32 = 4;
const FILTER: &str = "filter";

/// For which addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpVersion {
    /// `iptables`.
    V4,
    /// `ip6tables`.
    V6,
}

impl IpVersion {
    fn names_file(self) -> &'static Path {
        Path::new(match self {
            IpVersion::V4 => "/proc/thread-self/net/ip_tables_names",
            IpVersion::V6 => "/proc/thread-self/net/ip6_tables_names",
        })
    }

    fn save(self) -> &'static str {
        match self {
            IpVersion::V4 => "iptables-legacy-save",
            IpVersion::V6 => "ip6tables-legacy-save",
        }
    }

    fn restore(self) -> &'static str {
        match self {
            IpVersion::V4 => "iptables-legacy-restore",
            IpVersion::V6 => "ip6tables-legacy-restore",
        }
    }
}

/// Why the legacy tables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of tables could not be read.
    #[error("cannot read {}", path.display())]
    Names {
        /// The file.
        path: &'static Path,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The program that prints the tables gave nothing.
    #[error("cannot read the kernel's legacy iptables rules")]
    Save(#[source] command::Error),
    /// What it printed is invalid.
    #[error("cannot parse the output of {program}")]
    Parse {
        /// The program.
        program: &'static str,
        /// What is wrong with it.
        source: ParseError,
    },
}

/// Why changes were not made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The program says no, to all of them: one of the rules or chains is not there (any more), or is still in use.
    #[error("{program} refused this step: {message}")]
    Refused {
        /// The program.
        program: &'static str,
        /// The end of what it says.
        message: String,
    },
    /// Somebody else held the lock of iptables all the time.
    #[error(
        "another program has had the lock of iptables for {LOCK_WAIT_SECONDS} seconds; try again once it has finished"
    )]
    Locked,
    /// The program could not be run to its end: look again to see what is there.
    #[error("cannot change the legacy iptables rules")]
    CouldNotRun(#[source] command::Error),
    /// A word that cannot be written so that it is read as one.
    #[error("cannot put {word:?} into a change of legacy iptables rules")]
    Unwritable {
        /// The word.
        word: String,
    },
}

/// A change to the filter table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Removes the first rule that is exactly so.
    DeleteRule {
        /// The chain that it is in.
        chain: &'static str,
        /// Its words, with a space between them.
        words: Arc<str>,
    },
    /// Removes every rule of a chain.
    FlushChain {
        /// The chain.
        chain: &'static str,
    },
    /// Removes a chain, which must have no rules left and must not be jumped to any more.
    DeleteChain {
        /// The chain.
        chain: &'static str,
    },
}

/// The names of the legacy tables that exist. None, where the kernel has no legacy iptables.
pub fn legacy_tables(version: IpVersion) -> Result<Vec<String>, Error> {
    let path = version.names_file();
    match fs::read_to_string(path) {
        Ok(names) => Ok(names.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Names { path, source }),
    }
}

/// What `add_chain` and `add_rule` make of the filter table, chain by chain and rule by rule; `None` if there is none. A rule
/// comes as its chain and its words. The rules are not kept: a user may have any number of them.
pub fn read_filter<T: Default>(
    version: IpVersion,
    add_chain: impl Fn(&mut T, &str),
    add_rule: impl Fn(&mut T, &str, &[&str]),
) -> Result<Option<T>, Error> {
    if !legacy_tables(version)?.iter().any(|name| name == FILTER) {
        return Ok(None);
    }
    let program = version.save();
    let text = command::run(program, &["-t", FILTER], b"").map_err(Error::Save)?;
    let made = RefCell::new(T::default());
    let (chain, rule) = (
        |name: &str| add_chain(&mut made.borrow_mut(), name),
        |name: &str, words: &[&str]| add_rule(&mut made.borrow_mut(), name, words),
    );
    each_of_filter(&text, chain, rule).map_err(|source| Error::Parse { program, source })?;
    Ok(Some(made.into_inner()))
}

/// Makes all the changes, in this order, or none.
pub fn apply(version: IpVersion, changes: &[Change]) -> Result<(), ApplyError> {
    if changes.is_empty() {
        return Ok(());
    }
    let program = version.restore();
    let script = script(changes)?;
    match command::run(program, &["--noflush", LOCK_WAIT], script.as_bytes()) {
        Ok(_) => Ok(()),
        Err(command::Error::Failed { status, .. }) if status.code() == Some(LOCK_STATUS) => Err(ApplyError::Locked),
        Err(command::Error::Failed { status, message, .. }) if status.code().is_some() => {
            Err(ApplyError::Refused { program, message })
        }
        Err(error) => Err(ApplyError::CouldNotRun(error)),
    }
}

/// The input of `iptables-restore`: a line a change.
fn script(changes: &[Change]) -> Result<String, ApplyError> {
    let mut script = format!("*{FILTER}\n");
    for change in changes {
        match change {
            Change::DeleteRule { chain, words } => {
                script.extend(["-D ", plain(chain)?]);
                for word in words.split(' ') {
                    script.extend([" ", plain(word)?]);
                }
            }
            Change::FlushChain { chain } => script.extend(["-F ", plain(chain)?]),
            Change::DeleteChain { chain } => script.extend(["-X ", plain(chain)?]),
        }
        script.push('\n');
    }
    script.push_str("COMMIT\n");
    Ok(script)
}

/// A word that `iptables-restore` reads as the same one word, as all words of CRIU's rules are.
fn plain(word: &str) -> Result<&str, ApplyError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,!+=@%".contains(&byte);
    let is_word = !word.is_empty() && word.bytes().all(is_plain);
    if is_word { Ok(word) } else { Err(ApplyError::Unwritable { word: word.to_owned() }) }
}

#[cfg(test)]
mod tests;
