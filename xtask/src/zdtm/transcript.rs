// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every action of a run said: hooks, the test's start, criu, criu-gc. Shown if the run fails, kept if asked for.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use testkit::Finished;

use crate::error::Error;

/// All that was said, in its order.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    actions: Vec<Action>,
}

#[derive(Debug)]
struct Action {
    name: &'static str,
    stdout: String,
    stderr: String,
    status: String,
}

impl Transcript {
    /// Notes what a program said and how it ended.
    pub(crate) fn record(&mut self, name: &'static str, finished: &Finished) {
        let (stdout, stderr) = (finished.stdout.clone(), finished.stderr.clone());
        self.actions.push(Action { name, stdout, stderr, status: finished.status.to_string() });
    }

    /// Notes a file that an action wrote.
    pub(crate) fn record_file(&mut self, name: &'static str, text: String) {
        self.actions.push(Action { name, stdout: text, stderr: String::new(), status: "a file".to_owned() });
    }

    /// Writes two files an action, numbered, to a new directory.
    pub(crate) fn keep(&self, directory: &Path) -> Result<(), Error> {
        let file = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { action, path, source }
        };
        fs::create_dir_all(directory).map_err(file("create", directory))?;
        for (number, action) in self.actions.iter().enumerate() {
            for (stream, text) in [("out", &action.stdout), ("err", &action.stderr)] {
                let path = directory.join(format!("{number:02}-{}.{stream}", action.name));
                fs::write(&path, text).map_err(file("write", &path))?;
            }
        }
        Ok(())
    }
}

/// The end of what each action said: a log of criu has ten thousand lines.
impl Display for Transcript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Action { name, stdout, stderr, status } in &self.actions {
            writeln!(formatter, "  {name}: {status}")?;
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
