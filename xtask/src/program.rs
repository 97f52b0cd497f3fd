// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Running programs, by their arguments and never through a shell.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::Error;

/// Runs the program and gives its standard output. Its standard error is shown only if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let Output { status, stdout, stderr } = finish(command)?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&stderr).trim_end().to_owned();
    Err(Error::Failed { command: line(command), status, stderr })
}

/// Runs the program, whose streams are ours.
pub(crate) fn stream(command: &mut Command) -> Result<(), Error> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|source| Error::Start { command: line(command), source })?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Failed { command: line(command), status, stderr: String::new() }),
    }
}

/// Runs the program; its failure is an answer.
pub(crate) fn finish(command: &mut Command) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|source| Error::Start { command: line(command), source })
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Whether the search path has the program.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let standard = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(standard).any(|directory| Path::new(&directory).join(program).exists())
}
