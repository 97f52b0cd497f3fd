// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs of criu-gc, and texts to compare them with.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The program under test.
pub(crate) const CRIU_GC: &str = env!("CARGO_BIN_EXE_criu-gc");

/// Set to write the texts anew.
const WRITE: &str = "CRIU_GC_WRITE_SNAPSHOTS";

/// A run that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs criu-gc without a terminal.
pub(crate) fn criu_gc(arguments: &[&str]) -> Run {
    let mut command = Command::new(CRIU_GC);
    Run::new(command.args(arguments).env_clear().output().expect("criu-gc"))
}

/// The same, in a directory.
pub(crate) fn criu_gc_in(directory: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(CRIU_GC);
    Run::new(command.args(arguments).current_dir(directory).env_clear().output().expect("criu-gc"))
}

/// Compares what a successful run printed with a file beside this one.
#[track_caller]
pub(crate) fn assert_snapshot(name: &str, run: &Run) {
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line").join(name);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &run.stdout).expect("a snapshot");
    }
    let expected = std::fs::read_to_string(&path).expect("a snapshot");
    assert_eq!(run.stdout, expected, "{name}: {WRITE}=1 writes it anew");
}

impl Run {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let status = output.status.code().expect("an exit status");
        Run { status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The last line of the output; nothing if there is none.
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }

    /// The output as one JSON document.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("one JSON document")
    }
}
