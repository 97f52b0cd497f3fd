// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask check`: what can be known within a minute, for the inner loop. It needs neither root nor `setup`.

use std::process::Command;
use std::time::Instant;

use crate::cargo::cargo;
use crate::error::Error;
use crate::program;

/// Each part, and the words for cargo. The quickest answer comes first.
const PARTS: [(&str, &[&str]); 5] = [
    ("format", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
    // As users build it: without the feature that opens the private modules, the compiler sees what nobody reads.
    ("dead code", &["clippy", "--quiet", "--package", "criu-gc", "--locked", "--", "--deny", "warnings"]),
    ("unit tests", &["test", "--quiet", "--workspace", "--lib", "--bins", "--examples", "--locked"]),
    (
        "command line",
        &[
            "test",
            "--quiet",
            "--package",
            "criu-gc",
            "--locked",
            "--test",
            "architecture",
            "--test",
            "bad_input",
            "--test",
            "command_line",
            "--test",
            "deploy",
            "--test",
            "invocation",
            "--test",
            "library",
            "--test",
            "save_command_line",
        ],
    ),
];

/// Runs all parts up to the first that fails, and prints how long each took.
pub(crate) fn run() -> Result<(), Error> {
    let start = Instant::now();
    for (name, words) in PARTS {
        let start = Instant::now();
        part(cargo().args(words))?;
        println!("check: {name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    println!("check: all: {:.1} s; the privileged tests are left to `cargo xtask test`", start.elapsed().as_secs_f64());
    Ok(())
}

/// Shows what a part has to say only if it fails.
fn part(command: &mut Command) -> Result<(), Error> {
    let finished = program::finish(command)?;
    if finished.status.success() {
        return Ok(());
    }
    let said = [finished.stdout, finished.stderr].concat();
    let stderr = String::from_utf8_lossy(&said).trim_end().to_owned();
    Err(Error::Failed { command: program::line(command), status: finished.status, stderr })
}
