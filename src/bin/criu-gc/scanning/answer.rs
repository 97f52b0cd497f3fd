// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a single file, process or network namespace has of CRIU, whose it is, and what to type. Nothing is changed.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criu_gc::heal;
use criu_gc::scan::{self, Options, ScanObject, ScanReport};

use super::{Document, refuse, text};
use crate::cli::Arguments;
use crate::exit::ExitStatus;
use crate::log_file;
use crate::privilege::{self, Duty};
use crate::process;
use crate::terminal::{Line, Terminal};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// A file.
    Path(PathBuf),
    /// A network namespace, by its path.
    Network(PathBuf),
    /// A process.
    Process(u32),
}

/// What a person can type who has no images.
const WAYS: [&str; 5] = [
    "criu-gc scan                 list what CRIU left on this host, whose it is, and what to type",
    "criu-gc -D DIR --show        list what the checkpoint in DIR left",
    "criu-gc heal --pid PID       mend a process that a killed dump left damaged",
    "criu-gc restorable -D DIR    undo what a killed restore left in the way of the next one",
    "criu-gc --help               all options",
];

/// How long the filesystem of a named path may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question of which the path is known.
enum Known {
    Path(PathBuf),
    Network(u64),
    Process(u32),
}

/// Answers the questions; without any, says what can be done.
pub(crate) fn answer(arguments: &Arguments, questions: &[Question]) -> io::Result<ExitStatus> {
    let terminal = Terminal::new(arguments.verbose, log_file::wanted(arguments));
    terminal.log_into(None);
    if let Err(error) = privilege::confine(Duty::Look) {
        return refuse(&terminal, &format!("cannot drop privileges: {error}; nothing was done"));
    }
    process::allow_many_open_files();
    let mut known = Vec::new();
    for question in questions {
        match find(question) {
            Ok(found) => known.push(found),
            Err(why) => return refuse(&terminal, &why),
        }
    }
    // Whether there are such processes: a word about one that is not there would mean nothing.
    let processes = known.iter().filter_map(|known| match known {
        Known::Process(pid) => Some(heal::Target::Process(*pid)),
        Known::Path(_) | Known::Network(_) => None,
    });
    let missing = heal::look(processes, &heal::Options::new());
    if let Some(why) = missing.subjects.iter().find_map(|subject| subject.error.as_ref()) {
        return refuse(&terminal, why);
    }
    let directories = known.iter().filter_map(|known| match known {
        Known::Path(path) => path.parent().map(Path::to_owned),
        Known::Network(_) | Known::Process(_) => None,
    });
    let mut report = scan::look(&directories.fold(Options::new(), Options::look_in));
    if questions.is_empty() {
        let mut lines = vec![Line::new().say(&text::summary(&report)), Line::new()];
        lines.extend(WAYS.map(|way| Line::new().say("  ").say(way)));
        terminal.print(&lines)?;
        return Ok(ExitStatus::Done);
    }
    report.objects.retain(|object| known.iter().any(|known| known.is_about(object)));
    if arguments.json {
        terminal.print_json(&Document { report: &report, exit_status: ExitStatus::Done as u8 })?;
    } else {
        terminal.print(&lines(&report, terminal.verbosity()))?;
    }
    Ok(ExitStatus::Done)
}

fn lines(report: &ScanReport, verbosity: u8) -> Vec<Line> {
    let mut lines = Vec::new();
    for object in &report.objects {
        lines.push(text::named_line(object, report.mode));
        lines.extend(text::detail_lines(object, verbosity));
        lines.extend(object.remarks.iter().map(|remark| Line::new().say("    ").quote(remark.as_bytes())));
        lines.push(Line::new().say("    ").quote(&whose(object)));
        lines.extend(object.command.iter().map(|command| Line::new().say("    # ").quote(&command.0)));
    }
    if report.objects.is_empty() {
        lines.push(Line::new().say("Nothing of CRIU was found there."));
        lines.extend(text::sentences("Not known: ", &report.cannot_be_known, verbosity));
    }
    lines
}

/// Whose it is, in a sentence.
fn whose(object: &ScanObject) -> Vec<u8> {
    let Some(directory) = &object.checkpoint else {
        return match object.class {
            "orphan" => b"No images of it are known on this host; they may be in an archive or elsewhere.".to_vec(),
            "litter" => b"A crash left it, and no restore needs it.".to_vec(),
            "in-use" => b"A criu at work may be using it.".to_vec(),
            "undecided" => b"Whose it is was not found out in time.".to_vec(),
            "look-alike" => b"It only looks like something of CRIU.".to_vec(),
            _ => b"It damages something that runs.".to_vec(),
        };
    };
    let state: &[u8] = match object.class {
        "restorable" => b", which can be restored.",
        "incomplete" => b", which cannot be restored.",
        "restored" => b", which was restored since.",
        _ => b".",
    };
    [b"It belongs to the checkpoint in ", directory.0.as_slice(), state].concat()
}

fn find(question: &Question) -> Result<Known, String> {
    let silent = |path: &Path| format!("{} does not answer", path.display());
    let failed = |path: &Path, error: io::Error| format!("cannot look at {}: {error}", path.display());
    match question {
        Question::Process(pid) => Ok(Known::Process(*pid)),
        Question::Network(path) => {
            let theirs = path.clone();
            match process::within(PATIENCE, move || std::fs::metadata(theirs)) {
                Some(Ok(file)) => Ok(Known::Network(file.ino())),
                Some(Err(error)) => Err(failed(path, error)),
                None => Err(silent(path)),
            }
        }
        Question::Path(path) => {
            let theirs = path.clone();
            // The directory may be reached by a symbolic link; the file itself may be one.
            let exact = move || -> io::Result<PathBuf> {
                let parent = theirs.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
                Ok(parent.canonicalize()?.join(theirs.file_name().unwrap_or_default()))
            };
            match process::within(PATIENCE, exact) {
                Some(Ok(path)) => Ok(Known::Path(path)),
                Some(Err(error)) => Err(failed(path, error)),
                None => Err(silent(path)),
            }
        }
    }
}

impl Known {
    fn is_about(&self, object: &ScanObject) -> bool {
        match self {
            Known::Path(path) => object.path.as_ref().is_some_and(|found| found.0 == path.as_os_str().as_bytes()),
            Known::Network(number) => object.network_namespace == Some(*number),
            Known::Process(pid) => object.pids.contains(pid) || object.holders.iter().any(|holder| holder.pid == *pid),
        }
    }
}
