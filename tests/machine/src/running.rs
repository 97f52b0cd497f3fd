// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine that runs: scripts, and its end.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::console::Console;
use crate::hardware::Hardware;
use crate::protocol::Frame;
use crate::qemu::Qemu;

/// A boot takes about 3 seconds on an idle host, with systemd about 20.
const BOOT_LIMIT: Duration = Duration::from_secs(300);

/// The limit of a script that names none.
const SCRIPT_LIMIT: Duration = Duration::from_secs(300);

/// The limit for switching off.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A machine that runs, as root with an agent in it. Dropping it cuts its power.
#[derive(Debug)]
pub struct Machine {
    qemu: Qemu,
    port: UnixStream,
    console: Console,
    limit: Duration,
}

/// A script that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Its exit status; a signal's number, negated, if one ended it.
    pub code: i32,
    /// Its standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl Machine {
    pub(crate) fn start(hardware: &Hardware, name: &str) -> Result<Self, Error> {
        let console = Console::new(&hardware.file(&format!("{name}.console")));
        let (qemu, port) = Qemu::start(hardware, name)?;
        let mut machine = Self { qemu, port, console, limit: SCRIPT_LIMIT };
        match machine.receive("booted", Instant::now() + BOOT_LIMIT, BOOT_LIMIT)? {
            Frame::Ready => Ok(machine),
            other => Err(Error::Protocol(format!("{other:?} instead of a greeting"))),
        }
    }

    /// Sets the time that each script may take from now on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Runs a script of bash, which must succeed.
    ///
    /// # Errors
    /// [`Error::Failed`] if it does not; those of [`Machine::finish`].
    pub fn run(&mut self, script: &str) -> Result<Ended, Error> {
        let Ended { code, stdout, stderr } = self.finish(script)?;
        match code {
            0 => Ok(Ended { code, stdout, stderr }),
            _ => Err(Error::Failed { code, script: script.to_owned(), stdout, stderr }),
        }
    }

    /// Runs a script of bash to its end, whatever that is. Processes that it leaves go on.
    ///
    /// # Errors
    /// If the machine panics, ends or takes too long.
    pub fn finish(&mut self, script: &str) -> Result<Ended, Error> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let code = self.stream(script, &mut stdout, &mut stderr)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ended { code, stdout: text(stdout), stderr: text(stderr) })
    }

    /// The same, with the output as it comes.
    ///
    /// # Errors
    /// As for [`Machine::finish`].
    pub fn stream(&mut self, script: &str, out: &mut impl Write, errors: &mut impl Write) -> Result<i32, Error> {
        let doing = format!("ran {}", first_line(script));
        let end = Instant::now() + self.limit;
        self.start_script(script)?;
        let lost = |error: io::Error| Error::Protocol(format!("the output cannot be written: {error}"));
        loop {
            match self.receive(&doing, end, self.limit)? {
                Frame::Output(bytes) => out.write_all(&bytes).and_then(|()| out.flush()).map_err(lost)?,
                Frame::Errors(bytes) => errors.write_all(&bytes).and_then(|()| errors.flush()).map_err(lost)?,
                Frame::Exit(code) => return Ok(code),
                other => return Err(Error::Protocol(format!("{other:?} while it {doing}"))),
            }
        }
    }

    /// Brings what is in a directory of the machine to one of this host, which has to exist.
    ///
    /// # Errors
    /// If it cannot be read or written; those of [`Machine::finish`].
    pub fn bring_back(&mut self, from: &str, to: &Path) -> Result<(), Error> {
        let (mut archive, mut errors) = (Vec::new(), Vec::new());
        let script = format!("exec tar --create --directory '{from}' .");
        let code = self.stream(&script, &mut archive, &mut errors)?;
        if code != 0 {
            let (stdout, stderr) = (String::new(), String::from_utf8_lossy(&errors).into_owned());
            return Err(Error::Failed { code, script, stdout, stderr });
        }
        let file = |source| Error::File { action: "write to", path: to.to_owned(), source };
        let mut extract = Command::new("tar");
        extract.args(["--extract", "--no-same-owner", "--directory"]).arg(to).stdin(Stdio::piped());
        let mut extracting = extract.spawn().map_err(|source| Error::Start { program: "tar", source })?;
        let written = extracting.stdin.take().expect("a pipe").write_all(&archive);
        let status = extracting.wait().map_err(file)?;
        match (written, status.success()) {
            (Ok(()), true) => Ok(()),
            (Err(error), _) => Err(file(error)),
            (Ok(()), false) => Err(file(io::Error::other(format!("tar: {status}")))),
        }
    }

    /// Starts a script and does not wait for it: the next thing has to be [`Machine::cut_power`].
    ///
    /// # Errors
    /// If the machine has ended.
    pub fn start_script(&mut self, script: &str) -> Result<(), Error> {
        let sent = Frame::Script(script.as_bytes().to_vec()).write(&mut self.port);
        sent.map_err(|_| self.gone(&format!("was to run {}", first_line(script))))
    }

    /// Writes all to the disks and switches off, as a reboot does.
    ///
    /// # Errors
    /// If the machine does not end in time.
    pub fn power_off(mut self) -> Result<(), Error> {
        // The last act never answers.
        self.start_script("exec /project/power-off")?;
        match self.qemu.await_end(END_LIMIT) {
            Some(_) if self.console.has_panic() => Err(self.gone("switched off")),
            Some(_) => Ok(()),
            None => Err(self.hang("switched off", END_LIMIT)),
        }
    }

    /// Cuts the power: what is not on a disk yet is lost.
    pub fn cut_power(mut self) {
        self.qemu.kill();
    }

    /// What the kernel wrote to the console so far.
    pub fn console(&self) -> String {
        self.console.text()
    }

    fn receive(&mut self, doing: &str, end: Instant, limit: Duration) -> Result<Frame, Error> {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.port.set_read_timeout(Some(left)).map_err(|error| Error::Protocol(error.to_string()))?;
        match Frame::read(&mut self.port) {
            Ok(Some(frame)) => Ok(frame),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let error = if self.console.has_panic() { self.gone(doing) } else { self.hang(doing, limit) };
                self.qemu.kill();
                Err(error)
            }
            Ok(None) | Err(_) => Err(self.gone(doing)),
        }
    }

    fn gone(&mut self, doing: &str) -> Error {
        self.qemu.kill();
        let (doing, console) = (doing.to_owned(), self.console.end());
        match self.console.has_panic() {
            true => Error::Panic { doing, console },
            false => Error::Ended { doing, console },
        }
    }

    fn hang(&self, doing: &str, limit: Duration) -> Error {
        Error::Hang { doing: doing.to_owned(), limit, console: self.console.end() }
    }
}

fn first_line(script: &str) -> &str {
    let code = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    script.lines().find(code).unwrap_or("nothing")
}
