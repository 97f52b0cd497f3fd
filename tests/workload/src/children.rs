// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Child processes: this program again, with directives of their own.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::report::Report;

/// Starts a child and waits until it is ready.
pub(crate) fn start(arguments: &[OsString], report: &mut Report) -> Outcome {
    let mut child =
        Command::new("/proc/self/exe").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("the child has no standard output")?;
    report.include(output)
}
