// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask zdtm`: the gc tests of the series of 2016, for tests of the project's own and for the suite of a source
//! tree of CRIU that the user has and has built.
//!
//! Each test is started in a throw-away host and dumped by a real criu; criu-gc shows and removes what that left, its
//! lines are compared with what the test's hook expects, and pictures of the host, taken without criu-gc, say whether
//! anything is left or anything else has changed.

mod description;
mod eligibility;
mod expectation;
mod guest;
mod literal;
mod outcome;
mod own;
mod parallel;
mod picture;
mod privacy;
mod report;
mod root;
mod running;
mod suite;
mod transcript;
mod trial;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use testkit::{BINARY, Criu, IptablesFlavour};

use crate::cargo;
use crate::error::Error;
use crate::setup::{self, Freshness};
use description::Flavour;
use outcome::Outcome;
use report::Record;
use suite::Test;
use transcript::Transcript;
use trial::{Means, Trial};

/// What to run.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// CRIU's source tree, with the tests built in it; without it only this project's own tests are run
    #[arg(long, value_name = "DIR")]
    criu_source: Option<PathBuf>,
    /// Run these tests only, with or without a hook: `socket-tcp`, `transition/socket-tcp`, `own/semaphore`
    #[arg(short, long = "test", value_name = "TEST", num_args = 1..)]
    tests: Vec<String>,
    /// Run these flavours only
    #[arg(long, value_delimiter = ',')]
    flavour: Vec<Flavour>,
    /// Run every test of CRIU's tree, not only those that have a hook; go on after a failure
    #[arg(long, requires = "criu_source", conflicts_with = "tests")]
    all: bool,
    /// Dump with this criu, a version that `setup` brought or the path of a program; may be repeated [default: all
    /// that `setup` brought]
    #[arg(long, value_name = "VERSION|PATH")]
    criu: Vec<String>,
    /// Let criu find this iptables
    #[arg(long, value_enum, default_value_t)]
    iptables: Iptables,
    /// Give criu one more option for every dump: `--criu-option=--network-lock=nftables`; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    criu_option: Vec<OsString>,
    /// Keep what every action of every run said in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Which iptables criu finds.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Iptables {
    /// The one that keeps its rules in nftables
    #[default]
    Nft,
    /// The one with tables of its own
    Legacy,
}

/// Runs what is asked for, and fails if a run does.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    if let Some(reason) = testkit::cannot_run() {
        return Err(Error::NoZdtm(reason));
    }
    let (means, tests) = (means(options)?, tests(options)?);
    let trials: Vec<_> = means.iter().flat_map(|means| trials(&tests, means, options)).collect();
    if trials.is_empty() {
        return Err(Error::NothingToRun);
    }
    let attempt = |(means, test, flavour): &(&Means, &Test, Flavour)| attempt(test, *flavour, means, options);
    let is_last = |record: &Result<Record, Error>| match record {
        Ok(record) => record.outcome.is_failure() && !options.all,
        Err(_) => true,
    };
    let records: Vec<Record> = parallel::map(&trials, attempt, is_last).into_iter().collect::<Result<_, _>>()?;
    print!("\n{}", report::tables(&records));
    match records.iter().filter(|record| record.outcome.is_failure()).count() {
        0 => Ok(()),
        failed => Err(Error::Unclean(failed, records.len())),
    }
}

fn tests(options: &Options) -> Result<Vec<Test>, Error> {
    let (own, source) = (suite::own(cargo::workspace())?, options.criu_source.as_deref());
    let of_criu = source.map(|source| suite::of_criu(source, cargo::workspace())).transpose()?.unwrap_or_default();
    if options.all {
        return Ok(of_criu);
    }
    let all: Vec<_> = own.into_iter().chain(of_criu).collect();
    match options.tests.is_empty() {
        true => Ok(all.into_iter().filter(|test| test.hook.is_some() || test.tree.is_none()).collect()),
        false => suite::chosen(all, &options.tests, source),
    }
}

/// Each test once for every flavour that it has and that is asked for.
fn trials<'a>(tests: &'a [Test], means: &'a Means, options: &Options) -> Vec<(&'a Means, &'a Test, Flavour)> {
    let is_asked_for = |flavour: &Flavour| options.flavour.is_empty() || options.flavour.contains(flavour);
    let of_test = |test: &'a Test| {
        // One whose description cannot be read is to be seen once.
        let flavours = test.description.as_ref().map_or_else(|_| vec![Flavour::Host], |it| it.flavours.clone());
        flavours.into_iter().filter(is_asked_for).map(move |flavour| (means, test, flavour))
    };
    tests.iter().flat_map(of_test).collect()
}

fn attempt(test: &Test, flavour: Flavour, means: &Means, options: &Options) -> Result<Record, Error> {
    let skipped = |why: String| (Outcome::Skipped(why), Transcript::default());
    let (outcome, transcript) = match &test.description {
        Err(problem) => skipped(problem.clone()),
        Ok(description) if description.is_manual() && options.tests.is_empty() => {
            skipped("it runs only if it is asked for".to_owned())
        }
        Ok(description) => Trial { test, description, flavour, means }.run(),
    };
    let outcome = if options.all { outcome } else { outcome.of_required() };
    let record = Record { criu: means.criu.version().to_owned(), test: test.name.clone(), flavour, outcome };
    let said = if record.outcome.is_failure() { format!("\n{transcript}") } else { String::new() };
    // One call: other runs end at the same time.
    println!("{} {} criu {}: {}{said}", record.test, flavour.name(), record.criu, record.outcome);
    if let Some(directory) = &options.keep {
        let criu = record.criu.replace('/', "_");
        transcript.keep(&directory.join(criu).join(flavour.name()).join(&record.test))?;
    }
    Ok(record)
}

/// One for each criu that is asked for.
fn means(options: &Options) -> Result<Vec<Means>, Error> {
    let stub = std::env::var_os(BINARY).map(PathBuf::from);
    let tool = stub.map_or_else(cargo::build_tool, Ok)?;
    let iptables = match options.iptables {
        Iptables::Nft => IptablesFlavour::Nft,
        Iptables::Legacy => IptablesFlavour::Legacy,
    };
    let means = |criu| Means { criu, iptables, criu_options: options.criu_option.clone(), tool: tool.clone() };
    Ok(criu(&options.criu)?.into_iter().map(means).collect())
}

/// The CRIUs that are asked for.
fn criu(names: &[String]) -> Result<Vec<Criu>, Error> {
    let all = Criu::all();
    if names.is_empty() {
        return Ok(all);
    }
    let one = |name: &String| match name.contains('/') {
        true => match Path::new(name).canonicalize() {
            Ok(path) => Criu::at(&path).ok_or(Error::NoCriuProgram(path)),
            Err(source) => Err(Error::File { action: "find", path: name.into(), source }),
        },
        false => all.iter().find(|criu| criu.version() == name).cloned().ok_or_else(|| {
            let versions = all.iter().map(Criu::version).collect::<Vec<_>>().join(", ");
            Error::NoSuchCriu(name.clone(), versions)
        }),
    };
    names.iter().map(one).collect()
}
