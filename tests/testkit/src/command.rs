// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Running a program to its end, within a time limit.
//!
//! The output goes to files, not pipes: a process that outlives the program and holds its output
//! open (a restored tree, say) must not keep us waiting.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// No program of the tests takes longer, also in an emulated machine on a busy host, short of hanging.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// How often the world is looked at while waiting for it.
const INTERVAL: Duration = Duration::from_millis(1);

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
    command: String,
}

/// What this crate adds to [`Command`].
pub trait CommandExt {
    /// Runs the program to its end.
    ///
    /// # Panics
    /// If it does not start, or takes too long.
    #[track_caller]
    fn finish(&mut self) -> Finished {
        self.finish_reading(Stdio::null())
    }

    /// The same, with this for standard input.
    ///
    /// # Panics
    /// If it does not start, or takes too long.
    fn finish_reading(&mut self, input: impl Into<Stdio>) -> Finished;

    /// Runs the program to its end, which must be a success.
    ///
    /// # Panics
    /// If it fails; the message holds its standard error.
    fn succeed(&mut self) -> Finished;
}

impl CommandExt for Command {
    #[track_caller]
    fn finish_reading(&mut self, input: impl Into<Stdio>) -> Finished {
        let command = format!("{self:?}");
        let (mut stdout, mut stderr) = (unnamed_file(), unnamed_file());
        self.stdin(input).stdout(handle(&stdout)).stderr(handle(&stderr));
        let mut child = self.spawn().unwrap_or_else(|error| panic!("cannot run {command}: {error}"));
        let status = wait(&mut child);
        let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
        let status = status.unwrap_or_else(|| panic!("{command} hangs\n{stdout}{stderr}"));
        Finished { status, stdout, stderr, command }
    }

    #[track_caller]
    fn succeed(&mut self) -> Finished {
        let finished = self.finish();
        let Finished { status, stdout, stderr, command } = &finished;
        assert!(status.success(), "{command}: {status}\n{stdout}{stderr}");
        finished
    }
}

impl Finished {
    /// The exit status; a signal's number, negated, if one ended the program.
    pub fn code(&self) -> i32 {
        self.status.code().or(self.status.signal().map(|signal| -signal)).unwrap_or(i32::MIN)
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr, command } = self;
        write!(formatter, "{command}: {status}\n{stdout}{stderr}")
    }
}

/// Copies a program that will be run. Another process does it: while this one had the copy open for writing, a program
/// that another thread starts would inherit that, and the copy could not be run (`ETXTBSY`).
pub(crate) fn copy_program(program: &Path, place: &Path) {
    Command::new("cp").arg("--preserve=mode").arg("--").args([program, place]).succeed();
}

/// Waits until the condition gives a value; nothing if that takes too long.
pub fn wait_until<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        match condition() {
            Some(value) => return Some(value),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(INTERVAL),
        }
    }
}

/// A file without a name, for a program's output.
pub(crate) fn unnamed_file() -> File {
    tempfile::tempfile().expect("a temporary file")
}

/// The file as a program's stream.
pub(crate) fn handle(file: &File) -> Stdio {
    file.try_clone().expect("a second handle of a file").into()
}

/// All that the file holds.
pub(crate) fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("a temporary file");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let status = wait_until(|| child.try_wait().expect("a child's status"));
    if status.is_none() {
        // A child that is gone meanwhile cannot be killed, which is what is wanted.
        child.kill().and_then(|()| child.wait().map(drop)).unwrap_or(());
    }
    status
}
