// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc heal`, from the command line to the exit status, with its text and its JSON document.

use std::io;
use std::sync::Arc;

use criu_gc::heal::{self, DamageReport, DamageVerdict, HealOutcome, HealReport, Options, SubjectReport, Target};
use criu_gc::{Control, with_causes};
use serde::Serialize;

use crate::cli::Arguments;
use crate::exit::ExitStatus;
use crate::interrupt::Interrupt;
use crate::log_file;
use crate::observer::Observer;
use crate::terminal::{Answer, Line, Terminal};

/// A run of `heal`.
pub(crate) struct Healing<'a> {
    terminal: Terminal,
    arguments: &'a Arguments,
    options: Options,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a HealReport,
    exit_status: u8,
}

impl<'a> Healing<'a> {
    pub(crate) fn new(terminal: Terminal, arguments: &'a Arguments) -> Self {
        let observer = Arc::new(Observer::new(terminal.clone()));
        let options = Options::new().on_event(move |event| observer.show(event));
        let options = arguments.work_dir.iter().fold(options, Options::work_dir);
        let options = if arguments.peek_offsets { options.peek_offsets() } else { options };
        let options = if arguments.unmap { options.unmap() } else { options };
        Healing { terminal, arguments, options }
    }

    pub(crate) fn run(self) -> io::Result<ExitStatus> {
        match log_file::open(self.arguments) {
            Ok(log) => self.terminal.log_into(log),
            Err(error) => return self.refuse(&format!("nothing was changed: {}", with_causes(&error))),
        }
        if self.arguments.show { self.show() } else { self.heal() }
    }

    fn targets(&self) -> Vec<Target> {
        let processes = self.arguments.pid.iter().map(|pid| Target::Process(*pid));
        processes.chain(self.arguments.all_directories().into_iter().map(Target::Checkpoint)).collect()
    }

    fn show(&self) -> io::Result<ExitStatus> {
        let report = heal::look(self.targets(), &self.options);
        let status = match (report.has_errors(), self.arguments.exit_code && report.leaves_something()) {
            (true, _) => ExitStatus::Unusable,
            (false, true) => ExitStatus::Left,
            (false, false) => ExitStatus::Done,
        };
        self.print(&report, status)
    }

    fn heal(&self) -> io::Result<ExitStatus> {
        let examination = match heal::examine(self.targets(), &self.options) {
            Ok(examination) => examination,
            Err(error) => return self.refuse(&format!("nothing was changed: {}", with_causes(&error))),
        };
        if examination.has_errors() {
            return self.print(&examination.report(), ExitStatus::Unusable);
        }
        if !self.arguments.yes && examination.heals_anything() && self.terminal.can_ask() {
            self.print_text(&examination.report())?;
            if self.terminal.ask("Heal these processes?")? == Answer::No {
                self.terminal.message("nothing was changed");
                return Ok(ExitStatus::Left);
            }
        }
        let interrupt = match Interrupt::watch() {
            Ok(interrupt) => interrupt,
            Err(error) => return self.refuse(&format!("cannot handle signals: {error}; nothing was changed")),
        };
        let asked = interrupt.clone();
        let control = Control::new().end_when(move || asked.signal().map(|signal| signal.name().to_owned()));
        let report = match examination.heal(&control) {
            Ok(report) => report,
            Err(error) => return self.refuse(&format!("nothing was changed: {}", with_causes(&error))),
        };
        let status = match (interrupt.signal(), report.leaves_something()) {
            (Some(signal), _) => ExitStatus::of_signal(signal),
            (None, true) => ExitStatus::Left,
            (None, false) => ExitStatus::Done,
        };
        self.print(&report, status)
    }

    fn refuse(&self, why: &str) -> io::Result<ExitStatus> {
        self.terminal.log_into(None);
        self.terminal.error(why);
        Ok(ExitStatus::Unusable)
    }

    fn print(&self, report: &HealReport, status: ExitStatus) -> io::Result<ExitStatus> {
        for error in report.subjects.iter().filter_map(|subject| subject.error.as_ref()) {
            self.terminal.error(error);
        }
        if report.has_errors() && !self.arguments.show && report.subjects.len() > 1 {
            self.terminal.error("nothing was changed: not everything that was given can be used");
        }
        if self.arguments.json {
            self.terminal.print_json(&Document { report, exit_status: status as u8 })?;
        } else if !report.has_errors() || self.arguments.show {
            self.print_text(report)?;
        }
        Ok(status)
    }

    fn print_text(&self, report: &HealReport) -> io::Result<()> {
        for subject in report.subjects.iter().filter(|subject| subject.error.is_none()) {
            if report.subjects.len() > 1 {
                self.terminal.print(&[Line::new().say("Target ").quote(&subject.name.0).say(":")])?;
            }
            self.terminal.print(&lines(subject, self.terminal.verbosity()))?;
        }
        Ok(())
    }
}

/// All lines about a target.
fn lines(subject: &SubjectReport, verbosity: u8) -> Vec<Line> {
    let mut lines = Vec::new();
    if verbosity > 0 {
        lines.extend(subject.processes.iter().map(|process| {
            let text = format!("Process {} (", process.pid);
            Line::new().say(&text).quote(&process.name.0).say(&format!(", state {})", process.state))
        }));
    }
    lines.extend(subject.damages.iter().map(damage_line));
    lines.extend(subject.notes.iter().map(|note| Line::new().say("Note: ").quote(note.as_bytes())));
    lines.extend(subject.hands_off.iter().map(|why| Line::new().say("Not touched: ").quote(why.as_bytes())));
    let unknown = subject.cannot_be_known.iter();
    lines.extend(unknown.map(|why| Line::new().say("Not known: ").quote(why.as_bytes())));
    lines.push(Line::new().say(&summary(subject)));
    lines
}

fn damage_line(damage: &DamageReport) -> Line {
    let state = match (damage.outcome, damage.verdict) {
        (Some(HealOutcome::Healed), _) => format!("healed: {}", damage.cure),
        (Some(HealOutcome::AlreadyGone), _) => "gone".to_owned(),
        (Some(HealOutcome::Failed), _) => format!("failed: {}", damage.failure.as_deref().unwrap_or_default()),
        (Some(HealOutcome::Kept) | None, DamageVerdict::Keep) => {
            format!("kept: {}", damage.reason.map_or("", |reason| reason.explanation))
        }
        (Some(HealOutcome::Kept) | None, DamageVerdict::Heal) => format!("to be healed: {}", damage.cure),
    };
    let lost = damage.lost.filter(|_| damage.verdict == DamageVerdict::Heal);
    let lost = lost.map(|lost| format!("; {lost}")).unwrap_or_default();
    Line::new().quote(&damage.text.0).say(" (").quote(state.as_bytes()).say(&lost).say(")")
}

fn summary(subject: &SubjectReport) -> String {
    let counts = subject.summary;
    if subject.hands_off.is_some() && counts.damages == 0 {
        return "Nothing was examined.".to_owned();
    }
    if counts.damages == 0 {
        return match (subject.cannot_be_known.is_empty(), subject.processes.is_empty()) {
            (false, _) => "No damage found, but some checks could not be made.".to_owned(),
            (true, true) => "No process of this dump runs.".to_owned(),
            (true, false) => "No damage.".to_owned(),
        };
    }
    let is_planned = subject.damages.iter().all(|damage| damage.outcome.is_none());
    let healed = if is_planned { "to be healed" } else { "healed" };
    let parts = [(counts.healed, healed), (counts.kept, "kept"), (counts.gone, "gone"), (counts.failed, "failed")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    format!("{} found: {}.", counts.damages, parts.join(", "))
}
