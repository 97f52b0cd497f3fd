// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot run {command}: {source}")]
    Start { command: String, source: io::Error },

    #[error("{command} failed: {status}\n{stderr}")]
    Failed { command: String, status: ExitStatus, stderr: String },

    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "no entry of apt's sources has the suite {codename} and the component main, so the archive's mirror is \
         unknown; looked into {}",
        list(files)
    )]
    NoMirror { codename: String, files: Vec<PathBuf> },

    #[error("/etc/os-release has no VERSION_CODENAME; is this Debian?")]
    NoCodename,

    #[error("the mirror {mirror} gives none of the suites {suites}; is the network there? The last answer was\n{last}")]
    NoSuite { mirror: String, suites: String, last: String },

    #[error("the suites {suites} of {mirror} hold no criu from {oldest} on; they hold {found}")]
    NoCriu { mirror: String, suites: String, oldest: String, found: String },

    #[error("the packages in {} hold no {what}: the layout of the packages has changed", place.display())]
    Layout { place: PathBuf, what: &'static str },

    #[error("{} says that it is {said:?}, not {version}", program.display())]
    WrongVersion { program: PathBuf, version: String, said: String },

    #[error("{} was built without CRIU: it says that it is {said:?}", program.display())]
    WithoutCriu { program: PathBuf, said: String },

    #[error("only root can {0}; run this as root")]
    NotRoot(&'static str),

    #[error("{} is not static; is the C library's static archive (libc6-dev) installed?", .0.display())]
    NotStatic(PathBuf),

    #[error("cargo does not say where its target directory is")]
    NoTargetDirectory,

    #[error("cargo does not say where the executable of {0} is")]
    NotBuiltByCargo(String),

    #[error(transparent)]
    Machine(#[from] machine::Error),

    #[error("{suite} of {mirror} has no kernel package {package}")]
    NoKernel { suite: &'static str, mirror: String, package: &'static str },

    #[error("what ran in the machine ended with {0}")]
    EndedInMachine(i32),

    #[error("{} holds no executable file, so nothing can be tried against the tests", .0.display())]
    NoStubs(PathBuf),

    #[error("these pass with a program that only pretends, and so prove nothing:\n{}", .0.join("\n"))]
    StubsPass(Vec<String>),

    #[error("the demonstration cannot run: {0}")]
    NoDemo(String),

    #[error(transparent)]
    Zdtm(#[from] zdtm::Error),

    #[error("cargo does not say the version of criu-gc in {}", .0.display())]
    NoVersion(PathBuf),

    #[error("this user has no home directory")]
    NoHome,

    #[error("the build in {} made other bytes; these differ:\n{}", other.display(), differ.join("\n"))]
    NotReproducible { differ: Vec<String>, other: PathBuf },

    #[error("{0} of {1} runs failed")]
    Unclean(usize, usize),
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no file".to_owned();
    }
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}
