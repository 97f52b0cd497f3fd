// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One run's actions: each is watched while it lasts, and noted in the transcript.

use std::process::Command;
use std::time::Duration;

use crate::action::{Action, Stopped, Watch};
use crate::interrupt::Interrupt;
use crate::transcript::Transcript;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A test's start, until it is ready.
    pub(crate) start: Duration,
    /// Any other action, and the end of a dumped tree.
    pub(crate) action: Duration,
}

/// One run.
pub(crate) struct Session<'a> {
    limits: Limits,
    interrupt: &'a Interrupt,
    /// What its actions said so far.
    pub(crate) transcript: Transcript,
}

impl<'a> Session<'a> {
    pub(crate) fn new(limits: Limits, interrupt: &'a Interrupt) -> Self {
        Self { limits, interrupt, transcript: Transcript::default() }
    }

    /// For the test's start.
    pub(crate) fn start_watch(&self) -> Watch<'a> {
        Watch::new(self.limits.start, self.interrupt)
    }

    /// For anything else.
    pub(crate) fn watch(&self) -> Watch<'a> {
        Watch::new(self.limits.action, self.interrupt)
    }

    /// Runs a program and notes what it says.
    pub(crate) fn run(&mut self, name: &'static str, command: &mut Command) -> Result<Action, Stopped> {
        self.note(self.watch().run(name, command))
    }

    /// Notes what a program said.
    pub(crate) fn note(&mut self, action: Action) -> Result<Action, Stopped> {
        self.transcript.record(&action);
        action.completed()
    }
}

impl Default for Limits {
    /// 45 seconds are what the suite's own runner gives a test.
    fn default() -> Self {
        Self { start: Duration::from_secs(45), action: Duration::from_secs(180) }
    }
}
