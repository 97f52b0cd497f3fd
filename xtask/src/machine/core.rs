// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The core of the privileged tests on a kernel, and what came of each test.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use machine::{Hardware, Installation, Kernel};

use super::project::Share;
use super::{old_criu, project, stamp};
use crate::error::Error;
use crate::tree::{create, write};

/// The core with one CRIU takes about six minutes on an idle host.
const LIMIT: Duration = Duration::from_secs(3600);

/// What came of the core on a kernel.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The kernel's version, as `uname -r` prints it.
    pub(crate) release: String,
    /// Each test that ended, in the order of the suite.
    pub(crate) tests: Vec<Test>,
    /// What each CRIU says that is not run on this kernel.
    pub(crate) refusals: Vec<(String, String)>,
    /// How long the machines ran, all together.
    pub(crate) duration: Duration,
}

/// Whether results of an earlier run count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Results {
    /// What has run with the very same programs does not run again: a table of an hour may be interrupted.
    Kept,
    /// Everything runs.
    Fresh,
}

/// A test that ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Test {
    /// What must hold.
    pub(crate) name: String,
    /// The version of CRIU.
    pub(crate) criu: String,
    /// Whether it held.
    pub(crate) has_passed: bool,
}

/// Runs the core with these CRIUs, or with all that run on the kernel: each in a machine of its own, as many at a time as
/// this host has processors. Where these are more, machines share the core. The output is shown as it comes.
pub(crate) fn run(kernel: Kernel, criu: &[String], results: Results) -> Result<Outcome, Error> {
    let versions = if criu.is_empty() { old_criu::on(kernel, &project::versions()?) } else { criu.to_vec() };
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let of = (processors / versions.len().max(1)).max(1);
    let shares = (1..=of).map(|number| Share { number, of });
    let parts: Vec<(&String, Share)> =
        shares.flat_map(|share| versions.iter().map(move |version| (version, share))).collect();
    let waiting = Mutex::new(parts.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = |(version, share): &(&String, Share)| with(kernel, version, *share, results);
    let work = || std::iter::from_fn(next).map(run).collect::<Vec<_>>();
    let workers = processors.min(parts.len());
    let runs = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let runs = workers.into_iter().flat_map(|worker| worker.join().expect("no panic in a worker"));
        runs.collect::<Result<Vec<MachineRun>, Error>>()
    })?;
    let release = runs.first().map(|run| run.release.clone()).unwrap_or_default();
    let duration = runs.iter().map(|run| run.duration).sum();
    let mut tests: Vec<Test> = runs.into_iter().flat_map(|run| run.tests).collect();
    tests.sort_by_key(|test| versions.iter().position(|version| *version == test.criu));
    Ok(Outcome { release, tests, refusals: refusals(kernel)?, duration })
}

/// Runs a share of the core with one CRIU.
fn with(kernel: Kernel, version: &str, share: Share, results: Results) -> Result<MachineRun, Error> {
    let installation = Installation::of_workspace();
    let name = match share {
        Share::WHOLE => format!("{kernel}-{version}"),
        Share { number, of } => format!("{kernel}-{version}-{number}-of-{of}"),
    };
    let place = installation.directory().join("core").join(name);
    let programs = stamp::text(&installation.project());
    if let (Results::Kept, Some(run)) = (results, MachineRun::kept(&place, &programs)) {
        println!("machine: the core on kernel {kernel} with CRIU {version} has run: {}", place.display());
        return Ok(run);
    }
    let start = Instant::now();
    let mut machine = Hardware::new(kernel)?.boot()?;
    let release = machine.run("uname -r")?.stdout.trim().to_owned();
    machine.set_limit(LIMIT);
    let mut output = Copied::default();
    let script = project::script(kernel, &[version.to_owned()], &[], share)?;
    let code = machine.stream(&script, &mut output, &mut io::stderr())?;
    let tests: Vec<Test> = String::from_utf8_lossy(&output.copy).lines().filter_map(Test::parse).collect();
    let has_failed = tests.iter().any(|test| !test.has_passed);
    if tests.is_empty() || (code != 0 && !has_failed) {
        return Err(Error::EndedInMachine(code));
    }
    machine.power_off()?;
    let run = MachineRun { release, tests, duration: start.elapsed() };
    if !has_failed {
        run.keep(&place, &programs)?;
    }
    Ok(run)
}

/// One machine's part of the core.
#[derive(Debug, Eq, PartialEq)]
struct MachineRun {
    release: String,
    tests: Vec<Test>,
    duration: Duration,
}

impl MachineRun {
    /// That of an earlier run with the programs of this stamp.
    fn kept(place: &Path, programs: &str) -> Option<Self> {
        if !stamp::holds(place, programs) {
            return None;
        }
        Self::parse(&fs::read_to_string(place).ok()?)
    }

    fn keep(&self, place: &Path, programs: &str) -> Result<(), Error> {
        let directory = place.parent().unwrap_or(place);
        create(directory)?;
        write(place, &self.text())?;
        stamp::set(place, programs)
    }

    /// The kernel's version, the seconds, and the lines of the tests.
    fn text(&self) -> String {
        let line = |test: &Test| {
            let outcome = if test.has_passed { "ok" } else { "FAILED" };
            format!("test {} (criu {}) ... {outcome}\n", test.name, test.criu)
        };
        let tests: String = self.tests.iter().map(line).collect();
        format!("{}\n{}\n{tests}", self.release, self.duration.as_secs())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (release, seconds) = (lines.next()?.to_owned(), lines.next()?.parse().ok()?);
        Some(Self { release, tests: lines.filter_map(Test::parse).collect(), duration: Duration::from_secs(seconds) })
    }
}

/// The first error of `criu check` of each version that the core does not run with.
fn refusals(kernel: Kernel) -> Result<Vec<(String, String)>, Error> {
    let all = project::versions()?;
    let runs = old_criu::on(kernel, &all);
    let others: Vec<String> = all.into_iter().filter(|version| !runs.contains(version)).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let mut machine = Hardware::new(kernel)?.boot()?;
    let mut refusals = Vec::new();
    for version in others {
        let said = machine.finish(&format!("/project/target/criu/{version}/criu check"))?;
        let all = said.stdout + &said.stderr;
        let error = all.lines().find(|line| line.contains("Error")).unwrap_or("no error").to_owned();
        refusals.push((version, error));
    }
    machine.power_off()?;
    Ok(refusals)
}

impl Test {
    /// `test NAME (criu VERSION) ... ok`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let (name, criu) = name.trim_end().strip_suffix(')')?.rsplit_once(" (criu ")?;
        let has_passed = match outcome.trim() {
            "ok" => true,
            "FAILED" => false,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), criu: criu.to_owned(), has_passed })
    }
}

/// Standard output, which gets whole lines since machines share it, and a copy of what went there.
#[derive(Default)]
struct Copied {
    copy: Vec<u8>,
    /// How much of the copy is on standard output.
    shown: usize,
}

impl Write for Copied {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.copy.extend_from_slice(bytes);
        if let Some(end) = self.copy.iter().rposition(|byte| *byte == b'\n').filter(|end| *end >= self.shown) {
            io::stdout().write_all(&self.copy[self.shown..=end])?;
            self.shown = end + 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_are_read() {
        let test = |has_passed| Some(Test { name: "a (b) c".to_owned(), criu: "4.3".to_owned(), has_passed });
        assert_eq!(Test::parse("test a (b) c (criu 4.3)    ... ok"), test(true));
        assert_eq!(Test::parse("test a (b) c (criu 4.3) ... FAILED"), test(false));
        let run = MachineRun {
            release: "6.1.0-41-amd64".to_owned(),
            tests: [true, false].into_iter().filter_map(test).collect(),
            duration: Duration::from_secs(700),
        };
        assert_eq!(MachineRun::parse(&run.text()), Some(run));
        for other in ["test result: ok. 1 passed", "test a (criu 4.3) ... ignored", "a (criu 4.3) ... ok"] {
            assert_eq!(Test::parse(other), None);
        }
    }

    #[test]
    fn the_times_after_the_tests_are_none_of_them() {
        let printed = "running 2 tests\ntest one (criu 4.3)  ... ok\ntest two (criu 4.3)  ... FAILED\n\n\
                       test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 3.00s\n\n\
                       times of 2 tests, 5 s in all:\n    3.00 s  two (criu 4.3)\n    2.00 s  one (criu 4.3)\n\n";
        let tests: Vec<_> = printed.lines().filter_map(Test::parse).map(|test| (test.name, test.has_passed)).collect();
        assert_eq!(tests, [("one".to_owned(), true), ("two".to_owned(), false)]);
    }
}
