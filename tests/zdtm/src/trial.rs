// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One run of one test: start, dump, look, remove, and look without criu-gc whether all is as before.

use std::fs;
use std::path::PathBuf;

use testkit::TestHost;

use crate::action::{Action, Stopped};
use crate::description::{Description, Flavour};
use crate::expectation::Expectation;
use crate::guest::{self, Guest};
use crate::outcome::{Outcome, kinds};
use crate::picture::{Picture, settle};
use crate::programs::Programs;
use crate::running::{Obstacle, Running};
use crate::session::Session;
use crate::suite::Test;
use crate::verdict::{blame, problem_of_last_line, problems_of, reason_of};
use crate::{eligibility, fixture, own};

/// A run that is to be.
#[derive(Clone, Copy)]
pub(crate) struct Trial<'a> {
    /// What is dumped.
    pub(crate) test: &'a Test,
    /// What it says of itself.
    pub(crate) description: &'a Description,
    /// In which namespaces.
    pub(crate) flavour: Flavour,
    /// By what.
    pub(crate) programs: &'a Programs,
}

/// A test that is running, and all that is used on it.
struct Stage<'a> {
    trial: &'a Trial<'a>,
    host: &'a TestHost,
    running: Running,
    images: PathBuf,
}

impl Trial<'_> {
    /// Runs it. A panic of the fixture is an outcome of this run, not the end of all.
    pub(crate) fn run(&self, session: &mut Session<'_>) -> Outcome {
        let programs = [self.programs.tool.as_path(), self.programs.criu.program()];
        let host = match fixture::attempt(|| TestHost::with_programs(&programs)) {
            Ok(host) => host,
            Err(panic) => return Outcome::Broken(panic),
        };
        let result = fixture::attempt(|| self.run_in(&host, session));
        if let Some((name, text)) = guest::output(&host, self.test) {
            session.transcript.record_text("test", &format!("its own output, {name}"), text);
        }
        match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(stopped)) => Outcome::of_stop(stopped),
            Err(panic) => Outcome::Broken(panic),
        }
    }

    fn run_in(&self, host: &TestHost, session: &mut Session<'_>) -> Result<Outcome, Stopped> {
        let asked = self.test.hook.as_deref().map(|hook| Expectation::of_hook(hook, session));
        let expectation = match asked.transpose() {
            Ok(expectation) => expectation,
            Err(problem) => return Ok(Outcome::Broken(problem)),
        };
        let running = match self.start(host, session) {
            Ok(running) => running,
            Err(Obstacle::Skipped(why)) => return Ok(Outcome::Skipped(why)),
            Err(Obstacle::NotStarted(why)) => return Ok(Outcome::NotStarted(why)),
            Err(Obstacle::Stopped(stopped)) => return Ok(Outcome::of_stopped_start(stopped)),
        };
        let images = host.dir().with_file_name("images");
        let stage = Stage { trial: self, host, running, images };
        let outcome = stage.dump_and_clean(expectation.as_ref(), session)?;
        stage.call_hook("--clean", "hook --clean", session)?;
        Ok(outcome)
    }

    fn start(&self, host: &TestHost, session: &mut Session<'_>) -> Result<Running, Obstacle> {
        eligibility::check(self.test, self.description)?;
        eligibility::check_features(&self.programs.criu, host, self.description, session.watch())?;
        match &self.test.tree {
            None => own::start(self.description, self.flavour, host, session),
            Some(tree) => {
                let guest = Guest::new(self.test, tree, self.description, self.flavour, host);
                guest.start(&[&self.programs.tool, self.programs.criu.program()], session)
            }
        }
    }
}

impl Stage<'_> {
    fn dump_and_clean(&self, expectation: Option<&Expectation>, session: &mut Session<'_>) -> Result<Outcome, Stopped> {
        self.call_hook("--pre-dump", "hook --pre-dump", session)?;
        settle(self.host, self.trial.programs.iptables);
        let before = self.picture();
        if !self.dump(session)?.is_success() {
            return Ok(self.of_failed_dump(&before));
        }
        self.running.await_end(self.host, session.watch())?;
        let dumped = self.picture();
        let show = self.tool("criu-gc --show", "--show", expectation, session)?;
        let mut problems = problems_of(&show, expectation, self.trial.flavour);
        let changed = dumped.difference(&self.picture(), &self.running);
        problems.extend(changed.iter().map(|line| format!("--show changed the system: {line}")));
        let left = before.difference(&dumped, &self.running);
        problems.extend(problem_of_last_line(&left, &show));
        let removal = self.tool("criu-gc --yes", "--yes", expectation, session)?;
        problems.extend(problems_of(&removal, expectation, self.trial.flavour));
        let differences = before.difference(&self.picture(), &self.running);
        problems.extend(blame(&differences, &removal));
        Ok(match (problems.is_empty(), left.is_empty()) {
            (false, _) => Outcome::NotClean(problems),
            (true, true) => Outcome::LeftNothing,
            (true, false) => Outcome::Cleaned(kinds(&show.stdout)),
        })
    }

    /// criu takes back what it did when it fails: there is nothing for criu-gc to do.
    fn of_failed_dump(&self, before: &Picture) -> Outcome {
        let left = before.difference(&self.picture(), &self.running);
        let reason = reason_of(&self.log().replace(&self.host.dir().display().to_string(), ""));
        match left.is_empty() && self.trial.description.is_to_fail() {
            true => Outcome::Refused(reason),
            false => Outcome::NotDumped(reason, left),
        }
    }

    fn dump(&self, session: &mut Session<'_>) -> Result<Action, Stopped> {
        fs::create_dir(&self.images).expect("a new directory");
        let Programs { criu, iptables, criu_options, .. } = self.trial.programs;
        let mut command = criu.command(self.host, *iptables);
        command.args(["dump", "--tree", &self.running.pid.to_string(), "--images-dir"]).arg(&self.images);
        command.args(["-v4", "--log-file", "dump.log"]).args(&self.trial.description.dump_options);
        let dump = session.run("criu dump", command.args(&self.running.dump_options).args(criu_options));
        session.transcript.record_text("dump.log", "a file", self.log());
        dump
    }

    fn log(&self) -> String {
        let log = fs::read(self.images.join("dump.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn tool(
        &self,
        name: &'static str,
        action: &str,
        expectation: Option<&Expectation>,
        session: &mut Session<'_>,
    ) -> Result<Action, Stopped> {
        let mut command = self.host.command(&self.trial.programs.tool);
        command.arg(action).arg("-D").arg(&self.images);
        session.run(name, command.args(expectation.map_or(&[] as &[String], |expectation| &expectation.options)))
    }

    fn picture(&self) -> Picture {
        Picture::take(self.host, &self.running)
    }

    /// Calls the hook that belongs to the test itself, not to criu-gc.
    fn call_hook(&self, action: &str, name: &'static str, session: &mut Session<'_>) -> Result<(), Stopped> {
        let Some(directory) = &self.running.directory else { return Ok(()) };
        let program = directory.join("zdtm").join(&self.trial.test.name);
        let hook = guest::hook(self.host, directory, &program, action, Some(self.running.pid));
        hook.map(|mut hook| session.run(name, &mut hook)).transpose().map(drop)
    }
}
