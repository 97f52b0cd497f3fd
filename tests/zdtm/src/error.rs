// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why tests were not run, or which of them failed.

use std::io;
use std::path::PathBuf;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine cannot dump.
    #[error("the tests cannot run: {0}")]
    CannotRun(String),

    /// A file or directory of the user's, or of the project.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Python reads the descriptions.
    #[error("cannot run python3, which reads the descriptions of the tests: {0}")]
    NoPython(io::Error),

    /// Python said something else than it was asked for.
    #[error("python3 does not answer with literals, but with {0:?}")]
    NoLiteral(String),

    /// The directory given is another one.
    #[error("{} is no source tree of CRIU: it has no test/zdtm/static/Makefile", .0.display())]
    NoSource(PathBuf),

    /// The tests are there, but not their programs.
    #[error("{tests} is built in {}; to build them: make -C {}/test/zdtm", source_tree.display(), source_tree.display())]
    NotBuilt {
        /// CRIU's source tree.
        source_tree: PathBuf,
        /// What is missing.
        tests: String,
    },

    /// A name that no test has.
    #[error("there is no test {0}; those of CRIU's suite need --criu-source")]
    NoTest(String),

    /// A version that is not here.
    #[error("no criu {0} was brought; there are {1}. A path, as of a build of your own, has a / in it")]
    NoSuchCriu(String, String),

    /// A program that is no criu.
    #[error("{} does not say its version as criu does", .0.display())]
    NoCriuProgram(PathBuf),

    /// A signal cannot be noticed.
    #[error("cannot notice signals: {0}")]
    NoSignals(io::Error),

    /// A selection without a run.
    #[error("no test has a flavour that is asked for")]
    NothingToRun,

    /// How many runs failed, of how many.
    #[error("{0} of {1} runs failed")]
    Unclean(usize, usize),

    /// A run of everything that proved nothing.
    #[error("none of {0} tests was dumped")]
    NothingDumped(usize),

    /// How many runs there were before the signal, of how many, and how many of them failed.
    #[error("interrupted: {0} of {1} runs are done, {2} of them failed")]
    Interrupted(usize, usize, usize),
}
