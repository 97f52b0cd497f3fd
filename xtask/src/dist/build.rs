// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Building and packing so that the place and the user of a build leave no trace in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::export::Export;
use super::tools::Tools;
use crate::cargo::{cargo, host_target, is_static};
use crate::error::Error;
use crate::program;
use crate::tree::{create, file, write};

/// The home that a build has.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    home: PathBuf,
    cargo: PathBuf,
}

impl Home {
    /// That of whoever runs this.
    pub(crate) fn of_caller() -> Result<Self, Error> {
        let home = std::env::home_dir().ok_or(Error::NoHome)?;
        let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        Ok(Self { home, cargo })
    }

    /// A new one, with the same registries.
    pub(crate) fn another(&self, home: &Path) -> Result<Self, Error> {
        let another = Self { home: home.to_owned(), cargo: home.join("cargo") };
        create(&another.cargo)?;
        for name in ["config.toml", "registry"] {
            let from = self.cargo.join(name);
            if from.exists() {
                program::output(Command::new("cp").arg("--recursive").arg(from).arg(another.cargo.join(name)))?;
            }
        }
        Ok(another)
    }
}

/// Builds and packs one export.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    home: &'a Home,
    export: &'a Export,
    target_directory: PathBuf,
    target: String,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(home: &'a Home, export: &'a Export, target_directory: &Path) -> Result<Self, Error> {
        create(target_directory)?;
        Ok(Self { home, export, target_directory: target_directory.to_owned(), target: host_target()? })
    }

    /// Builds the program, static and stripped, and copies it to the directory.
    pub(crate) fn build(&self, files: &Path) -> Result<(), Error> {
        let mut command = self.prepare(cargo());
        command.args(["build", "--quiet", "--release", "--locked", "--package", "criu-gc", "--bin", "criu-gc"]);
        command.args(["--target", &self.target]);
        command.env("CARGO_ENCODED_RUSTFLAGS", self.compiler_flags()?.join("\u{1f}"));
        command.env("CFLAGS", format!("-ffile-prefix-map={}=/cargo", self.home.cargo.display()));
        program::stream(&mut command)?;
        let built = self.target_directory.join(&self.target).join("release/criu-gc");
        if !is_static(&built)? {
            return Err(Error::NotStatic(built));
        }
        let place = files.join(format!("criu-gc-{}-{}", self.export.version(), self.target));
        fs::copy(&built, &place).map_err(file("write", &place)).map(drop)
    }

    /// Paths that the compiler writes into panics are the same everywhere.
    fn compiler_flags(&self) -> Result<Vec<String>, Error> {
        let sysroot = program::output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        Ok(vec![
            remap(&self.home.cargo, "/cargo"),
            remap(self.export.directory(), "/criu-gc"),
            remap(Path::new(sysroot.trim()), "/rust"),
            "-Ctarget-feature=+crt-static".to_owned(),
            "-Cstrip=symbols".to_owned(),
        ])
    }

    /// Packs what was built as .deb and .rpm, and lists what it consists of.
    pub(crate) fn pack(&self, tools: &Tools, files: &Path) -> Result<(), Error> {
        let mut deb = self.prepare(tools.command("cargo-deb"));
        deb.args(["--no-build", "--no-strip", "--quiet", "--locked", "--target", &self.target, "--output"]).arg(files);
        program::output(&mut deb)?;
        let mut rpm = self.prepare(tools.command("cargo-generate-rpm"));
        rpm.args(["--source-date", self.export.time(), "--target", &self.target, "--target-dir"]);
        program::output(rpm.arg(&self.target_directory).arg("--output").arg(files))?;
        self.list_components(tools, files)
    }

    /// The CycloneDX document. It names each workspace member by its place, which is put in a neutral way.
    fn list_components(&self, tools: &Tools, files: &Path) -> Result<(), Error> {
        let mut command = self.prepare(tools.command("cargo-cyclonedx"));
        command.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--target", &self.target]);
        command.args(["--describe", "crate", "--no-build-deps", "--quiet"]);
        program::output(&mut command)?;
        let made = self.export.directory().join("criu-gc.cdx.json");
        let text = fs::read_to_string(&made).map_err(file("read", &made))?;
        let text = text.replace(&self.export.directory().display().to_string(), "/criu-gc");
        write(&files.join(format!("criu-gc-{}.cdx.json", self.export.version())), &text)
    }

    /// A command that works on the export, as at the time of its commit.
    fn prepare(&self, mut command: Command) -> Command {
        command.current_dir(self.export.directory());
        command.env("HOME", &self.home.home).env("CARGO_HOME", &self.home.cargo);
        command.env("CARGO_TARGET_DIR", &self.target_directory);
        command.env("SOURCE_DATE_EPOCH", self.export.time()).env_remove("RUSTFLAGS");
        command
    }
}
