// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the few programs that the tool needs.
//!
//! A program is found by its name in a fixed list of directories, never through `PATH`. It runs without a shell, with
//! its own environment, for a limited time, in the network namespace of the calling thread. Only its exit status says
//! whether it succeeded.
//!
//! Its streams are files in memory, not pipes: a process that outlives the program cannot block the tool by holding
//! them open.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};

/// Where programs are looked for, in this order.
const SEARCH_PATH: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// How long a program may run.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How much a program may write: several hundred thousand firewall rules.
const OUTPUT_LIMIT: u64 = 64 * 1024 * 1024;
/// How much of the end of what it says on standard error goes into an error.
const ERROR_TAIL: u64 = 2048;
/// How often a running program is looked at.
const INTERVAL: Duration = Duration::from_millis(1);

/// Why a program gave no output.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is in none of the directories.
    #[error("{program} is not installed (looked in {})", SEARCH_PATH.join(":"))]
    NotFound {
        /// The program.
        program: &'static str,
    },
    /// It could not be started, or what it wrote could not be read.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// It ran on and on, and was killed.
    #[error("{program} was killed because it did not finish within {} seconds", limit.as_secs_f32())]
    TimedOut {
        /// The program.
        program: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It wrote without end, and was killed.
    #[error("{program} was killed because it wrote more than {OUTPUT_LIMIT} bytes")]
    TooMuchOutput {
        /// The program.
        program: &'static str,
    },
    /// It says that it failed.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error; anything may be in it.
        message: String,
    },
}

/// Runs a program with `input` as its standard input, and gives its standard output.
pub fn run(program: &'static str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Error> {
    run_within(TIME_LIMIT, program, arguments, input)
}

/// As [`run`], with another time limit.
pub fn run_within(limit: Duration, program: &'static str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Run { program, source };
    let mut streams = Streams::new(input).map_err(failed)?;
    let path = find(program).ok_or(Error::NotFound { program })?;
    let mut child = start(&path, arguments, &streams).map_err(failed)?;
    let end = wait(&mut child, &streams, limit).map_err(failed)?;
    let size = streams.size().map_err(failed)?;
    match end {
        // It may have written that much within its last moment.
        _ if size > OUTPUT_LIMIT => Err(Error::TooMuchOutput { program }),
        End::Exited(status) if status.success() => streams.output.text().map_err(failed),
        End::Exited(status) => {
            let message = streams.errors.tail().map_err(failed)?;
            Err(Error::Failed { program, status, message })
        }
        End::TimedOut => Err(Error::TimedOut { program, limit }),
        End::TooMuchOutput => Err(Error::TooMuchOutput { program }),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    SEARCH_PATH.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.is_file())
}

fn start(program: &Path, arguments: &[&str], streams: &Streams) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", SEARCH_PATH.join(":"))
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(streams.input.stdio()?)
        .stdout(streams.output.stdio()?)
        .stderr(streams.errors.stdio()?)
        // So that all of it can be killed, and so that an interrupt from the terminal does not stop it half way.
        .process_group(0)
        .spawn()
}

/// How a program ended.
enum End {
    Exited(ExitStatus),
    TimedOut,
    TooMuchOutput,
}

fn wait(child: &mut Child, streams: &Streams, limit: Duration) -> io::Result<End> {
    let started = Instant::now();
    loop {
        match look(child, streams) {
            Ok(Some(End::Exited(status))) => return Ok(End::Exited(status)),
            Ok(None) if started.elapsed() <= limit => std::thread::sleep(INTERVAL),
            end => {
                kill(child);
                return end.map(|end| end.unwrap_or(End::TimedOut));
            }
        }
    }
}

/// `None` while all is well.
fn look(child: &mut Child, streams: &Streams) -> io::Result<Option<End>> {
    match child.try_wait()? {
        Some(status) => Ok(Some(End::Exited(status))),
        None if streams.size()? > OUTPUT_LIMIT => Ok(Some(End::TooMuchOutput)),
        None => Ok(None),
    }
}

/// Kills the program, which has not been waited for, with everything that it has started and that is still in its group.
fn kill(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Until it is waited for, the number is its own.
    let killed = group.map(|group| rustix::process::kill_process_group(group, Signal::KILL));
    if let Some(Ok(())) = killed {
        drop(child.wait());
    }
}

/// What a program reads and writes.
struct Streams {
    input: Stream,
    output: Stream,
    errors: Stream,
}

impl Streams {
    fn new(input: &[u8]) -> io::Result<Self> {
        let mut streams = Streams { input: Stream::new()?, output: Stream::new()?, errors: Stream::new()? };
        streams.input.0.write_all(input)?;
        streams.input.0.rewind()?;
        Ok(streams)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.output.size()?.max(self.errors.size()?))
    }
}

/// A file in memory.
struct Stream(File);

impl Stream {
    fn new() -> io::Result<Self> {
        Ok(Stream(File::from(rustix::fs::memfd_create("stream", MemfdFlags::CLOEXEC)?)))
    }

    fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.rewind()?;
        (&mut self.0).take(OUTPUT_LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn tail(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(self.size()?.saturating_sub(ERROR_TAIL)))?;
        (&mut self.0).take(ERROR_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_goes_in_and_output_comes_out() {
        assert_eq!(run("cat", &[], b"a\0b\n").unwrap(), b"a\0b\n");
    }

    #[test]
    fn the_environment_is_not_inherited() {
        let text = String::from_utf8(run("env", &[], b"").unwrap()).unwrap();
        assert_eq!(text, "LC_ALL=C\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\n");
    }

    #[test]
    fn a_failure_tells_the_exit_status_and_the_end_of_standard_error() {
        let script = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 3";
        match run("sh", &["-c", script], b"") {
            Err(Error::Failed { status, message, .. }) => {
                assert_eq!(status.code(), Some(3));
                assert!(message.ends_with("xxx the end") || message.ends_with("xxxthe end"), "{message}");
                assert!(message.len() <= 2048);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let limit = Duration::from_millis(200);
        let directory = tempfile::tempdir().unwrap();
        let alive = directory.path().join("alive");
        let script = format!("(sleep 0.6; echo x > {0}) & sleep 60", alive.display());
        let result = run_within(limit, "sh", &["-c", &script], b"");
        assert!(matches!(result, Err(Error::TimedOut { .. })), "{result:?}");
        std::thread::sleep(Duration::from_secs(1));
        assert!(!alive.exists());
    }

    #[test]
    fn a_process_that_outlives_the_program_is_not_waited_for() {
        let started = Instant::now();
        run("sh", &["-c", "sleep 3 & exit 0"], b"").unwrap();
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_program_that_writes_without_end_is_killed() {
        let result = run("yes", &[], b"");
        assert!(matches!(result, Err(Error::TooMuchOutput { .. })), "{:?}", result.map(|bytes| bytes.len()));
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        assert!(matches!(run("no-such-program", &[], b""), Err(Error::NotFound { .. })));
    }
}
