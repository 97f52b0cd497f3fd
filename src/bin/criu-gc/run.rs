// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A run from the command line to the exit status.
//!
//! `--show` looks; a removal examines, asks, and removes. The library knows the order of the steps.

use std::io;
use std::sync::Arc;

use criu_gc::report::{CheckpointReport, Report};
use criu_gc::{Control, ErrorKind, Options, Part, with_causes};

use crate::cli::{Arguments, External};
use crate::document::Document;
use crate::exit::ExitStatus;
use crate::interrupt::Interrupt;
use crate::log_file;
use crate::observer::Observer;
use crate::privilege::{self, Duty};
use crate::process;
use crate::supervisor;
use crate::terminal::{Answer, Line, Terminal};
use crate::text::{self, Detail};

/// Does what the command line says. What cannot be printed is the only error that is not reported here.
pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitStatus> {
    // Before anything is opened: every path is one of the host then.
    if arguments.host {
        if let Err(error) = criu_gc::enter_host() {
            let why = with_causes(&error);
            return refuse(&Terminal::new(0, None), &format!("--host failed: {why}; nothing was done"));
        }
        supervisor::await_parent();
    }
    let terminal = match log_file::open(arguments) {
        Ok(log) => Terminal::new(arguments.verbose, log),
        Err(error) => return refuse(&Terminal::new(0, None), &with_causes(&error)),
    };
    if arguments.all_directories().is_empty() {
        return refuse(&terminal, "no checkpoint: name its directory or archive with -D DIR (see --help)");
    }
    if let Err(error) = privilege::confine(duty(arguments)) {
        let why = format!("cannot drop privileges: {error}; nothing was done");
        return refuse(&terminal, &why);
    }
    process::allow_many_open_files();
    let run = Run { options: options(arguments, &terminal), terminal, arguments };
    if arguments.show { run.show() } else { run.remove() }
}

fn refuse(terminal: &Terminal, why: &str) -> io::Result<ExitStatus> {
    terminal.error(why);
    Ok(ExitStatus::Unusable)
}

fn duty(arguments: &Arguments) -> Duty {
    match (arguments.show, &arguments.save) {
        (true, _) => Duty::Look,
        (false, None) => Duty::Remove,
        (false, Some(_)) => Duty::Save,
    }
}

fn options(arguments: &Arguments, terminal: &Terminal) -> Options {
    let observer = Arc::new(Observer::new(terminal.clone()));
    let mut options = Options::new().on_event(move |event| observer.show(event));
    options = arguments.netns.iter().fold(options, Options::network_namespace);
    options = arguments.root.iter().fold(options, Options::root);
    options = arguments.work_dir.iter().fold(options, Options::work_dir);
    options = arguments.save.iter().fold(options, Options::save);
    options = arguments.only.iter().copied().fold(options, Options::only);
    options = arguments.allow.iter().copied().fold(options, Options::allow);
    arguments.external.iter().cloned().fold(options, |options, external| match external {
        External::Mount { key, path } => options.external_mount(key, path),
        External::NetworkNamespace { key, path } => options.external_network_namespace(key, path),
    })
}

struct Run<'a> {
    terminal: Terminal,
    options: Options,
    arguments: &'a Arguments,
}

impl Run<'_> {
    fn show(self) -> io::Result<ExitStatus> {
        let report = criu_gc::look(self.arguments.all_directories(), &self.options);
        let status = match (report.has_errors(), self.arguments.exit_code && report.leaves_something()) {
            (true, _) => ExitStatus::Unusable,
            (false, true) => ExitStatus::Left,
            (false, false) => ExitStatus::Done,
        };
        self.print(&report, status)
    }

    fn remove(self) -> io::Result<ExitStatus> {
        let examination = match criu_gc::examine(self.arguments.all_directories(), &self.options) {
            Ok(examination) => examination,
            Err(error) => return self.refuse(&error),
        };
        let has_to_ask = !self.arguments.yes && examination.removes_anything() && self.terminal.can_ask();
        if has_to_ask && self.ask(&examination.report())? == Answer::No {
            self.terminal.message("nothing was removed");
            return Ok(ExitStatus::Left);
        }
        if !has_to_ask {
            self.print_consequences(&examination.report())?;
        }
        let interrupt = match Interrupt::watch() {
            Ok(interrupt) => interrupt,
            Err(error) => {
                let why = format!("cannot handle signals: {error}; nothing was removed");
                return refuse(&self.terminal, &why);
            }
        };
        let asked = interrupt.clone();
        let control = Control::new().end_when(move || asked.signal().map(|signal| signal.name().to_owned()));
        let report = match examination.remove(&control) {
            Ok(report) => report,
            Err(error) => {
                let refused = self.refuse(&error)?;
                return Ok(interrupt.signal().map_or(refused, ExitStatus::of_signal));
            }
        };
        if let Some(signal) = interrupt.signal() {
            self.terminal.message(&format!("{}: stopped before the next step", signal.name()));
        }
        let status = removal_status(&report, &interrupt);
        self.print(&report, status)
    }

    /// Says why nothing was removed.
    fn refuse(&self, error: &criu_gc::Error) -> io::Result<ExitStatus> {
        if error.kind() == ErrorKind::Missing {
            for named in error.missing() {
                self.terminal.error(&format!("{} does not exist", named.display()));
            }
        }
        refuse(&self.terminal, &format!("nothing was removed: {}", with_causes(error)))
    }

    /// Shows all that is to be removed, and asks about it.
    fn ask(&self, report: &Report) -> io::Result<Answer> {
        self.print_text(report)?;
        self.terminal.ask(match (self.arguments.only, &self.arguments.save) {
            (Some(Part::Network), _) => "Remove these objects? The files that a restore may need stay.",
            (_, None) => "Remove these objects? Afterwards the dump cannot be restored on this host.",
            (_, Some(_)) => {
                "Save the files and remove these objects? Afterwards the dump cannot be restored on this host."
            }
        })
    }

    /// Says what `--only` means, before anything is done: standard output is for the report alone if that is JSON.
    fn print_consequences(&self, report: &Report) -> io::Result<()> {
        for checkpoint in &report.checkpoints {
            let Some(only) = &checkpoint.only else { continue };
            if self.arguments.json {
                only.consequences.iter().for_each(|text| self.terminal.message(text));
            } else {
                self.print_heading(report, checkpoint)?;
                self.terminal.print(&text::consequences(checkpoint))?;
            }
        }
        Ok(())
    }

    /// The name of the checkpoint, if there are several.
    fn print_heading(&self, report: &Report, checkpoint: &CheckpointReport) -> io::Result<()> {
        if report.checkpoints.len() < 2 {
            return Ok(());
        }
        self.terminal.print(&[Line::new().say("Checkpoint ").quote(&checkpoint.images_directory.0).say(":")])
    }

    fn print(&self, report: &Report, status: ExitStatus) -> io::Result<ExitStatus> {
        for error in report.checkpoints.iter().filter_map(|checkpoint| checkpoint.error.as_ref()) {
            self.terminal.error(error);
        }
        if self.arguments.json {
            self.terminal.print_json(&Document { report, exit_status: status as u8 })?;
        } else {
            self.print_text(report)?;
        }
        Ok(status)
    }

    fn print_text(&self, report: &Report) -> io::Result<()> {
        let detail = Detail::of_verbosity(self.terminal.verbosity());
        let is_usable = |checkpoint: &&CheckpointReport| checkpoint.error.is_none();
        for checkpoint in report.checkpoints.iter().filter(is_usable) {
            self.print_heading(report, checkpoint)?;
            self.terminal.print(&text::lines(checkpoint, report.mode, detail))?;
        }
        Ok(())
    }
}

fn removal_status(report: &Report, interrupt: &Interrupt) -> ExitStatus {
    match (interrupt.signal(), report.has_errors(), report.leaves_something()) {
        (Some(signal), ..) => ExitStatus::of_signal(signal),
        (None, true, _) => ExitStatus::Unusable,
        (None, false, true) => ExitStatus::Left,
        (None, false, false) => ExitStatus::Done,
    }
}
