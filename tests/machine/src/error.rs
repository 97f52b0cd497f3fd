// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with a machine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a machine did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kernels or file systems were not brought.
    #[error("{} is missing: run `cargo xtask machine`", .0.display())]
    Missing(PathBuf),

    /// A file of the machine could not be made.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// A program could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// Which program.
        program: &'static str,
        /// Why it failed.
        source: io::Error,
    },

    /// `qemu-img` failed.
    #[error("qemu-img failed: {0}")]
    Image(String),

    /// The kernel has panicked.
    #[error("the kernel panicked while the machine {doing}\n{console}")]
    Panic {
        /// What the machine was doing.
        doing: String,
        /// The last lines of the console.
        console: String,
    },

    /// The machine has ended by itself.
    #[error("the machine ended while it {doing}\n{console}")]
    Ended {
        /// What the machine was doing.
        doing: String,
        /// The last lines of the console.
        console: String,
    },

    /// The machine took too long; it was switched off.
    #[error("the machine hangs: for {} s it {doing}\n{console}", limit.as_secs())]
    Hang {
        /// What the machine was doing.
        doing: String,
        /// How long it was given.
        limit: Duration,
        /// The last lines of the console.
        console: String,
    },

    /// The agent said something unexpected.
    #[error("the agent in the machine is out of step: {0}")]
    Protocol(String),

    /// A script failed.
    #[error("a script ended with {code} in the machine\n{script}\n{stdout}{stderr}")]
    Failed {
        /// Its exit status; a signal's number, negated.
        code: i32,
        /// The script.
        script: String,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
}
