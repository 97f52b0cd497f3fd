// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The actions of a run, each a program: hooks, the test's start, criu, criu-gc. None may take longer than its limit,
//! and none goes on after an interrupt.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// How often a program is asked whether it has ended.
const INTERVAL: Duration = Duration::from_millis(2);

/// What ends an action that does not end by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch<'a> {
    limit: Duration,
    interrupt: &'a Interrupt,
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// For the reader of a transcript: `dump`.
    pub(crate) name: &'static str,
    /// Its standard output; bytes that are not UTF-8 are replaced.
    pub(crate) stdout: String,
    /// Its standard error; bytes that are not UTF-8 are replaced.
    pub(crate) stderr: String,
    /// How it ended.
    pub(crate) end: End,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed after so long.
    Hung(Duration),
    /// It was killed because of a signal to the runner.
    Interrupted,
}

/// Why a run cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stopped {
    /// This did not end within the limit.
    Hung(&'static str, Duration),
    /// A signal has come.
    Interrupted,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(limit: Duration, interrupt: &'a Interrupt) -> Self {
        Self { limit, interrupt }
    }

    /// Runs the program to its end. Its output goes to files: a process that outlives it may hold them open.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) fn run(self, name: &'static str, command: &mut Command) -> Action {
        let file = || tempfile::tempfile().expect("a temporary file");
        let (mut stdout, mut stderr) = (file(), file());
        let stream = |file: &File| Stdio::from(file.try_clone().expect("a second handle of a file"));
        command.stdin(Stdio::null()).stdout(stream(&stdout)).stderr(stream(&stderr));
        // Ctrl-C on a terminal is for the runner, which ends its programs itself.
        command.process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let end = match self.wait(name, || child.try_wait().expect("a child's status")) {
            Ok(status) => End::Exited(status),
            Err(stopped) => kill(&mut child, stopped),
        };
        Action { name, stdout: text(&mut stdout), stderr: text(&mut stderr), end }
    }

    /// Waits until there is something.
    pub(crate) fn wait<T>(self, name: &'static str, mut look: impl FnMut() -> Option<T>) -> Result<T, Stopped> {
        let end = Instant::now() + self.limit;
        loop {
            if self.interrupt.has_come() {
                return Err(Stopped::Interrupted);
            }
            match look() {
                Some(value) => return Ok(value),
                None if Instant::now() > end => return Err(Stopped::Hung(name, self.limit)),
                None => thread::sleep(INTERVAL),
            }
        }
    }
}

impl Action {
    /// Itself, if it ended by itself.
    pub(crate) fn completed(self) -> Result<Self, Stopped> {
        match self.end {
            End::Exited(_) => Ok(self),
            End::Hung(limit) => Err(Stopped::Hung(self.name, limit)),
            End::Interrupted => Err(Stopped::Interrupted),
        }
    }

    /// Whether it ended with status 0.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.end, End::Exited(status) if status.success())
    }
}

impl Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(formatter, "{status}"),
            Self::Hung(limit) => write!(formatter, "killed, because it was still running after {}", seconds(*limit)),
            Self::Interrupted => write!(formatter, "killed by the interrupt"),
        }
    }
}

impl Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hung(name, limit) => write!(formatter, "{name} did not end within {}", seconds(*limit)),
            Self::Interrupted => write!(formatter, "interrupted"),
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}

/// What it started in a host ends with the host.
fn kill(child: &mut Child, stopped: Stopped) -> End {
    // A child that is gone meanwhile cannot be killed, which is what is wanted.
    child.kill().and_then(|()| child.wait().map(drop)).unwrap_or(());
    match stopped {
        Stopped::Hung(_, limit) => End::Hung(limit),
        Stopped::Interrupted => End::Interrupted,
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("a temporary file");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration, interrupt: &Interrupt) -> Action {
        Watch::new(limit, interrupt).run("script", Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_program_that_ends() {
        let action = shell("echo out; echo err >&2; exit 3", Duration::from_secs(60), &Interrupt::default());
        assert_eq!((action.stdout.as_str(), action.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(action.end.to_string(), "exit status: 3");
        assert!(!action.is_success() && action.completed().is_ok());
    }

    #[test]
    fn a_program_that_hangs_has_said_something() {
        let action = shell("echo before; exec sleep 600", Duration::from_millis(500), &Interrupt::default());
        assert_eq!(action.stdout, "before\n");
        assert_eq!(action.end.to_string(), "killed, because it was still running after 0.5 s");
        assert_eq!(action.completed().unwrap_err().to_string(), "script did not end within 0.5 s");
    }

    #[test]
    fn an_interrupt_ends_a_program() {
        let interrupt = Interrupt::default();
        let raise = interrupt.clone();
        let start = Instant::now();
        let action = thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(100));
                raise.raise();
            });
            shell("exec sleep 600", Duration::from_secs(300), &interrupt)
        });
        assert_eq!(action.completed().unwrap_err(), Stopped::Interrupted);
        assert!(start.elapsed() < Duration::from_secs(200));
    }
}
