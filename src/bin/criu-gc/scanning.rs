// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc scan`, `criu-gc rm`, and the answer for one object, from the command line to the exit status.

mod answer;
mod picture;
mod progress;
mod text;

pub(crate) use answer::{Question, answer};

use std::io;
use std::os::unix::ffi::OsStrExt;

use criu_gc::scan::{self, Examination, Options, ScanObject, ScanOutcome, ScanReport};
use criu_gc::{Control, with_causes};
use serde::Serialize;

use crate::cli::{HostLine, RemoveArguments, ScanArguments};
use crate::exit::ExitStatus;
use crate::interrupt::Interrupt;
use crate::metrics;
use crate::privilege::{self, Duty};
use crate::process;
use crate::supervisor;
use crate::terminal::{Answer, Line, Messages, Terminal};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a ScanReport,
    exit_status: u8,
}

/// Does what the command line says.
pub(crate) fn run(line: &HostLine) -> io::Result<ExitStatus> {
    let verbosity = match line {
        HostLine::Scan(arguments) => arguments.verbose,
        HostLine::Remove(_) => 0,
    };
    let terminal = Terminal::new(verbosity, Messages::StandardError);
    if line.enters_host() {
        if let Err(error) = criu_gc::enter_host() {
            return refuse(&terminal, &format!("--host failed: {}; nothing was done", with_causes(&error)));
        }
        supervisor::await_parent();
    }
    if let Err(error) = privilege::confine(duty(line)) {
        return refuse(&terminal, &format!("cannot drop privileges: {error}; nothing was done"));
    }
    process::allow_many_open_files();
    match line {
        HostLine::Scan(arguments) => Scanning { terminal, arguments }.run(),
        HostLine::Remove(arguments) => remove(&terminal, arguments),
    }
}

fn duty(line: &HostLine) -> Duty {
    match line {
        HostLine::Scan(ScanArguments { clean: true, show: false, kill: true, .. }) => Duty::RemoveAndKill,
        HostLine::Scan(ScanArguments { clean: true, show: false, kill: false, .. }) => Duty::Remove,
        HostLine::Scan(ScanArguments { metrics: Some(_), .. }) => Duty::LookAndLog,
        HostLine::Remove(RemoveArguments { show: false, save: Some(_), kill: true, .. }) => Duty::SaveAndKill,
        HostLine::Remove(RemoveArguments { show: false, save: Some(_), kill: false, .. }) => Duty::Save,
        HostLine::Remove(RemoveArguments { show: false, save: None, kill: true, .. }) => Duty::RemoveAndKill,
        HostLine::Remove(RemoveArguments { show: false, save: None, kill: false, .. }) => Duty::Remove,
        HostLine::Scan(_) | HostLine::Remove(_) => Duty::Look,
    }
}

fn refuse(terminal: &Terminal, why: &str) -> io::Result<ExitStatus> {
    terminal.error(why);
    Ok(ExitStatus::Unusable)
}

/// A run of `scan`.
struct Scanning<'a> {
    terminal: Terminal,
    arguments: &'a ScanArguments,
}

impl Scanning<'_> {
    fn options(&self) -> Options {
        let options = progress::show(Options::new().timeout(self.arguments.timeout), &self.terminal);
        let options = self.arguments.walk.iter().fold(options, Options::walk);
        let options = self.arguments.images.iter().fold(options, Options::images);
        let options = if self.arguments.clean { options.clean() } else { options };
        if self.arguments.kill { options.end_processes() } else { options }
    }

    fn run(self) -> io::Result<ExitStatus> {
        if !self.arguments.clean {
            let report = scan::look(&self.options());
            let status = match self.arguments.exit_code && report.leaves_something() {
                true => ExitStatus::Left,
                false => ExitStatus::Done,
            };
            return self.print(&report, status);
        }
        let examination = match scan::examine(&self.options()) {
            Ok(examination) => examination,
            Err(error) => return refuse(&self.terminal, &format!("nothing was removed: {}", with_causes(&error))),
        };
        if self.arguments.show {
            return self.print(&examination.report(), ExitStatus::Done);
        }
        let print = |report: &ScanReport| self.print_text(report);
        match carry_out(&self.terminal, examination, self.arguments.yes, print)? {
            Ok((report, status)) => self.print(&report, status),
            Err(status) => Ok(status),
        }
    }

    fn print(&self, report: &ScanReport, status: ExitStatus) -> io::Result<ExitStatus> {
        let mut status = status;
        if let Some(path) = &self.arguments.metrics {
            if let Err(error) = metrics::write(path, report) {
                self.terminal.error(&format!("cannot write {}: {error}", path.display()));
                status = ExitStatus::Unusable;
            }
        }
        if self.arguments.json {
            self.terminal.print_json(&Document { report, exit_status: status as u8 })?;
        } else if self.arguments.summary {
            self.terminal.print(&[Line::new().say(&text::summary(report))])?;
        } else {
            self.print_text(report)?;
        }
        Ok(status)
    }

    fn print_text(&self, report: &ScanReport) -> io::Result<()> {
        let verbosity = self.terminal.verbosity();
        self.terminal.print(&match self.arguments.tree {
            true => picture::lines(report, verbosity),
            false => text::lines(report, verbosity),
        })
    }
}

/// Removes what an examination plans, after a question on a terminal.
fn carry_out(
    terminal: &Terminal,
    examination: Examination,
    yes: bool,
    print: impl Fn(&ScanReport) -> io::Result<()>,
) -> io::Result<Result<(ScanReport, ExitStatus), ExitStatus>> {
    if !yes && examination.removes_anything() && terminal.can_ask() {
        print(&examination.report())?;
        if terminal.ask("Remove these objects?")? == Answer::No {
            terminal.message("nothing was removed");
            return Ok(Err(ExitStatus::Left));
        }
    }
    let interrupt = match Interrupt::watch() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            return refuse(terminal, &format!("cannot handle signals: {error}; nothing was removed")).map(Err);
        }
    };
    let asked = interrupt.clone();
    let control = Control::new().end_when(move || asked.signal().map(|signal| signal.name().to_owned()));
    let report = match examination.remove(&control) {
        Ok(report) => report,
        Err(error) => return refuse(terminal, &format!("nothing was removed: {}", with_causes(&error))).map(Err),
    };
    let is_left = |object: &ScanObject| match object.outcome {
        Some(ScanOutcome::Failed) => true,
        Some(ScanOutcome::Kept) | None => object.class == "litter",
        Some(ScanOutcome::Removed | ScanOutcome::AlreadyGone) => false,
    };
    let leaves = report.objects.iter().any(is_left) || !report.cannot_be_known.is_empty();
    let status = match (interrupt.signal(), leaves) {
        (Some(signal), _) => ExitStatus::of_signal(signal),
        (None, true) => ExitStatus::Left,
        (None, false) => ExitStatus::Done,
    };
    Ok(Ok((report, status)))
}

fn remove(terminal: &Terminal, arguments: &RemoveArguments) -> io::Result<ExitStatus> {
    let options = progress::show(Options::new().timeout(arguments.timeout), terminal);
    let options = arguments.objects.iter().fold(options, |options, id| options.remove(id.as_bytes()));
    let options = arguments.save.iter().fold(options, Options::save);
    let options = arguments.images.iter().fold(options, Options::images);
    let options = if arguments.kill { options.end_processes() } else { options };
    let examination = match scan::examine(&options) {
        Ok(examination) => examination,
        Err(error) => return refuse(terminal, &format!("nothing was removed: {}", with_causes(&error))),
    };
    let refusals = examination.refusals();
    for (id, why) in &refusals {
        terminal.error(&format!("{}: {why}", String::from_utf8_lossy(&id.0)));
    }
    if !refusals.is_empty() {
        return refuse(terminal, "nothing was removed: not everything that was named can be removed");
    }
    let named = Named { terminal, arguments };
    if arguments.show {
        return named.print(&examination.report(), ExitStatus::Done);
    }
    match carry_out(terminal, examination, arguments.yes, |report| named.print_text(report))? {
        Ok((report, status)) => named.print(&report, named.status(&report, status)),
        Err(status) => Ok(status),
    }
}

/// A run of `rm`.
struct Named<'a> {
    terminal: &'a Terminal,
    arguments: &'a RemoveArguments,
}

impl Named<'_> {
    fn is_named(&self, object: &ScanObject) -> bool {
        self.arguments.objects.iter().any(|id| id.as_bytes() == object.id.0)
    }

    /// Other objects do not matter here, nor what could not be looked at: each named one was found.
    fn status(&self, report: &ScanReport, status: ExitStatus) -> ExitStatus {
        let is_gone =
            |object: &ScanObject| matches!(object.outcome, Some(ScanOutcome::Removed | ScanOutcome::AlreadyGone));
        let is_done = report.objects.iter().filter(|object| self.is_named(object)).all(is_gone);
        match (status, is_done) {
            (ExitStatus::Done | ExitStatus::Left, true) => ExitStatus::Done,
            (ExitStatus::Done | ExitStatus::Left, false) => ExitStatus::Left,
            (ExitStatus::Unusable | ExitStatus::Hangup | ExitStatus::Interrupt | ExitStatus::Terminate, _) => status,
        }
    }

    fn print(&self, report: &ScanReport, status: ExitStatus) -> io::Result<ExitStatus> {
        if self.arguments.json {
            self.terminal.print_json(&Document { report, exit_status: status as u8 })?;
        } else {
            self.print_text(report)?;
        }
        Ok(status)
    }

    fn print_text(&self, report: &ScanReport) -> io::Result<()> {
        let objects: Vec<&ScanObject> = report.objects.iter().filter(|object| self.is_named(object)).collect();
        let mut lines: Vec<Line> = objects.iter().map(|object| text::named_line(object, report.mode)).collect();
        let is_absent = |id: &&std::ffi::OsString| !objects.iter().any(|object| object.id.0 == id.as_bytes());
        let absent = self.arguments.objects.iter().filter(is_absent);
        lines.extend(absent.map(|id| Line::new().quote(id.as_bytes()).say(" - gone")));
        self.terminal.print(&lines)
    }
}
