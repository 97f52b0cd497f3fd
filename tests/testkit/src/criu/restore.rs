// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Restoring a tree.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use super::Criu;
use super::dump::{DumpResult, end_of};
use super::options::DumpOptions;
use crate::command::{CommandExt, Finished, wait_until};
use crate::container::Container;
use crate::host::TestHost;
use crate::process;

/// The name of the log in the images directory.
const LOG: &str = "restore.log";

/// A tree that was restored, killed when this goes out of scope, or with its host.
#[derive(Debug)]
pub struct Restored {
    real_pid: u32,
}

impl Restored {
    /// The root process, as the host numbers it.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn pid(&self) -> u32 {
        *process::numbers(self.real_pid).get(1).expect("a process of a host")
    }

    /// The root process, as the machine numbers it.
    pub fn real_pid(&self) -> u32 {
        self.real_pid
    }

    /// The root process's state, as the letter in /proc/PID/stat; nothing if it is gone.
    pub fn state(&self) -> Option<char> {
        process::state(self.real_pid)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let pids = process::tree(self.real_pid);
        pids.iter().copied().for_each(process::kill);
        if wait_until(|| pids.iter().all(|pid| !process::exists(*pid)).then_some(())).is_none() {
            eprintln!("the restored process {} does not end", self.real_pid);
        }
    }
}

impl Criu {
    /// Restores what was dumped and lets it run. Of the options, those that a restore knows are
    /// used: `tcp`, `flavour` and `extra`.
    ///
    /// # Panics
    /// If the restore fails; the message holds the end of the log.
    #[track_caller]
    pub fn restore(&self, host: &TestHost, dump: &DumpResult, options: &DumpOptions) -> Restored {
        let file = host.unused_path("pid");
        let pid_file = [OsString::from("--pidfile"), file.clone().into_os_string()];
        let finished = self.restore_command(host, dump, options).args(pid_file).finish();
        assert!(finished.status.success(), "{finished}{}", end_of(&dump.images.join(LOG)));
        let pid = fs::read_to_string(file).expect("the number of the restored process");
        let pid = pid.trim().parse().expect("the number of the restored process");
        Restored { real_pid: host.real_pid(pid).expect("the restored process") }
    }

    /// The same, for a restore that is meant to fail.
    ///
    /// # Panics
    /// If CRIU hangs.
    #[track_caller]
    pub fn try_restore(&self, host: &TestHost, dump: &DumpResult, options: &DumpOptions) -> Finished {
        self.restore_command(host, dump, options).finish()
    }

    /// The command that restores what was dumped.
    pub fn restore_command(&self, host: &TestHost, dump: &DumpResult, options: &DumpOptions) -> Command {
        let mut command = self.command(host, options.flavour);
        command.args(["restore", "--restore-detached", "--images-dir"]).arg(&dump.images);
        command.args(["-v4", "--log-file", LOG]).args(options.tcp.option());
        command.args(dump.container.as_ref().map(Container::restore_options).unwrap_or_default());
        command.args(&options.extra);
        command
    }
}
