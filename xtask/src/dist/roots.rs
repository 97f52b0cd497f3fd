// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Debians in which the packages are tried: a bare one to install them in, and one with the packages' checkers and
//! the shells.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::tree::{create, file, remove};
use crate::{debootstrap, program};

const SUITE: &str = "bookworm";
const TOOLS: [&str; 5] = ["fish", "lintian", "rpm", "rpmlint", "zsh"];

/// Makes those that are missing.
pub(crate) fn bring(directory: &Path) -> Result<(), Error> {
    create(directory)?;
    let bare = directory.join("bare");
    make(&bare, |new| debootstrap::run(new, SUITE, &[]))?;
    make(&directory.join("tools"), |new| {
        program::output(Command::new("cp").arg("--archive").args([&bare, new]))?;
        // What it mounts goes with the namespace, also when it is killed.
        let mut install = Command::new("unshare");
        install.args(["--mount", "--propagation", "private", "--", "chroot"]).arg(new);
        install.args(["apt-get", "--quiet=2", "install", "--yes", "--no-install-recommends"]).args(TOOLS);
        program::output(install.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C")).map(drop)
    })
}

/// Makes a directory whole, or not at all.
fn make(place: &Path, how: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    if place.exists() {
        return Ok(());
    }
    println!("packages: makes {}", place.display());
    let new = place.with_extension("new");
    remove(&new)?;
    how(&new)?;
    fs::rename(&new, place).map_err(file("make", place))
}
