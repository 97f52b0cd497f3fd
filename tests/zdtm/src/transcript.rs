// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every action of a run said: hooks, the test's start, criu, criu-gc. Shown if the run fails, kept if asked for.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use crate::action::Action;
use crate::error::Error;

/// All that was said, in its order.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    notes: Vec<Note>,
}

#[derive(Debug)]
struct Note {
    name: &'static str,
    stdout: String,
    stderr: String,
    end: String,
}

impl Transcript {
    /// Notes what a program said and how it ended.
    pub(crate) fn record(&mut self, action: &Action) {
        let (stdout, stderr) = (action.stdout.clone(), action.stderr.clone());
        self.notes.push(Note { name: action.name, stdout, stderr, end: action.end.to_string() });
    }

    /// Notes a text that is no action's output, and where it is from.
    pub(crate) fn record_text(&mut self, name: &'static str, from: &str, text: String) {
        self.notes.push(Note { name, stdout: text, stderr: String::new(), end: from.to_owned() });
    }

    /// Writes two files an action, numbered, to a new directory.
    pub(crate) fn keep(&self, directory: &Path) -> Result<(), Error> {
        let file = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { action, path, source }
        };
        fs::create_dir_all(directory).map_err(file("create", directory))?;
        for (number, note) in self.notes.iter().enumerate() {
            for (stream, text) in [("out", &note.stdout), ("err", &note.stderr)] {
                let name = note.name.replace(" --", "-").replace(' ', "-");
                let path = directory.join(format!("{number:02}-{name}.{stream}"));
                fs::write(&path, text).map_err(file("write", &path))?;
            }
        }
        Ok(())
    }
}

/// The end of what each action said: a log of criu has ten thousand lines.
impl Display for Transcript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Note { name, stdout, stderr, end } in &self.notes {
            writeln!(formatter, "  {name}: {end}")?;
            for text in [stdout, stderr] {
                let lines: Vec<_> = text.lines().collect();
                let shown = &lines[lines.len().saturating_sub(20)..];
                if shown.len() < lines.len() {
                    writeln!(formatter, "    … {} lines before", lines.len() - shown.len())?;
                }
                for line in shown {
                    writeln!(formatter, "    {line}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::interrupt::Interrupt;
    use crate::session::{Limits, Session};

    fn transcript() -> Transcript {
        let interrupt = Interrupt::default();
        let mut session = Session::new(Limits::default(), &interrupt);
        session.run("hook --gc", Command::new("sh").args(["-c", "seq 30; echo bad >&2; exit 3"])).unwrap();
        session.transcript.record_text("log", "a file", "a line\n".to_owned());
        session.transcript
    }

    #[test]
    fn the_end_of_what_was_said_is_shown() {
        let text = transcript().to_string();
        let expected = "  hook --gc: exit status: 3\n    … 10 lines before\n    11\n    12\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("    30\n    bad\n  log: a file\n    a line\n"), "{text}");
    }

    #[test]
    fn everything_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("4.3/h/static/a");
        transcript().keep(&place).unwrap();
        let read = |name: &str| fs::read_to_string(place.join(name)).unwrap();
        assert_eq!(read("00-hook-gc.out").lines().count(), 30);
        assert_eq!((read("00-hook-gc.err"), read("01-log.out")), ("bad\n".to_owned(), "a line\n".to_owned()));
    }
}
