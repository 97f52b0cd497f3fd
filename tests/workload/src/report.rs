// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the program tells whoever started it: lines, then silence.
//!
//! The report appears whole, by a rename, or on the standard output of a child. Afterwards the
//! standard streams are this mount namespace's own /dev/null: CRIU refuses one from outside.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;

use crate::Outcome;

/// The line that ends a report on a standard output.
const END: &str = "ready";

/// Lines of a keyword and its values.
pub(crate) struct Report {
    lines: Vec<String>,
    file: Option<PathBuf>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let lines = vec![format!("pid {}", std::process::id())];
        Self { lines, file: None }
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    pub(crate) fn write_to(&mut self, file: &Path) {
        self.file = Some(file.to_owned());
    }

    /// Takes over the lines of a child's report.
    pub(crate) fn include(&mut self, child: ChildStdout) -> Outcome {
        for line in BufReader::new(child).lines() {
            match line? {
                line if line == END => return Ok(()),
                line => self.lines.push(format!("child {line}")),
            }
        }
        Err("a child ended before it was ready".into())
    }

    pub(crate) fn finish(&self) -> Outcome {
        let text = self.lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
        match &self.file {
            Some(file) => {
                silence()?;
                let mut unfinished = file.clone().into_os_string();
                unfinished.push(".unfinished");
                std::fs::write(&unfinished, text)?;
                Ok(std::fs::rename(&unfinished, file)?)
            }
            None => {
                std::io::stdout().write_all(format!("{text}{END}\n").as_bytes())?;
                silence()
            }
        }
    }
}

fn silence() -> Outcome {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}
