// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumping a tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Criu;
use super::options::{DumpOptions, FinalState};
use super::restore::Restored;
use crate::command::{CommandExt, Finished};
use crate::container::Container;
use crate::host::TestHost;
use crate::workload::Workload;

/// The name of the log in the images directory.
const LOG: &str = "dump.log";

/// A dump that succeeded.
#[derive(Debug)]
pub struct DumpResult {
    /// Where the images are.
    pub images: PathBuf,
    /// How long CRIU took.
    pub duration: Duration,
    pub(crate) container: Option<Container>,
}

impl DumpResult {
    /// CRIU's log, as detailed as can be.
    ///
    /// # Panics
    /// If it is gone.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.images.join(LOG)).expect("the log of a dump");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Criu {
    /// Dumps the tree to a new directory. Unless it is to live on, the tree is gone afterwards.
    ///
    /// # Panics
    /// If the dump fails; the message holds the end of the log.
    #[track_caller]
    pub fn dump(&self, host: &TestHost, tree: &Workload, images: &Path, options: &DumpOptions) -> DumpResult {
        let pids = tree.real_pids();
        let start = Instant::now();
        let finished = self.try_dump(host, tree, images, options);
        let duration = start.elapsed();
        assert!(finished.status.success(), "{finished}{}", end_of(&images.join(LOG)));
        if options.final_state == FinalState::Dead {
            tree.await_end(&pids);
        }
        let container = tree.container().cloned();
        DumpResult { images: images.to_owned(), duration, container }
    }

    /// The same, for a dump that is meant to fail.
    ///
    /// # Panics
    /// If CRIU hangs.
    #[track_caller]
    pub fn try_dump(&self, host: &TestHost, tree: &Workload, images: &Path, options: &DumpOptions) -> Finished {
        self.dump_command(host, tree, images, options).finish()
    }

    /// Dumps a tree that was restored from the dump given, to a new directory. The tree is gone afterwards.
    ///
    /// # Panics
    /// If the dump fails; the message holds the end of the log.
    #[track_caller]
    pub fn dump_again(
        &self,
        host: &TestHost,
        restored: Restored,
        of: &DumpResult,
        images: &Path,
        options: &DumpOptions,
    ) -> DumpResult {
        let start = Instant::now();
        let mut command = self.command_for(host, restored.pid(), of.container.as_ref(), images, options);
        let finished = command.finish();
        let duration = start.elapsed();
        assert!(finished.status.success(), "{finished}{}", end_of(&images.join(LOG)));
        // Waits for its end.
        drop(restored);
        DumpResult { images: images.to_owned(), duration, container: of.container.clone() }
    }

    /// The command that dumps the tree; makes the images directory.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn dump_command(&self, host: &TestHost, tree: &Workload, images: &Path, options: &DumpOptions) -> Command {
        self.command_for(host, tree.pid(), tree.container(), images, options)
    }

    fn command_for(
        &self,
        host: &TestHost,
        pid: u32,
        container: Option<&Container>,
        images: &Path,
        options: &DumpOptions,
    ) -> Command {
        fs::create_dir_all(images).expect("an images directory");
        let mut command = self.command(host, options.flavour);
        command.args(["dump", "--tree", &pid.to_string(), "--images-dir"]).arg(images);
        command.args(["-v4", "--log-file", LOG]).args(options.arguments());
        command.args(container.map(Container::dump_options).unwrap_or_default());
        command
    }
}

/// The errors and the last lines of a log.
pub(super) fn end_of(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let (start, end) = lines.split_at(lines.len().saturating_sub(10));
    let errors = start.iter().filter(|line| line.contains("Error"));
    errors.chain(end).flat_map(|line| [line, "\n"]).collect()
}
