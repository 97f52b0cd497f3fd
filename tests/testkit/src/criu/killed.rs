// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps and restores in which CRIU, or a task that it restores, is killed at a chosen call of the C library or at a
//! chosen time. `killer.c` is the preload library that does the former.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Criu;
use super::dump::{DumpResult, end_of};
use super::interrupted::Interrupted;
use super::options::DumpOptions;
use crate::artifacts::Artifacts;
use crate::command::{CommandExt, Finished};
use crate::host::TestHost;
use crate::process;
use crate::workload::Workload;

/// Who is killed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Victim {
    /// CRIU's main process: `kill -9`, `timeout`, an operator.
    #[default]
    Criu,
    /// The process that makes the call, a restored task: an OOM kill of it.
    Task,
    /// Both: an OOM kill of a whole control group.
    Both,
}

/// When CRIU is killed: at one call of the C library by any process of CRIU.
///
/// ```
/// use testkit::{Kill, Victim};
///
/// let _after_ten_links = Kill::after("linkat", "link_remap").number(10);
/// let _before_a_log_line = Kill::before("write", "Running post-restore");
/// let _task_and_criu = Kill::after("linkat", "data").of(Victim::Both);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    call: &'static str,
    text: &'static str,
    number: u32,
    side: &'static str,
    victim: Victim,
}

impl Kill {
    /// Right before the first call of this function that has the text in an argument. For `write` that is a line of the log,
    /// for `setsockopt` `LEVEL/OPTION`, for `ptrace` the request as `0x4206`. `killer.c` lists the functions.
    pub fn before(call: &'static str, text: &'static str) -> Self {
        Self { call, text, number: 1, side: "before", victim: Victim::default() }
    }

    /// The same, right after the call.
    pub fn after(call: &'static str, text: &'static str) -> Self {
        Self { side: "after", ..Self::before(call, text) }
    }

    /// At the call of this number, counted from 1.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// Who is killed.
    #[must_use]
    pub fn of(self, victim: Victim) -> Self {
        Self { victim, ..self }
    }

    fn run(&self, host: &TestHost, mut command: Command, log: &Path) -> Finished {
        let reached = host.unused_path("reached");
        let victim = match self.victim {
            Victim::Criu => "criu",
            Victim::Task => "task",
            Victim::Both => "both",
        };
        command.env("LD_PRELOAD", Artifacts::of_workspace().killer());
        command.env("KILLER_CALL", format!("{}:{}:{}", self.call, self.number, self.side));
        command.env("KILLER_TEXT", self.text).env("KILLER_VICTIM", victim).env("KILLER_REACHED", &reached);
        let finished = command.finish();
        assert!(reached.exists(), "CRIU does not come to {self:?}\n{finished}{}", end_of(log));
        finished
    }
}

impl Criu {
    /// Dumps the tree and kills CRIU. The tree lives on, as a rule.
    ///
    /// # Panics
    /// If the dump does not come to that call.
    #[track_caller]
    pub fn dump_killed(
        &self,
        host: &TestHost,
        tree: &Workload,
        images: &Path,
        options: &DumpOptions,
        kill: Kill,
    ) -> Interrupted {
        let command = self.dump_command(host, tree, images, options);
        kill.run(host, command, &images.join("dump.log"));
        Interrupted { images: images.to_owned() }
    }

    /// Dumps the tree and kills CRIU after so long. Nothing if the dump ended before; then the tree is gone.
    ///
    /// # Panics
    /// If the dump does not start.
    pub fn dump_killed_at(
        &self,
        host: &TestHost,
        tree: &Workload,
        images: &Path,
        options: &DumpOptions,
        time: Duration,
    ) -> Option<Interrupted> {
        let is_killed = kill_at(self.dump_command(host, tree, images, options), time);
        is_killed.then(|| Interrupted { images: images.to_owned() })
    }

    /// Restores what was dumped and kills CRIU, a restored task, or both. What is left of the tree is not ended.
    ///
    /// # Panics
    /// If the restore does not come to that call.
    #[track_caller]
    pub fn restore_killed(&self, host: &TestHost, dump: &DumpResult, options: &DumpOptions, kill: Kill) -> Finished {
        kill.run(host, self.restore_command(host, dump, options), &dump.images.join("restore.log"))
    }

    /// Restores what was dumped and kills CRIU after so long. Says whether the restore was still at work.
    ///
    /// # Panics
    /// If the restore does not start.
    pub fn restore_killed_at(&self, host: &TestHost, dump: &DumpResult, options: &DumpOptions, time: Duration) -> bool {
        kill_at(self.restore_command(host, dump, options), time)
    }
}

/// Kills what nsenter runs after so long, and none of its children. Says whether it did not come to its end.
fn kill_at(mut command: Command, time: Duration) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut nsenter = command.spawn().expect("nsenter");
    std::thread::sleep(time);
    process::children(nsenter.id()).into_iter().for_each(process::kill);
    !nsenter.wait().expect("a child's status").success()
}
