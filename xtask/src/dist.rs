// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask dist`: what a release consists of, in `target/dist`. Everything is made from the last commit, so that
//! anybody can make the same bytes from it.

mod build;
mod export;
mod made;
mod roots;
mod tools;

use std::path::{Path, PathBuf};

use clap::Args;
use testkit::Artifacts;

use self::export::Export;
use self::made::Made;
use crate::error::Error;
use crate::tree::{create, remove};
use crate::versions::Freshness;
use crate::{cargo, packages, program, setup};

/// What `dist` may be asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Make everything a second time, in another directory and with another home, and compare
    #[arg(long)]
    twice: bool,
}

/// Makes it all.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let directory = directory();
    let tools = tools::bring(&directory.join("tools"))?;
    let home = build::Home::of_caller()?;
    let made = make(&directory, &home, &tools)?;
    println!("{}", made.list()?);
    if options.twice {
        let elsewhere = directory.join("elsewhere");
        let home = home.another(&elsewhere.join("home"))?;
        let again = make(&elsewhere.join("below/other/names"), &home, &tools)?;
        made.compare(&again)?;
        println!("dist: a second build, in {}, gives the same bytes", elsewhere.display());
        remove(&elsewhere)?;
    }
    Ok(())
}

/// Makes it all, and runs the tests of the packages.
pub(crate) fn run_tests() -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    packages::install_missing(packages::OF_ROOTS)?;
    run(&Options { twice: false })?;
    roots::bring(&Artifacts::of_workspace().target().join("packages"))?;
    let mut command = cargo::privileged();
    program::stream(command.args(["test", "--locked", "--package", "criu-gc", "--test", "packages"]))
}

/// Where all of it is.
pub(crate) fn directory() -> PathBuf {
    Artifacts::of_workspace().target().join("dist")
}

fn make(directory: &Path, home: &build::Home, tools: &tools::Tools) -> Result<Made, Error> {
    let export = Export::new(cargo::workspace(), &directory.join("source"))?;
    let files = directory.join("files");
    remove(&files)?;
    create(&files)?;
    let builder = build::Builder::new(home, &export, &directory.join("build"))?;
    println!("dist: builds criu-gc {}, static", export.version());
    builder.build(&files)?;
    println!("dist: packs it");
    builder.pack(tools, &files)?;
    Made::seal(&files)
}
