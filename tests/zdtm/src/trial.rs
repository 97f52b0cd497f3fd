// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One run of one test: start, dump, look, remove, and look without criu-gc whether all is as before.

use std::any::Any;
use std::ffi::OsString;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitStatus;

use testkit::{CommandExt, Criu, Finished, IptablesFlavour, TestHost};

use crate::description::{Description, Flavour};
use crate::expectation::Expectation;
use crate::guest::{self, Guest};
use crate::outcome::{Outcome, kinds};
use crate::picture::{Picture, settle};
use crate::running::{Obstacle, Running};
use crate::suite::Test;
use crate::transcript::Transcript;
use crate::{eligibility, own};

/// The last line of criu-gc when nothing is left.
const NOTHING: &str = "Nothing is left.";

/// What every criu says where it may not raise its own limits; it goes on all the same.
const HARMLESS: &str = "Can't setup RLIMIT_NOFILE";

/// A run that is to be.
pub(crate) struct Trial<'a> {
    /// What is dumped.
    pub(crate) test: &'a Test,
    /// What it says of itself.
    pub(crate) description: &'a Description,
    /// In which namespaces.
    pub(crate) flavour: Flavour,
    /// By what.
    pub(crate) means: &'a Means,
}

/// What dumps and what cleans up.
pub(crate) struct Means {
    /// The criu.
    pub(crate) criu: Criu,
    /// The iptables that it finds.
    pub(crate) iptables: IptablesFlavour,
    /// Options for every dump.
    pub(crate) criu_options: Vec<OsString>,
    /// The criu-gc that is tried.
    pub(crate) tool: PathBuf,
}

/// A test that is running, and all that is used on it.
struct Stage<'a> {
    trial: &'a Trial<'a>,
    host: &'a TestHost,
    running: Running,
    images: PathBuf,
}

impl Trial<'_> {
    /// Runs it. A panic of the fixture is a failure of this run, not the end of all.
    pub(crate) fn run(&self) -> (Outcome, Transcript) {
        let mut transcript = Transcript::default();
        let programs = [self.means.tool.as_path(), self.means.criu.program()];
        let host = || TestHost::with_programs(&programs);
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.run_in(&host(), &mut transcript)));
        let outcome = result.unwrap_or_else(|cause| Outcome::Failed(vec![said(cause.as_ref())]));
        (outcome, transcript)
    }

    fn run_in(&self, host: &TestHost, transcript: &mut Transcript) -> Outcome {
        let asked = self.test.hook.as_deref().map(|hook| Expectation::of_hook(hook, transcript));
        let expectation = match asked.transpose() {
            Ok(expectation) => expectation,
            Err(problem) => return Outcome::Failed(vec![problem]),
        };
        let running = match self.start(host, transcript) {
            Ok(running) => running,
            Err(Obstacle::Skipped(why)) => return Outcome::Skipped(why),
            Err(Obstacle::NotStarted(why)) => return Outcome::NotStarted(why),
        };
        let images = host.dir().with_file_name("images");
        let stage = Stage { trial: self, host, running, images };
        let outcome = stage.dump_and_clean(expectation.as_ref(), transcript);
        stage.call_hook("--clean", "hook-clean", transcript);
        outcome
    }

    fn start(&self, host: &TestHost, transcript: &mut Transcript) -> Result<Running, Obstacle> {
        eligibility::check(self.test, self.description)?;
        eligibility::check_features(&self.means.criu, host, self.description)?;
        match &self.test.tree {
            None => own::start(self.description, self.flavour, host),
            Some(tree) => {
                let guest = Guest::new(self.test, tree, self.description, self.flavour, host);
                guest.start(&[&self.means.tool, self.means.criu.program()], transcript)
            }
        }
    }
}

impl Stage<'_> {
    fn dump_and_clean(&self, expectation: Option<&Expectation>, transcript: &mut Transcript) -> Outcome {
        self.call_hook("--pre-dump", "hook-pre-dump", transcript);
        settle(self.host, self.trial.means.iptables);
        let before = self.picture();
        let dump = self.dump(transcript);
        if !dump.status.success() {
            return self.of_failed_dump(&before);
        }
        if !self.running.ends(self.host) {
            return Outcome::Failed(vec![format!("process {} outlives its dump", self.running.pid)]);
        }
        let dumped = self.picture();
        let show = self.tool("--show", expectation);
        transcript.record("show", &show);
        let mut problems = self.problems_of("--show", &show, expectation);
        let changed = dumped.difference(&self.picture(), &self.running);
        problems.extend(changed.iter().map(|line| format!("--show changed the system: {line}")));
        let left = before.difference(&dumped, &self.running);
        problems.extend(problem_of_last_line(&left, &show));
        let removal = self.tool("--yes", expectation);
        transcript.record("gc", &removal);
        problems.extend(self.problems_of("the removal", &removal, expectation));
        let differences = before.difference(&self.picture(), &self.running);
        problems.extend(differences.iter().map(|line| blame(line, removal.status)));
        match (problems.is_empty(), left.is_empty()) {
            (false, _) => Outcome::Failed(problems),
            (true, true) => Outcome::LeftNothing,
            (true, false) => Outcome::Cleaned(kinds(&show.stdout)),
        }
    }

    /// What is wrong with what criu-gc said, when it looked and when it removed.
    fn problems_of(&self, action: &str, finished: &Finished, expectation: Option<&Expectation>) -> Vec<String> {
        let mut problems = Vec::new();
        if !finished.status.success() {
            problems.push(format!("{action} ended with {}", finished.status));
        }
        let missing = expectation.map(|expectation| expectation.missing(self.trial.flavour, &finished.stdout));
        problems.extend(missing.into_iter().flatten().map(|missing| format!("{action}: {missing}")));
        problems
    }

    /// criu takes back what it did when it fails: there is nothing for criu-gc to do.
    fn of_failed_dump(&self, before: &Picture) -> Outcome {
        let left = before.difference(&self.picture(), &self.running);
        let log = fs::read(self.images.join("dump.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).replace(&self.host.dir().display().to_string(), "");
        let reason = reason_of(&log);
        match left.is_empty() {
            true if self.trial.description.is_to_fail() => Outcome::Refused(reason),
            true => Outcome::NotDumped(reason),
            false => {
                let left = left.iter().map(|line| format!("the dump failed ({reason}) and left {line}"));
                Outcome::Failed(left.collect())
            }
        }
    }

    fn dump(&self, transcript: &mut Transcript) -> Finished {
        fs::create_dir(&self.images).expect("a new directory");
        let Means { criu, iptables, criu_options, .. } = self.trial.means;
        let mut command = criu.command(self.host, *iptables);
        command.args(["dump", "--tree", &self.running.pid.to_string(), "--images-dir"]).arg(&self.images);
        command.args(["-v4", "--log-file", "dump.log"]).args(&self.trial.description.dump_options);
        let dump = command.args(&self.running.dump_options).args(criu_options).finish();
        transcript.record("dump", &dump);
        let log = fs::read(self.images.join("dump.log")).unwrap_or_default();
        transcript.record_file("dump-log", String::from_utf8_lossy(&log).into_owned());
        dump
    }

    fn tool(&self, action: &str, expectation: Option<&Expectation>) -> Finished {
        let mut command = self.host.command(&self.trial.means.tool);
        command.arg(action).arg("-D").arg(&self.images);
        command.args(expectation.map_or(&[] as &[String], |expectation| &expectation.options)).finish()
    }

    fn picture(&self) -> Picture {
        Picture::take(self.host, &self.running)
    }

    /// Calls the hook that belongs to the test itself, not to criu-gc.
    fn call_hook(&self, action: &str, name: &'static str, transcript: &mut Transcript) {
        let Some(directory) = &self.running.directory else { return };
        let program = directory.join("zdtm").join(&self.trial.test.name);
        let finished = guest::call_hook(self.host, directory, &program, action, Some(self.running.pid));
        finished.iter().for_each(|finished| transcript.record(name, finished));
    }
}

/// `--show` has to say that nothing is left if and only if nothing is.
fn problem_of_last_line(left: &[String], show: &Finished) -> Option<String> {
    let says_nothing = show.stdout.lines().last() == Some(NOTHING);
    match (left.is_empty(), says_nothing) {
        (true, false) => Some("the dump left nothing, but --show does not say so".to_owned()),
        (false, true) => Some("--show says that nothing is left, but something is".to_owned()),
        _ => None,
    }
}

/// What a difference to the time before the dump means, after everything should be as then. A success of criu-gc says
/// that nothing is left which it knows.
fn blame(line: &str, status: ExitStatus) -> String {
    let is_gone = line.split(": ").any(|part| part.starts_with("- "));
    match (is_gone, status.success()) {
        (true, _) => format!("gone, though it was there before the dump: {line}"),
        (false, true) => format!("left, and criu-gc does not know it: {line}"),
        (false, false) => format!("left by criu-gc: {line}"),
    }
}

/// The first error of a log that matters: later ones follow from it.
fn reason_of(log: &str) -> String {
    let mut errors = log.lines().filter_map(|line| line.split_once("Error ").map(|(_, error)| error));
    let error = errors.find(|error| !error.contains(HARMLESS));
    let error = error.or_else(|| log.lines().last()).unwrap_or("it wrote no log");
    // `(criu/files.c:123): text` with numbers of processes that differ from run to run is of no use to compare.
    error.split_once("): ").map_or(error, |(_, text)| text).trim().to_owned()
}

fn said(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
    text.unwrap_or("the fixture panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn why_a_dump_failed() {
        let log =
            "(00.1) Warn  (a.c:1): x\n(00.2) Error (criu/files.c:12): Can't a\n(00.3) Error (b.c:1): Dumping FAILED.\n";
        assert_eq!(reason_of(log), "Can't a");
        assert_eq!(reason_of("(00.1) one\n(00.2) two\n"), "(00.2) two");
        assert_eq!(reason_of(""), "it wrote no log");
    }

    #[test]
    fn what_a_difference_means() {
        let (success, failure) = (ExitStatus::from_raw(0), ExitStatus::from_raw(1 << 8));
        let check = |line: &str, status, expected: &str| assert_eq!(blame(line, status), format!("{expected}: {line}"));
        check("files of /d: - a file mode 644", success, "gone, though it was there before the dump");
        check("nft in the host: + table inet x", success, "left, and criu-gc does not know it");
        check("iptables-nft-save in the host: + filter: -A INPUT", failure, "left by criu-gc");
    }
}
