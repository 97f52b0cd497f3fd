// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A crun that was built with CRIU: Debian 12's own was not.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::apt::{Apt, NEW_SUITES};
use crate::error::Error;
use crate::tree::{self, create, file, remove, unpack, write_script};
use crate::versions::Freshness;
use crate::{program, sources};

/// Brings the newest crun of the suites that have CRIU's library to `directory`.
pub(crate) fn bring(directory: &Path, freshness: Freshness) -> Result<(), Error> {
    if freshness == Freshness::AsFound && directory.join("crun").exists() {
        println!("setup: crun is here");
        return Ok(());
    }
    println!("setup: brings crun");
    let new = directory.with_file_name("new-crun");
    remove(&new)?;
    create(&new)?;
    let packages = new.join("packages");
    let apt = Apt::update(&new.join("apt"), &sources::mirror()?, NEW_SUITES)?;
    apt.download_closure(&["crun", "libcriu2"].map(str::to_owned), &packages)?;
    drop(apt);
    unpack(&packages, &new.join("tree"))?;
    remove(&packages)?;
    write_script(&new.join("crun"), &tree::by_own_linker(&new, "usr/bin/crun")?)?;
    check(&new.join("crun"))?;
    remove(directory)?;
    fs::rename(&new, directory).map_err(file("make", directory))
}

/// What was brought must run here, and know CRIU.
fn check(crun: &Path) -> Result<(), Error> {
    let said = program::output(Command::new(crun).arg("--version"))?;
    match said.split_whitespace().any(|word| word == "+CRIU") {
        true => Ok(()),
        false => Err(Error::WithoutCriu { program: crun.to_owned(), said }),
    }
}
