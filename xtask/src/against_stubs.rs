// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask against-stubs`: tests of the tests. Each executable in tests/stubs stands in for
//! criu-gc, and the privileged tests must notice: every one, but for those that a file beside the
//! stub names, `STUB.passing`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::BINARY;

use crate::cargo::{self, cargo, workspace};
use crate::error::Error;
use crate::program;
use crate::setup;
use crate::tree::file;
use crate::versions::Freshness;

pub(crate) fn run(suite: &str) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    let stubs = stubs(&workspace().join("tests/stubs"))?;
    let words = ["test", "--package", "criu-gc", "--test", suite];
    // A suite that does not compile fails too, but proves nothing.
    program::stream(cargo().args(words).arg("--no-run"))?;
    let mut passing = Vec::new();
    for stub in stubs {
        let output = program::finish(cargo::privileged().args(words).env(BINARY, &stub))?;
        println!("{}: {}", stub.display(), summary(&output.stdout));
        let may_pass = may_pass(&stub)?;
        passing.extend(passed(&output.stdout).difference(&may_pass).map(|name| format!("{}: {name}", stub.display())));
        let gc_tests =
            program::finish(Command::new("/proc/self/exe").args(["zdtm", "--fail-fast"]).env(BINARY, &stub))?;
        println!("{}: gc tests: {}", stub.display(), gc_tests.status);
        if gc_tests.status.success() {
            passing.push(format!("{}: all gc tests", stub.display()));
        }
    }
    match passing.is_empty() {
        true => Ok(()),
        false => Err(Error::StubsPass(passing)),
    }
}

/// The tests that have nothing against this stub, since they do not run it, or since it is right there.
fn may_pass(stub: &Path) -> Result<BTreeSet<String>, Error> {
    let path = stub.with_extension("passing");
    let text = fs::read_to_string(&path).map_err(file("read", &path))?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}

/// The names of the tests that have passed, with whichever CRIU.
fn passed(stdout: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(stdout);
    let passed = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok"));
    passed.map(|name| name.rsplit_once(" (criu ").map_or(name, |(name, _)| name).trim_end().to_owned()).collect()
}

fn stubs(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(directory).map_err(file("read", directory))?.flatten();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_passed() {
        let printed = "running 3 tests\n2 runs\ntest one (1) thing (criu 4.2.1)    ... ok\ntest two   ... FAILED\n\
                       test one (1) thing (criu 4.3)      ... ok\ntest three ... ok\ntest result: FAILED. 3 passed\n";
        assert_eq!(passed(printed.as_bytes()), ["one (1) thing", "three"].map(str::to_owned).into());
    }
}
