// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Docker, containerd and LXC of the machine's own release. They are not installed: their daemons would start, and change
//! the machine's network. A throw-away host gets them laid over its own `/usr` and `/etc`.

use std::fs;
use std::path::Path;

use crate::apt::Apt;
use crate::error::Error;
use crate::sources;
use crate::tree::{create, entries, file, remove, unpack, write};
use crate::versions::Freshness;

/// The packages whose programs the tests run.
const PACKAGES: [&str; 3] = ["docker.io", "containerd", "lxc"];

/// Brings the packages, with what of their dependencies this machine lacks, to `directory`.
pub(crate) fn bring(directory: &Path, freshness: Freshness) -> Result<(), Error> {
    if freshness == Freshness::AsFound && directory.join("versions").exists() {
        println!("setup: Docker, containerd and LXC are here");
        return Ok(());
    }
    println!("setup: brings Docker, containerd and LXC");
    let new = directory.with_file_name("new-engines");
    remove(&new)?;
    create(&new)?;
    let packages = new.join("packages");
    let codename = sources::release()?;
    let apt = Apt::update(&new.join("apt"), &sources::mirror()?, &[&codename])?;
    apt.download_missing(&PACKAGES.map(str::to_owned), &packages)?;
    drop(apt);
    write(&new.join("versions"), &versions(&packages)?)?;
    unpack(&packages, &new.join("tree"))?;
    remove(&packages)?;
    remove(directory)?;
    fs::rename(&new, directory).map_err(file("make", directory))
}

/// A line a package: its name and its version, as the archive `lxc_1%3a5.0.2-1_amd64.deb` is called.
fn versions(packages: &Path) -> Result<String, Error> {
    let names = entries(packages)?.into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let lines = names.filter_map(|name| {
        let mut parts = name.strip_suffix(".deb")?.split('_');
        Some(format!("{} {}\n", parts.next()?, parts.next()?.replace("%3a", ":")))
    });
    Ok(lines.collect())
}
