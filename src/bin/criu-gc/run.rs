// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A run from the command line to the exit status.
//!
//! `--show` looks; a removal examines, asks, and removes. The library knows the order of the steps.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criu_gc::report::{CheckpointReport, Report};
use criu_gc::{Control, Goal, Options, Part, UnknownKeys, with_causes};

use crate::cli::{self, Arguments, CommandWord, Resource};
use crate::config_file;
use crate::document::Document;
use crate::exit::ExitStatus;
use crate::healing::Healing;
use crate::interrupt::Interrupt;
use crate::log_file::{self, LogError};
use crate::observer::Observer;
use crate::privilege::{self, Duty};
use crate::process;
use crate::remedy;
use crate::scanning::{self, Question};
use crate::supervisor;
use crate::terminal::{Answer, Line, Messages, Terminal};
use crate::text::{self, Detail};

/// How long the filesystem of the current directory may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does what the command line says. What cannot be printed is the only error that is not reported here.
pub(crate) fn run(words: &[OsString], arguments: Arguments) -> io::Result<ExitStatus> {
    // Before anything is opened: every path is one of the host then.
    if arguments.host {
        if let Err(error) = criu_gc::enter_host() {
            let why = with_causes(&error);
            return refuse(&plain_terminal(), &format!("--host failed: {why}; nothing was done"));
        }
        supervisor::await_parent();
    }
    let mut arguments = match configured(words, arguments) {
        Ok(arguments) => arguments,
        Err(why) => return refuse(&plain_terminal(), &why),
    };
    if let Some(questions) = questions(&arguments) {
        return scanning::answer(&arguments, &questions);
    }
    let heals = arguments.command == Some(CommandWord::Heal);
    if heals && arguments.pid.is_empty() && arguments.all_directories().is_empty() {
        let why = "nothing to heal: name a process with --pid PID, or the images of its dump with -D DIR (see --help)";
        return refuse(&plain_terminal(), why);
    }
    if !heals && arguments.all_directories().is_empty() {
        if !is_current_directory_meant(&arguments) {
            let why = "no checkpoint: name its directory or archive with -D DIR, or list what is left on this host with criu-gc scan (see --help)";
            return refuse(&plain_terminal(), why);
        }
        arguments.images_dir.push(".".into());
    }
    let terminal = Terminal::new(arguments.verbose, log_file::wanted(&arguments));
    if let Err(error) = privilege::confine(duty(&arguments)) {
        let why = format!("cannot drop privileges: {error}; nothing was done");
        return refuse(&terminal, &why);
    }
    process::allow_many_open_files();
    if terminal.verbosity() > 0 && !arguments.without_effect.is_empty() {
        terminal.message(&format!("without effect: {}", arguments.without_effect.join(", ")));
    }
    if heals {
        return Healing::new(terminal, &arguments).run();
    }
    let run = Run { options: options(&arguments, &terminal), terminal, words, arguments: &arguments };
    if arguments.show { run.show() } else { run.remove() }
}

/// What the line asks about, if it names no checkpoint: single objects of this host, or nothing at all on a terminal.
fn questions(arguments: &Arguments) -> Option<Vec<Question>> {
    if arguments.command.is_some() {
        return None;
    }
    if arguments.is_about_one() {
        let exists = |path: &Path| path.symlink_metadata().is_ok();
        let networks = arguments.netns.iter().map(|named| Question::Network(cli::namespace_path(named, exists)));
        return Some(networks.chain(arguments.pid.iter().copied().map(Question::Process)).collect());
    }
    let named = arguments.all_directories();
    if named.is_empty() {
        let is_person = std::env::args_os().count() == 1 && plain_terminal().can_ask();
        return is_person.then(Vec::new);
    }
    let is_object = |path: &PathBuf| {
        let path = path.clone();
        let is_name = criu_gc::scan::is_name_of_criu(path.file_name().unwrap_or_default());
        is_name && process::within(PATIENCE, move || is_no_directory(&path)) == Some(true)
    };
    named.iter().all(is_object).then(|| named.into_iter().map(Question::Path).collect())
}

fn is_no_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|file| !file.is_dir())
}

/// The arguments with those of the configuration file that they name.
fn configured(words: &[OsString], arguments: Arguments) -> Result<Arguments, String> {
    let Some(path) = &arguments.config else { return Ok(arguments) };
    let statements = config_file::read(path).map_err(|error| with_causes(&error))?;
    Arguments::with_config(words, &statements).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        format!("cannot use {}: {}", path.display(), first.trim_start_matches("error: "))
    })
}

/// Whether CRIU, with its word in place of ours, would take the current directory for that of the images.
fn is_current_directory_meant(arguments: &Arguments) -> bool {
    let has_images = || Path::new("inventory.img").symlink_metadata().is_ok();
    arguments.command.is_some() && process::within(PATIENCE, has_images) == Some(true)
}

fn plain_terminal() -> Terminal {
    Terminal::new(0, Messages::StandardError)
}

fn refuse(terminal: &Terminal, why: &str) -> io::Result<ExitStatus> {
    terminal.log_into(None);
    terminal.error(why);
    Ok(ExitStatus::Unusable)
}

fn duty(arguments: &Arguments) -> Duty {
    match (arguments.show, &arguments.save, &arguments.log_file) {
        (true, _, None) => Duty::Look,
        (true, _, Some(_)) => Duty::LookAndLog,
        (false, None, _) if arguments.kill => Duty::RemoveAndKill,
        (false, None, _) => Duty::Remove,
        (false, Some(_), _) if arguments.kill => Duty::SaveAndKill,
        (false, Some(_), _) => Duty::Save,
    }
}

fn options(arguments: &Arguments, terminal: &Terminal) -> Options {
    let observer = Arc::new(Observer::new(terminal.clone()));
    let mut options = Options::new().on_event(move |event| observer.show(event));
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    options = arguments
        .netns
        .iter()
        .map(|named| cli::namespace_path(named, exists))
        .fold(options, Options::network_namespace);
    options = arguments.root.iter().fold(options, Options::root);
    options = arguments.work_dir.iter().fold(options, Options::work_dir);
    options = arguments.save.iter().fold(options, Options::save);
    options = arguments.only.iter().copied().fold(options, Options::only);
    if arguments.from_log {
        options = options.from_log();
    }
    options = arguments.dump_log.iter().fold(options, Options::dump_log);
    if arguments.command == Some(CommandWord::Restorable) {
        options = options.goal(Goal::Restorable);
    }
    if arguments.kill {
        options = options.end_half_restored();
    }
    options = arguments.allow.iter().copied().fold(options, Options::allow);
    if arguments.command.is_some() {
        // A line for criu restore may name what criu-gc does not need.
        options = options.unknown_keys(UnknownKeys::Note);
    }
    arguments.resources().cloned().fold(options, |options, resource| match resource {
        Resource::Mount { key, path } => options.external_mount(key, path),
        Resource::NetworkNamespace { key, path } => options.external_network_namespace(key, path),
        Resource::OpenFile { number, key } => options.inherited_file(key, format!("/proc/self/fd/{number}")),
        Resource::Joined { path } => options.network_namespace(path),
        Resource::WithoutEffect => options,
    })
}

struct Run<'a> {
    terminal: Terminal,
    options: Options,
    /// What was typed.
    words: &'a [OsString],
    arguments: &'a Arguments,
}

impl Run<'_> {
    fn show(self) -> io::Result<ExitStatus> {
        let report = criu_gc::look(self.arguments.all_directories(), &self.options);
        if report.has_errors() {
            self.terminal.log_into(None);
        } else if let Err(error) = self.open_log() {
            return refuse(&self.terminal, &with_causes(&error));
        }
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
        if examination.has_errors() {
            return self.refuse_all(&examination.report());
        }
        if let Err(error) = self.open_log() {
            return refuse(&self.terminal, &format!("nothing was removed: {}", with_causes(&error)));
        }
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

    /// Opens the log file, if one is wanted. A line for criu restore names that of CRIU, which stays what it is.
    fn open_log(&self) -> Result<(), LogError> {
        match log_file::open(self.arguments) {
            Ok(log) => self.terminal.log_into(log),
            Err(error @ LogError::FileOfCriu(_)) if self.arguments.command.is_some() => {
                self.terminal.log_into(None);
                if self.terminal.verbosity() > 0 {
                    self.terminal.message(&with_causes(&error));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Says why nothing was removed.
    fn refuse(&self, error: &criu_gc::Error) -> io::Result<ExitStatus> {
        refuse(&self.terminal, &format!("nothing was removed: {}", with_causes(error)))
    }

    /// Says what cannot be used, so that nothing was removed.
    fn refuse_all(&self, report: &Report) -> io::Result<ExitStatus> {
        self.terminal.log_into(None);
        self.print_errors(report);
        if self.arguments.all_directories().len() > 1 || report.checkpoints.len() > 1 {
            self.terminal.error("nothing was removed: not everything that was given can be used");
        }
        if self.arguments.json {
            self.terminal.print_json(&Document { report, exit_status: ExitStatus::Unusable as u8 })?;
        }
        Ok(ExitStatus::Unusable)
    }

    /// Prints each error once, and what may have been meant.
    fn print_errors(&self, report: &Report) {
        let mut errors: Vec<&String> =
            report.checkpoints.iter().filter_map(|checkpoint| checkpoint.error.as_ref()).collect();
        errors.dedup();
        for error in &errors {
            self.terminal.error(error);
        }
        let is_mistake = |operand: &&PathBuf| {
            operand.to_str().is_some_and(cli::is_word)
                && operand.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        for operand in self.arguments.directories.iter().filter(|_| !errors.is_empty()).filter(is_mistake) {
            let word = operand.display();
            self.terminal.error(&format!(
                "{word} is no command word (gc, clean, show, restorable, heal, scan, rm, watch): did you mean --show?"
            ));
        }
    }

    /// Shows all that is to be removed, and asks about it.
    fn ask(&self, report: &Report) -> io::Result<Answer> {
        self.print_text(report)?;
        if self.arguments.command == Some(CommandWord::Restorable) {
            return self.terminal.ask("Undo this? Afterwards the checkpoint can be restored.");
        }
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
        self.print_errors(report);
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
            let mut lines = text::lines(checkpoint, report.mode, detail);
            let remedy = remedy::command(self.words, checkpoint);
            lines.extend(remedy.map(|command| Line::new().say("To remove all of it: ").quote(&command)));
            self.terminal.print(&lines)?;
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
