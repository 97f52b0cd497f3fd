// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask against-stubs`: tests of the tests. Each executable in tests/stubs stands in for
//! criu-gc, and the privileged tests must notice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::{cargo, workspace};
use crate::error::Error;
use crate::setup::{self, Freshness};
use crate::{program, test};

/// Names the program under test to the privileged tests, instead of the one that cargo built.
pub(crate) const BINARY: &str = "CRIU_GC_BINARY";

pub(crate) fn run(suite: &str) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    let stubs = stubs(&workspace().join("tests/stubs"))?;
    let words = ["test", "--package", "criu-gc", "--test", suite];
    // A suite that does not compile fails too, but proves nothing.
    program::stream(cargo().args(words).arg("--no-run"))?;
    let mut passed = Vec::new();
    for stub in stubs {
        let output = program::finish(test::complete(cargo()).args(words).env(BINARY, &stub))?;
        println!("{}: {}", stub.display(), summary(&output.stdout));
        let gc_tests = program::finish(Command::new("/proc/self/exe").arg("zdtm").env(BINARY, &stub))?;
        println!("{}: gc tests: {}", stub.display(), gc_tests.status);
        if output.status.success() || gc_tests.status.success() {
            passed.push(stub);
        }
    }
    match passed.is_empty() {
        true => Ok(()),
        false => Err(Error::StubsPass(passed)),
    }
}

fn stubs(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let file = |source| Error::File { action: "read", path: directory.to_owned(), source };
    let entries = fs::read_dir(directory).map_err(file)?.flatten();
    let is_executable =
        |path: &PathBuf| path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
    let mut stubs: Vec<_> = entries.map(|entry| entry.path()).filter(is_executable).collect();
    stubs.sort();
    match stubs.is_empty() {
        true => Err(Error::NoStubs(directory.to_owned())),
        false => Ok(stubs),
    }
}

fn summary(stdout: &[u8]) -> String {
    let text = String::from_utf8_lossy(stdout);
    text.lines().rfind(|line| line.starts_with("test result:")).unwrap_or("no result").to_owned()
}
