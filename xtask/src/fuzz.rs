// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask fuzz`: builds the fuzz targets with the stable compiler, gives them real dumps to begin with, and runs
//! each for a while.
//!
//! Coverage comes from LLVM's pass, which is in every rustc; only the sanitizers, which safe code does without, would
//! need a nightly one. `cargo fuzz` works in `fuzz/` too, where it is installed.

mod seeds;

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::Artifacts;

use crate::cargo::{self, workspace};
use crate::error::Error;
use crate::program;
use crate::setup;
use crate::versions::Freshness;

/// What is fuzzed.
const TARGETS: [&str; 10] =
    ["directory", "archive", "image", "addresses", "metadata", "mountinfo", "netlink", "xtables", "log", "record"];

/// As `cargo fuzz` sets them without a sanitizer.
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// More memory than that for any input is a finding, and so is more time, in seconds.
const MEMORY_LIMIT_MB: u32 = 512;
const TIME_LIMIT: u32 = 10;

/// Runs each of the targets for so many seconds; all of them if none is named.
pub(crate) fn run(seconds: u32, targets: &[String]) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    let programs = build()?;
    let corpus = Artifacts::of_workspace().target().join("fuzz-corpus");
    seeds::write(&corpus, &TARGETS)?;
    for target in TARGETS.into_iter().filter(|target| targets.is_empty() || targets.iter().any(|name| name == target)) {
        println!("fuzz: {target} for {seconds} seconds");
        program::stream(&mut command(&programs, &corpus, target, seconds))?;
    }
    Ok(())
}

/// Builds the targets and gives the directory that they are in.
fn build() -> Result<PathBuf, Error> {
    let host = cargo::host_target()?;
    let directory = Artifacts::of_workspace().target().join("fuzz");
    let mut command = cargo::cargo();
    command.current_dir(workspace().join("fuzz"));
    // With a target of its own, build scripts and macros are left alone.
    command.args(["build", "--quiet", "--release", "--target", &host]).arg("--target-dir").arg(&directory);
    command.env("RUSTFLAGS", FLAGS.join(" "));
    program::stream(&mut command)?;
    Ok(directory.join(host).join("release"))
}

fn command(programs: &Path, corpus: &Path, target: &str, seconds: u32) -> Command {
    let artifacts = workspace().join("fuzz/artifacts").join(target);
    let mut command = Command::new(programs.join(target));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-rss_limit_mb={MEMORY_LIMIT_MB}")).arg(format!("-timeout={TIME_LIMIT}"));
    command.arg(format!("-max_len={}", longest_input(target))).args(["-print_final_stats=1", "-verbosity=0"]);
    command.arg(format!("-artifact_prefix={}-", artifacts.display()));
    let words = workspace().join("fuzz/dictionaries").join(target);
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    command.arg(corpus.join(target));
    command
}

/// In bytes: several records of each image; podman's `config.dump` and `spec.dump` together; a podman export.
fn longest_input(target: &str) -> u32 {
    match target {
        "metadata" => 64 * 1024,
        "archive" => 96 * 1024,
        _ => 16 * 1024,
    }
}
