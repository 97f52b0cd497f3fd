// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A test's tree that runs in a throw-away host and is ready to be dumped.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use testkit::{TestHost, Workload};

use crate::action::{Stopped, Watch};

/// A tree.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its root process, as the host numbers it.
    pub(crate) pid: u32,
    /// What criu needs to be told about its surroundings.
    pub(crate) dump_options: Vec<OsString>,
    /// Directories that it may change, as the host names them.
    pub(crate) watched: Vec<PathBuf>,
    /// How the paths of the files begin that the test's own processes, dumped or not, write to.
    pub(crate) logs: Option<PathBuf>,
    /// Where the test runs and its hook is to run; the project's own have none.
    pub(crate) directory: Option<PathBuf>,
    /// Kills a tree of the project's own at the end.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) workload: Option<Workload>,
}

/// Why a test is not dumped.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// It is not for here.
    Skipped(String),
    /// It did not get ready.
    NotStarted(String),
    /// What starts it was stopped.
    Stopped(Stopped),
}

impl Running {
    /// Waits until the root process is gone.
    pub(crate) fn await_end(&self, host: &TestHost, watch: Watch<'_>) -> Result<(), Stopped> {
        let process = host.path(format!("/proc/{}", self.pid));
        watch.wait("the dumped tree", || (!fs::exists(&process).unwrap_or(false)).then_some(()))
    }
}

impl From<Stopped> for Obstacle {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}
