// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What of the project is in a machine: the privileged tests, criu-gc, the workload, the CRIUs, the agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use machine::{Installation, Kernel};
use testkit::Artifacts;

use super::{filesystem, old_criu, stamp};
use crate::cargo::{self, TestPrograms};
use crate::error::Error;
use crate::program;
use crate::tree::{create, entries, file, remove};

/// The scripts of a machine, which lie beside the crate `machine`.
const SCRIPTS: [&str; 3] = ["init", "power-off", "machine-agent.service"];

/// Builds everything and makes the image, if anything has changed since the last time.
pub(crate) fn build(installation: &Installation) -> Result<(), Error> {
    println!("machine: builds what runs in it");
    let parts = Parts::build(installation)?;
    let (image, text) = (installation.project(), parts.stamp()?);
    if stamp::holds(&image, &text) {
        return Ok(());
    }
    let stage = installation.directory().join("project");
    remove(&stage)?;
    parts.copy_to(&stage)?;
    filesystem::ext4(&stage, &image, filesystem::size(&stage)? * 5 / 4 + 64)?;
    remove(&stage)?;
    stamp::set(&image, &text)
}

/// What goes into the image.
struct Parts {
    /// The agent, and the scripts around it.
    guest: Vec<PathBuf>,
    programs: TestPrograms,
    /// One directory a version.
    criu: Vec<PathBuf>,
    crun: PathBuf,
    workload: PathBuf,
    killer: PathBuf,
}

impl Parts {
    fn build(installation: &Installation) -> Result<Self, Error> {
        let artifacts = Artifacts::of_workspace();
        let agent = artifacts.target().join("workload/machine-agent");
        cargo::build_static("machine", "machine-agent", &agent)?;
        let script = |name| cargo::workspace().join("tests/machine/guest").join(name);
        Ok(Self {
            guest: SCRIPTS.map(script).into_iter().chain([agent]).collect(),
            programs: cargo::build_tests("privileged")?,
            criu: criu(installation)?,
            crun: artifacts.crun(),
            workload: artifacts.workload(),
            killer: artifacts.killer(),
        })
    }

    fn stamp(&self) -> Result<String, Error> {
        let programs = [&self.programs.tests, &self.programs.tool, &self.workload, &self.killer].into_iter().cloned();
        let trees = self.criu.iter().map(|version| version.join("package")).chain([self.crun.join("crun")]);
        self.guest.iter().cloned().chain(programs).chain(trees).map(|path| stamp::of_file(&path)).collect()
    }

    fn copy_to(&self, stage: &Path) -> Result<(), Error> {
        let target = stage.join("target");
        let [criu, workload, killer] = ["criu", "workload", "killer"].map(|name| target.join(name));
        for directory in [&criu, &workload, &killer] {
            create(directory)?;
        }
        copy(&self.guest, stage)?;
        copy(&self.criu, &criu)?;
        copy(std::slice::from_ref(&self.crun), &target)?;
        copy(std::slice::from_ref(&self.workload), &workload)?;
        copy(std::slice::from_ref(&self.killer), &killer)?;
        for (path, name) in [(&self.programs.tests, "privileged"), (&self.programs.tool, "criu-gc")] {
            fs::copy(path, stage.join(name)).map_err(file("read", path))?;
        }
        Ok(())
    }
}

/// `run NAME` runs the tests with that in their names. None is a failure: the name is wrong.
const RUN_TESTS: &str = r#"
set -o pipefail
code=0
run() {
    /project/privileged --test-threads 2 "$1" | tee /run/tests || code=$?
    ! grep -q '^running 0 tests' /run/tests || { echo "no test has $1 in its name"; code=1; }
}
"#;

/// A part of the core: the so-manieth of so many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Share {
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Share {
    /// The whole core.
    pub(crate) const WHOLE: Self = Self { number: 1, of: 1 };
}

/// The script that runs these tests, or the core, with these CRIUs, or with all that run on the kernel.
pub(crate) fn script(kernel: Kernel, criu: &[String], tests: &[String], core: Share) -> Result<String, Error> {
    let versions = match criu {
        [] => old_criu::on(kernel, &versions()?),
        named => named.to_vec(),
    };
    let environment = [
        (testkit::REQUIRED, "1"),
        (testkit::TARGET, "/var/tests/target"),
        (testkit::CRIU, &versions.join(" ")),
        (testkit::BINARY, "/project/criu-gc"),
    ];
    let mut script = environment.map(|(name, value)| format!("export {name}={}\n", quoted(value))).concat();
    if tests.is_empty() {
        let Share { number, of } = core;
        return Ok(
            script + &format!("export CRIU_GC_TESTS='core {number}/{of}'\nexec /project/privileged --test-threads 2\n")
        );
    }
    script += RUN_TESTS;
    script.extend(tests.iter().map(|test| format!("run {}\n", quoted(test))));
    Ok(script + "exit $code\n")
}

/// The versions that are in the image, oldest first.
pub(crate) fn versions() -> Result<Vec<String>, Error> {
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(criu(&Installation::of_workspace())?.into_iter().filter_map(name).collect())
}

/// One directory a version, from both places.
fn criu(installation: &Installation) -> Result<Vec<PathBuf>, Error> {
    let mut all = entries(&Artifacts::of_workspace().criu())?;
    all.extend(entries(&installation.criu())?);
    all.retain(|path| path.join("criu").exists());
    all.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    Ok(all)
}

/// Copies files and directories into a directory.
fn copy(paths: &[PathBuf], to: &Path) -> Result<(), Error> {
    program::output(Command::new("cp").args(["--archive", "--"]).args(paths).arg(to)).map(drop)
}

/// A word of a shell script.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
