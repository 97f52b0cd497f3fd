// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask runtimes`: the tests of container engines with the engines of newer releases of Debian, each release as the
//! whole `/` of the throw-away hosts; and the table of docs/runtimes.md.

mod table;
mod tree;

use std::path::{Path, PathBuf};

use testkit::{Artifacts, Criu};

use crate::error::Error;
use crate::machine::core::Test;
use crate::setup;
use crate::tree::create;
use crate::versions::Freshness;
use crate::{cargo, packages, program, sources};

/// What the names of the tests of engines contain.
const TESTS: [&str; 3] = ["real ", "podman", "runc"];

/// What the trees and the client of containerd's CRI service are made with.
const PROGRAMS: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("protoc", "protobuf-compiler")];

/// What came of the tests in one tree.
#[derive(Debug)]
struct Outcome {
    /// The release of Debian.
    release: String,
    /// The packages and their versions.
    versions: Vec<(String, String)>,
    tests: Vec<Test>,
}

/// Which releases.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this release, as the table names it; the page is not written
    #[arg(long)]
    release: Option<String>,
}

/// Runs the tests with the engines of this machine's release and of newer ones, prints the table, and publishes it if no
/// release was left out.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    packages::install_missing(&PROGRAMS)?;
    let directory = Artifacts::of_workspace().target().join("runtimes");
    create(&directory)?;
    let client = build_client(&directory)?;
    let own = sources::release()?;
    let is_chosen = |name: &str| options.release.as_deref().is_none_or(|chosen| chosen == name);
    let mut outcomes = Vec::new();
    if is_chosen(&own) {
        outcomes.push(test(&own, None, &client)?);
    }
    for release in tree::RELEASES.iter().filter(|release| is_chosen(release.name)) {
        let tree = directory.join(release.name);
        tree::bring(release, &tree)?;
        outcomes.push(test(release.name, Some(&tree), &client)?);
    }
    let table = table::table(&outcomes);
    println!("\n{table}");
    if options.release.is_none() {
        table::publish(&table)?;
    }
    let all: usize = outcomes.iter().map(|outcome| outcome.tests.len()).sum();
    let failed = outcomes.iter().flat_map(|outcome| &outcome.tests).filter(|test| !test.has_passed).count();
    if failed == 0 && all > 0 { Ok(()) } else { Err(Error::Unclean(failed, all)) }
}

/// Builds the client of containerd's CRI service, in a target directory of its own.
fn build_client(directory: &Path) -> Result<PathBuf, Error> {
    let target = directory.join("cri");
    let mut command = cargo::cargo();
    command.args(["build", "--quiet", "--locked", "--manifest-path", "tests/cri/Cargo.toml", "--target-dir"]);
    program::stream(command.arg(&target))?;
    Ok(target.join("debug/cri"))
}

/// Runs the tests of engines, with the newest CRIU: with those of the tree, or of this machine's own release, whose containerd
/// makes no checkpoints of pods' containers.
fn test(release: &str, tree: Option<&Path>, client: &Path) -> Result<Outcome, Error> {
    let mut tests: Vec<Test> = Vec::new();
    for part in TESTS {
        let mut command = cargo::privileged();
        command.args(["test", "--quiet", "--locked", "--package", "criu-gc", "--test", "privileged", "--", part]);
        command.env(testkit::CRIU, Criu::newest().version());
        if let Some(tree) = tree {
            command.env(testkit::ROOT, tree).env(testkit::CRI, client);
        }
        println!("\nruntimes: {release}: the tests with {part:?} in their names");
        let output = program::finish(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        let ended: Vec<Test> = text.lines().filter_map(Test::parse).collect();
        if ended.is_empty() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Failed { command: program::line(&command), status: output.status, stderr });
        }
        let is_new = |test: &Test| !tests.contains(test);
        let new: Vec<Test> = ended.into_iter().filter(is_new).collect();
        tests.extend(new);
    }
    Ok(Outcome { release: format!("Debian {release}"), versions: tree::versions(tree)?, tests })
}
