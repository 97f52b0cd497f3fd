// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask machine`: tests or a script in a whole machine with another kernel.
//!
//! Kernels, the root file system and old CRIUs come from Debian's releases by package name. They are kept below
//! `target/machine`, each with a stamp; a second time nothing is fetched.

pub(crate) mod core;
mod filesystem;
mod initramfs;
mod kernels;
mod old_criu;
mod project;
mod provision;
mod root;
mod stamp;
pub(crate) mod table;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use machine::{Hardware, Init, Installation, Kernel, Machine};

use self::project::Share;
use crate::error::Error;
use crate::tree::{create, file, remove, write};
pub(crate) use provision::bring;

/// What is to run, and in which machine.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The kernel: 5.10, 6.1, 6.12 or 7.2
    #[arg(long, default_value = "6.1")]
    kernel: Kernel,
    /// Only with this CRIU; may be given more than once [default: all that run on the kernel]
    #[arg(long)]
    criu: Vec<String>,
    /// Have systemd for process 1
    #[arg(long)]
    systemd: bool,
    /// Run this script of bash instead of tests; what it writes to /results comes back to target/machine/results
    #[arg(long, conflicts_with = "tests")]
    script: Option<PathBuf>,
    /// End what runs in the machine after this many seconds
    #[arg(long, default_value_t = 3600)]
    limit: u64,
    /// Privileged tests, each by a part of its name; the core if none is named
    #[arg(last = true)]
    tests: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    bring(&[options.kernel])?;
    let script = match &options.script {
        Some(path) => fs::read_to_string(path).map_err(file("read", path))?,
        None => project::script(options.kernel, &options.criu, &options.tests, Share::WHOLE)?,
    };
    let start = Instant::now();
    let mut hardware = Hardware::new(options.kernel)?;
    if options.systemd {
        hardware.set_init(Init::Systemd);
    }
    let mut machine = hardware.boot()?;
    let booted = start.elapsed();
    machine.set_limit(Duration::from_secs(options.limit));
    let code = machine.stream(&script, &mut io::stdout(), &mut io::stderr())?;
    bring_back(&mut machine)?;
    machine.power_off()?;
    let (booted, all) = (booted.as_secs_f32(), start.elapsed().as_secs_f32());
    println!("machine: kernel {}: booted in {booted:.1} s, off after {all:.1} s", options.kernel);
    if code == 0 { Ok(()) } else { Err(Error::EndedInMachine(code)) }
}

/// Runs the core on the kernel with the oldest CRIU: this host's own kernel runs the newer ones. One test that fails is a
/// failure.
pub(crate) fn run_core(kernel: Kernel) -> Result<(), Error> {
    let versions = old_criu::on(kernel, &project::versions()?);
    let oldest: Vec<String> = versions.into_iter().take(1).collect();
    println!("\nmachine: the core on kernel {kernel}");
    let start = Instant::now();
    let outcome = core::run(kernel, &oldest, core::Results::Fresh)?;
    let failed = outcome.tests.iter().filter(|test| !test.has_passed).count();
    let (release, minutes) = (outcome.release, start.elapsed().as_secs_f32() / 60.0);
    println!("machine: the core on {release} took {minutes:.1} minutes");
    if failed == 0 { Ok(()) } else { Err(Error::Unclean(failed, outcome.tests.len())) }
}

/// Replaces what the machine before it brought back.
fn bring_back(machine: &mut Machine) -> Result<(), Error> {
    let results = Installation::of_workspace().results();
    remove(&results)?;
    create(&results)?;
    machine.bring_back("/results", &results)?;
    write(&results.join("console.log"), &machine.console())
}
