// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one front door, for people and for CI: `cargo xtask COMMAND`.
//!
//! A new machine has Rust, a C linker, Python and git; whatever else the project needs is brought
//! by `setup`, which all other commands but `check` start with.

mod against_stubs;
mod apt;
mod bench;
mod cargo;
mod check;
mod criu;
mod crun;
mod debootstrap;
mod demo;
mod dist;
mod engines;
mod error;
mod fuzz;
mod image;
mod machine;
mod manifests;
mod packages;
mod program;
mod runtimes;
mod setup;
mod sources;
mod test;
mod tree;
mod versions;
mod zdtm;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::versions::Freshness;

/// Sets the machine up, runs the tests, shows a demonstration.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring what the tests need: programs of the host, real CRIUs, the program that is dumped
    Setup {
        /// Look again which versions of CRIU there are
        #[arg(long)]
        refresh: bool,
    },
    /// Check format and lints, run the unit tests and those of the command line: less than a minute, without root
    Check,
    /// Run all tests; one that cannot run has failed
    Test {
        /// Arguments for the test programs
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Dump a tree in a throw-away host, and let criu-gc show and remove what that leaves
    Demo {
        /// Also draw what it prints, as an SVG in this file
        #[arg(long, value_name = "FILE")]
        picture: Option<PathBuf>,
    },
    /// Make what a release consists of, in target/dist/files: a static program, packages, checksums
    Dist(dist::Options),
    /// Make that, install each package in a bare Debian, and try it there
    Packages,
    /// Build criu-gc as a container image, in an archive that engines load: target/image/criu-gc.tar
    Image,
    /// Check the manifests for Kubernetes against its schemas
    Manifests,
    /// Measure removals against bare unlinking
    Bench,
    /// Dump tests of this project and of CRIU's own suite, clean up after them, and check that all is as before
    Zdtm(::zdtm::Options),
    /// Run tests in a whole machine, emulated, with a kernel of another release of Debian
    Machine(machine::Options),
    /// Run the tests that boot machines of their own: reboots, power cuts, other root file systems
    Machines,
    /// Run the core of the privileged tests on every kernel, and write docs/kernels.md
    Kernels {
        /// Only these: 5.10, 6.1, 6.12, 7.2; the page is not written
        kernels: Vec<::machine::Kernel>,
    },
    /// Run the tests of container engines with those of newer releases too, and write the table of docs/runtimes.md
    Runtimes(runtimes::Options),
    /// Build the fuzz targets, seed them with real dumps, and run each of them for a while
    Fuzz {
        /// How long each target runs
        #[arg(long, default_value_t = 5)]
        seconds: u32,
        /// The targets; all of them if none is named
        targets: Vec<String>,
    },
    /// Prove that the privileged tests fail for programs that only look like criu-gc
    AgainstStubs {
        /// The test target of the root package that holds the privileged tests
        #[arg(long, default_value = "privileged")]
        suite: String,
    },
}

fn main() -> ExitCode {
    let start = Instant::now();
    match run(Arguments::parse().command) {
        Ok(()) => {
            println!("xtask: {:.0} s", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Setup { refresh: true } => setup::run(Freshness::LookAgain),
        Command::Setup { refresh: false } => setup::run(Freshness::AsFound),
        Command::Check => check::run(),
        Command::Test { arguments } => test::run(&arguments),
        Command::Demo { picture } => demo::run(picture.as_deref()),
        Command::Dist(options) => dist::run(&options),
        Command::Packages => dist::run_tests(),
        Command::Image => image::run(),
        Command::Manifests => manifests::run(),
        Command::Bench => bench::run(),
        Command::Zdtm(options) => zdtm::run(&options),
        Command::Machine(options) => machine::run(&options),
        Command::Machines => machine::table::run_machines(),
        Command::Kernels { kernels } if kernels.is_empty() => machine::table::run(&::machine::Kernel::ALL),
        Command::Kernels { kernels } => machine::table::run(&kernels),
        Command::Runtimes(options) => runtimes::run(&options),
        Command::Fuzz { seconds, targets } => fuzz::run(seconds, &targets),
        Command::AgainstStubs { suite } => against_stubs::run(&suite),
    }
}
