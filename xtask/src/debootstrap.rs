// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Small Debians in directories, from the mirror that this machine uses.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::tree::remove;
use crate::{program, sources};

/// Makes the smallest Debian of the suite with these packages.
pub(crate) fn run(tree: &Path, suite: &str, packages: &[&str]) -> Result<(), Error> {
    remove(tree)?;
    let mirror = sources::mirror()?;
    // What it mounts goes with the namespace, also when it is killed.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "debootstrap", "--variant=minbase"]);
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg(suite).arg(tree).arg(&mirror.uri);
    let finished = program::finish(command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C"))?;
    if finished.status.success() {
        return Ok(());
    }
    // It writes the cause to a log.
    let log = fs::read(tree.join("debootstrap/debootstrap.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log).into_owned();
    let lines: Vec<&str> = log.lines().collect();
    let stderr = lines[lines.len().saturating_sub(15)..].join("\n");
    Err(Error::Failed { command: program::line(&command), status: finished.status, stderr })
}
