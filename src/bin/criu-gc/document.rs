// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The JSON document of a run: the library's report with the exit status of the program.

use criu_gc::report::Report;
use serde::Serialize;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    /// What was found and done.
    #[serde(flatten)]
    pub(crate) report: &'a Report,
    /// The exit status of the run.
    pub(crate) exit_status: u8,
}
