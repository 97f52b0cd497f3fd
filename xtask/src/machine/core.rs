// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The core of the privileged tests on a kernel, and what came of each test.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use machine::{Hardware, Kernel};

use super::{old_criu, project};
use crate::error::Error;

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
    /// How long it took.
    pub(crate) duration: Duration,
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
/// this host has processors. The output is shown as it comes.
pub(crate) fn run(kernel: Kernel, criu: &[String]) -> Result<Outcome, Error> {
    let start = Instant::now();
    let versions = if criu.is_empty() { old_criu::on(kernel, &project::versions()?) } else { criu.to_vec() };
    let waiting = Mutex::new(versions.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(next).map(|version| with(kernel, version)).collect::<Vec<_>>();
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(versions.len());
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().flat_map(|worker| worker.join().expect("no panic in a worker"));
        results.collect::<Result<Vec<_>, Error>>()
    })?;
    let release = results.first().map(|(release, _)| release.clone()).unwrap_or_default();
    let mut tests: Vec<Test> = results.into_iter().flat_map(|(_, tests)| tests).collect();
    tests.sort_by_key(|test| versions.iter().position(|version| *version == test.criu));
    Ok(Outcome { release, tests, refusals: refusals(kernel)?, duration: start.elapsed() })
}

/// Runs the core with one CRIU: the kernel's version, and what came of each test.
fn with(kernel: Kernel, version: &str) -> Result<(String, Vec<Test>), Error> {
    let mut machine = Hardware::new(kernel)?.boot()?;
    let release = machine.run("uname -r")?.stdout.trim().to_owned();
    machine.set_limit(LIMIT);
    let mut output = Copied::default();
    let script = project::script(kernel, &[version.to_owned()], &[])?;
    let code = machine.stream(&script, &mut output, &mut io::stderr())?;
    let tests: Vec<Test> = String::from_utf8_lossy(&output.copy).lines().filter_map(Test::parse).collect();
    let has_failed = tests.iter().any(|test| !test.has_passed);
    if tests.is_empty() || (code != 0 && !has_failed) {
        return Err(Error::EndedInMachine(code));
    }
    machine.power_off()?;
    Ok((release, tests))
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
    fn parse(line: &str) -> Option<Self> {
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
        for other in ["test result: ok. 1 passed", "test a (criu 4.3) ... ignored", "a (criu 4.3) ... ok"] {
            assert_eq!(Test::parse(other), None);
        }
    }
}
