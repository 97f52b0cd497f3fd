// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real CRIUs, each in a tree of its own with all libraries down to the C library: Debian 12's own
//! is too old for new kernels, and the host's libraries must not change for newer ones.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::apt::{Apt, NEW_SUITES};
use crate::error::Error;
use crate::tree::{self, entries, file, remove, unpack, write, write_script};
use crate::versions::{self, Freshness, OLDEST, Version};
use crate::{program, sources};

/// Part of the stamp: when this changes, trees of earlier versions are built again.
const LAYOUT: &str = "layout 1";

/// Brings the newest CRIU of each minor line to a directory each, below the one given.
pub(crate) fn bring(directory: &Path, freshness: Freshness) -> Result<(), Error> {
    let stamp = directory.join("stamp");
    if let (Freshness::AsFound, Some(versions)) = (freshness, stamped(directory, &stamp)) {
        println!("setup: criu {} is here", versions.join(", "));
        return Ok(());
    }
    let mirror = sources::mirror()?;
    println!("setup: asks the archive which versions of criu it has");
    let apt = Apt::update(&directory.join("apt"), &mirror, NEW_SUITES)?;
    let listed = apt.madison("criu")?;
    let wanted = versions::wanted(&listed);
    if wanted.is_empty() {
        let found = versions::all(&listed).into_iter().map(|version| version.package).collect::<Vec<_>>();
        let found = if found.is_empty() { "none at all".to_owned() } else { found.join(", ") };
        let oldest = format!("{}.{}", OLDEST.0, OLDEST.1);
        return Err(Error::NoCriu { mirror: mirror.uri, suites: apt.suites(), oldest, found });
    }
    for version in &wanted {
        bring_one(&apt, directory, version)?;
    }
    remove_superseded(directory, &wanted)?;
    let names: Vec<_> = wanted.iter().map(|version| version.upstream.as_str()).collect();
    write(&stamp, &format!("{LAYOUT}\n{}\n", names.join("\n")))
}

/// The versions that the stamp names, if it is of this layout and all are there.
fn stamped(directory: &Path, stamp: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(stamp).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    let versions = (lines.next()? == LAYOUT).then(|| lines.collect::<Vec<_>>())?;
    versions.iter().all(|version| directory.join(version).join("criu").exists()).then_some(versions)
}

/// Brings one version to a directory of its name, below the one given.
pub(crate) fn bring_one(apt: &Apt, directory: &Path, version: &Version) -> Result<(), Error> {
    let (place, name) = (directory.join(&version.upstream), &version.upstream);
    if fs::read_to_string(place.join("package")).is_ok_and(|found| found == stamp_of(version)) {
        println!("setup: criu {name} is here");
        return Ok(());
    }
    println!("setup: brings criu {name} (package {})", version.package);
    let new = directory.join(format!("new-{name}"));
    remove(&new)?;
    let packages = new.join("packages");
    let of_version = |package: &str| format!("{package}={}", version.package);
    // Up to 3.17 all was in one package.
    let separate = |package: &'static str| Ok::<_, Error>((!apt.madison(package)?.is_empty()).then_some(package));
    let programs = ["criu"].into_iter().chain(separate("libcompel1")?).map(of_version);
    apt.download_closure(&programs.collect::<Vec<_>>(), &packages)?;
    let modules = separate("python3-pycriu")?.into_iter().map(of_version);
    apt.download(&modules.chain(["python3-protobuf".to_owned()]).collect::<Vec<_>>(), &packages)?;
    unpack(&packages, &new.join("tree"))?;
    remove(&packages)?;
    write_wrappers(&new)?;
    check(&new, version)?;
    write(&new.join("package"), &stamp_of(version))?;
    remove(&place)?;
    fs::rename(&new, &place).map_err(file("make", &place))
}

fn stamp_of(version: &Version) -> String {
    format!("{LAYOUT}\n{}\n", version.package)
}

/// `criu`, which runs by its own dynamic linker, and `crit`, which runs on the host's Python.
fn write_wrappers(place: &Path) -> Result<(), Error> {
    let criu = tree::by_own_linker(place, "usr/sbin/criu")?;
    let is_module = place.join("tree/usr/lib/python3/dist-packages/crit").exists();
    let crit = if is_module { "-m crit" } else { "\"$here/tree/usr/bin/crit\"" };
    let crit = format!(
        "export PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python PYTHONDONTWRITEBYTECODE=1\n\
         export PYTHONPATH=\"$here/tree/usr/lib/python3/dist-packages\"\n\
         exec python3 {crit} \"$@\""
    );
    write_script(&place.join("criu"), &criu)?;
    write_script(&place.join("crit"), &crit)
}

/// What was brought must run here, and be what it should be.
fn check(place: &Path, version: &Version) -> Result<(), Error> {
    let program = place.join("criu");
    let said = program::output(Command::new(&program).arg("--version"))?;
    let is_it = said.lines().any(|line| line == format!("Version: {}", version.upstream));
    program::output(Command::new(place.join("crit")).arg("--help"))?;
    match is_it {
        true => Ok(()),
        false => Err(Error::WrongVersion { program, version: version.upstream.clone(), said }),
    }
}

/// Removes older versions of the lines that were brought.
fn remove_superseded(directory: &Path, wanted: &[Version]) -> Result<(), Error> {
    let line = |name: &str| versions::all(&format!("criu | {name}")).first().and_then(Version::line);
    for path in entries(directory)? {
        let name = path.file_name().map(OsString::from).unwrap_or_default();
        let name = name.to_string_lossy();
        let is_wanted = wanted.iter().any(|version| version.upstream == name);
        if path.join("criu").exists() && !is_wanted && wanted.iter().any(|version| version.line() == line(&name)) {
            println!("setup: removes criu {name}, of which there is a newer one");
            remove(&path)?;
        }
    }
    Ok(())
}
