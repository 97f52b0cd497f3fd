// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A run from the command line to the exit status.
//!
//! `--show` and removal go the same way up to the plan. All plans are made before anything is removed, so that what a
//! person is asked about is all that will happen.

mod locks;
mod prepare;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use self::prepare::{Options, Prepared, Ready, survey};
use crate::causes::with_causes;
use crate::cli::Arguments;
use crate::execute;
use crate::exit::ExitStatus;
use crate::host::{self, Host};
use crate::interrupt::Interrupt;
use crate::locate;
use crate::probe;
use crate::report::text::{self, Detail};
use crate::report::{self, CheckpointReport, Document, Mode, SCHEMA_VERSION};
use crate::save::{Destination, Keeper, SaveDirectory};
use crate::supervisor;
use crate::system::dir::Directory;
use crate::system::privilege::{self, Duty};
use crate::system::process;
use crate::terminal::{Answer, Line, Terminal};
use crate::tree;

/// Does what the command line says. What cannot be printed is the only error that is not reported here.
pub fn run(arguments: &Arguments) -> std::io::Result<ExitStatus> {
    // Before anything is opened: every path is one of the host then.
    if arguments.host {
        if let Err(error) = host::enter() {
            Terminal::new(0, None).error(&format!("nothing was done, because --host cannot be followed: {error}"));
            return Ok(ExitStatus::Unusable);
        }
        supervisor::await_parent();
    }
    let mut terminal = match open_log(arguments) {
        Ok(terminal) => terminal,
        Err(message) => {
            Terminal::new(0, None).error(&message);
            return Ok(ExitStatus::Unusable);
        }
    };
    let directories = arguments.all_directories();
    if directories.is_empty() {
        terminal.error("no checkpoint: name its directory or archive with -D DIR (see --help)");
        return Ok(ExitStatus::Unusable);
    }
    if let Err(error) = privilege::confine(duty(arguments)) {
        terminal
            .error(&format!("nothing was done, because privileges that are not needed cannot be given up: {error}"));
        return Ok(ExitStatus::Unusable);
    }
    process::allow_many_open_files();
    let missing = if arguments.show || directories.len() < 2 { Vec::new() } else { missing(&directories) };
    if !missing.is_empty() {
        for named in missing {
            terminal.error(&format!("there is no {}", named.display()));
        }
        terminal.error("nothing was removed, because of what was named not everything is there");
        return Ok(ExitStatus::Unusable);
    }
    let options = match Options::of(arguments) {
        Ok(options) => options,
        Err(told) => {
            terminal.error(&cannot_save(&told));
            return Ok(ExitStatus::Unusable);
        }
    };
    let purpose = if arguments.show { locks::Purpose::Show } else { locks::Purpose::Remove };
    let (_locks, prepared) = prepare::all(&directories, &options, purpose, &mut terminal);
    let run = Run { terminal, options };
    if arguments.show { run.show(prepared, arguments) } else { run.remove(prepared, arguments) }
}

fn duty(arguments: &Arguments) -> Duty {
    match (arguments.show, &arguments.save) {
        (true, _) => Duty::Look,
        (false, None) => Duty::Remove,
        (false, Some(_)) => Duty::Save,
    }
}

struct Run {
    terminal: Terminal,
    options: Options,
}

impl Run {
    fn show(mut self, prepared: Vec<Prepared>, arguments: &Arguments) -> std::io::Result<ExitStatus> {
        let reports: Vec<CheckpointReport> = prepared.iter().map(Prepared::report).collect();
        let is_left = reports.iter().any(CheckpointReport::leaves_something);
        let status = match (reports.iter().any(|report| report.error.is_some()), arguments.exit_code && is_left) {
            (true, _) => ExitStatus::Unusable,
            (false, true) => ExitStatus::Left,
            (false, false) => ExitStatus::Done,
        };
        self.print(reports, Mode::Show, status, arguments)
    }

    fn remove(mut self, prepared: Vec<Prepared>, arguments: &Arguments) -> std::io::Result<ExitStatus> {
        if !arguments.yes && self.ask(&prepared)? == Answer::No {
            self.terminal.message("nothing was removed");
            return Ok(ExitStatus::Left);
        }
        let (mut save, interrupt) = match self.get_ready(&prepared) {
            Ok(ready) => ready,
            Err(message) => {
                self.terminal.error(&message);
                return Ok(ExitStatus::Unusable);
            }
        };
        let mut reports = Vec::new();
        for each in prepared {
            reports.push(self.remove_one(each, &mut save, &interrupt));
        }
        if let Some(signal) = interrupt.signal() {
            self.terminal.message(&format!("{}: no further step was begun", signal.name()));
        }
        let status = removal_status(&reports, &interrupt);
        self.print(reports, Mode::Gc, status, arguments)
    }

    /// Asks about all that is to be removed, if there is anything, and anybody to ask.
    fn ask(&mut self, prepared: &[Prepared]) -> std::io::Result<Answer> {
        if !prepared.iter().any(Prepared::removes_anything) || !self.terminal.can_ask() {
            return Ok(Answer::Yes);
        }
        let reports: Vec<CheckpointReport> = prepared.iter().map(Prepared::report).collect();
        self.print_text(&reports, Mode::Show)?;
        self.terminal.ask(self.options.question())
    }

    /// What has to be there before anything is removed: if files cannot be saved at all, the network locks stay as well.
    fn get_ready(&self, prepared: &[Prepared]) -> Result<(Option<SaveDirectory>, Interrupt), String> {
        let removes_files = prepared.iter().any(Prepared::removes_files);
        let destination = self.options.save.as_ref().filter(|_| removes_files);
        let save = destination.map(open_destination).transpose()?;
        let interrupt = Interrupt::watch()
            .map_err(|error| format!("nothing was removed, because signals cannot be waited for: {error}"))?;
        Ok((save, interrupt))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the removal: --show does not come here")]
    fn remove_one(
        &self,
        prepared: Prepared,
        save: &mut Option<SaveDirectory>,
        interrupt: &Interrupt,
    ) -> CheckpointReport {
        if self.options.save.is_some() && save.is_none() && prepared.removes_files() {
            let why = "nothing of it was removed, because no file can be saved: a filesystem does not answer";
            return report::failed_checkpoint(&prepared.path, why);
        }
        let ready = match prepared.state {
            Ok(ready) => ready,
            Err(error) => return report::failed_checkpoint(&prepared.path, &error),
        };
        let Ready { images, checkpoint, claims, hints, plan, origin, mut context } = ready;
        // The picture once more, right before the acts.
        let host = Host::look(probe::wanted(&checkpoint, &claims));
        let plan = plan.guarded(&tree::look(&host, &images, &checkpoint), &self.options.policy);
        let run_id = checkpoint.run_id().map(|id| id.text);
        let keeper = save.take().map(|directory| Keeper { directory, images: prepared.path.clone(), run_id });
        let (mut done, keeper) = execute::execute(&host, plan, keeper, interrupt);
        *save = keeper.map(|keeper| keeper.directory);
        match survey(&Host::look(probe::wanted(&checkpoint, &claims)), &images, &checkpoint, claims, &hints) {
            Ok(after) => execute::confirm(&mut done, &after),
            Err(error) => context.cannot_be_known.push(format!("what is left after the removal: {error}")),
        }
        report::checkpoint(&prepared.path, &checkpoint, origin, context, report::done(&done))
    }

    fn print(
        &mut self,
        reports: Vec<CheckpointReport>,
        mode: Mode,
        status: ExitStatus,
        arguments: &Arguments,
    ) -> std::io::Result<ExitStatus> {
        for report in &reports {
            if let Some(error) = &report.error {
                self.terminal.error(error);
            }
        }
        if arguments.json {
            let document = Document {
                schema: SCHEMA_VERSION,
                tool: concat!("criu-gc ", env!("CARGO_PKG_VERSION")).to_owned(),
                mode,
                checkpoints: reports,
                exit_status: status as u8,
            };
            self.terminal.print_json(&document)?;
        } else {
            self.print_text(&reports, mode)?;
        }
        Ok(status)
    }

    fn print_text(&self, reports: &[CheckpointReport], mode: Mode) -> std::io::Result<()> {
        let detail = Detail::of_verbosity(self.terminal.verbosity());
        for report in reports.iter().filter(|report| report.error.is_none()) {
            if reports.len() > 1 {
                let heading = Line::new().say("Checkpoint ").quote(&report.images_directory.0).say(":");
                self.terminal.print(&[heading])?;
            }
            self.terminal.print(&text::lines(report, mode, detail))?;
        }
        Ok(())
    }
}

fn removal_status(reports: &[CheckpointReport], interrupt: &Interrupt) -> ExitStatus {
    let has_failed = reports.iter().any(|report| report.error.is_some());
    let is_left = reports.iter().any(CheckpointReport::leaves_something);
    match (interrupt.signal(), has_failed, is_left) {
        (Some(signal), ..) => ExitStatus::of_signal(signal),
        (None, true, _) => ExitStatus::Unusable,
        (None, false, true) => ExitStatus::Left,
        (None, false, false) => ExitStatus::Done,
    }
}

/// Opens the log file, unless its filesystem does not answer.
fn open_log(arguments: &Arguments) -> Result<Terminal, String> {
    let Some(path) = &arguments.log_file else { return Ok(Terminal::new(arguments.verbose, None)) };
    let theirs = arguments.clone();
    let named = arguments.all_directories();
    let place =
        arguments.work_dir.iter().chain(named.first()).next().map_or_else(|| path.clone(), |work| work.join(path));
    let opened = host::answer(&[&place], move || open_terminal(&theirs));
    opened.unwrap_or_else(|| {
        Err(format!("cannot write messages into {}: its filesystem does not answer", path.display()))
    })
}

/// Opens the log file, where one is wanted, in the work directory as CRIU does; an archive has none, so it is the current
/// directory then.
fn open_terminal(arguments: &Arguments) -> Result<Terminal, String> {
    let Some(path) = &arguments.log_file else { return Ok(Terminal::new(arguments.verbose, None)) };
    let first = arguments.all_directories().into_iter().next().filter(|named| named.is_dir());
    let work = arguments.work_dir.clone().or(first).unwrap_or_default();
    let full = work.join(path);
    let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
        return Err(format!("cannot write messages into {}: it has no file name", path.display()));
    };
    if locate::is_crius_own(name) {
        let path = full.display();
        return Err(format!("cannot write messages into {path}: CRIU gives this name to a file of its own"));
    }
    let parent = if parent == Path::new("") { Path::new(".") } else { parent };
    let log = Directory::open(parent)
        .and_then(|directory| directory.create_file(OsStr::new(name)))
        .map_err(|error| error.to_string_with_cause())?;
    Ok(Terminal::new(arguments.verbose, Some(log)))
}

/// What of several things that were named is not there. What does not answer is there.
fn missing(named: &[PathBuf]) -> Vec<&PathBuf> {
    let answers = host::bounded_each(named.to_vec(), |named: &PathBuf| locate::is_missing(named));
    named.iter().zip(answers).filter(|(_, answer)| *answer == Some(true)).map(|(named, _)| named).collect()
}

fn open_destination(destination: &Destination) -> Result<SaveDirectory, String> {
    let theirs = destination.clone();
    let opened =
        host::answer(&[destination.path()], move || theirs.open().map_err(|error| cannot_save(&error.to_string())));
    opened.unwrap_or_else(|| Err(cannot_save(&host::does_not_answer(destination.path()))))
}

fn cannot_save(told: &str) -> String {
    format!("nothing was removed, because no file can be saved: {told}")
}
