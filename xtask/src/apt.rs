// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An apt with a state of its own: it sees suites that the machine does not use, and can change
//! nothing on the machine. Packages are verified as the machine's own are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::program;
use crate::sources::Mirror;
use crate::tree::{create, file};

/// Where new CRIUs may be, newest last.
pub(crate) const NEW_SUITES: &[&str] = &["forky", "sid", "experimental"];

/// A private state of apt, gone when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Apt {
    directory: PathBuf,
    suites: Vec<String>,
}

impl Apt {
    /// Fetches the lists of those of the suites that the mirror has.
    pub(crate) fn update(directory: &Path, mirror: &Mirror, suites: &[&str]) -> Result<Self, Error> {
        let mut apt = Self { directory: directory.to_owned(), suites: Vec::new() };
        apt.make_state()?;
        let mut last = String::new();
        for suite in suites.iter().copied() {
            apt.write("apt.sources", &sources(mirror, &[suite]))?;
            match program::output(apt.get().arg("update")) {
                Ok(_) => apt.suites.push(suite.to_owned()),
                Err(error) => last = error.to_string(),
            }
        }
        if apt.suites.is_empty() {
            return Err(Error::NoSuite { mirror: mirror.uri.clone(), suites: suites.join(", "), last });
        }
        let found: Vec<&str> = apt.suites.iter().map(String::as_str).collect();
        apt.write("apt.sources", &sources(mirror, &found))?;
        Ok(apt)
    }

    /// The suites that the mirror has.
    pub(crate) fn suites(&self) -> String {
        self.suites.join(", ")
    }

    /// The versions of a package, as `apt-cache madison` lists them.
    pub(crate) fn madison(&self, package: &str) -> Result<String, Error> {
        program::output(self.command("apt-cache").args(["madison", package]))
    }

    /// The packages that one depends on, by name; of alternatives all.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>, Error> {
        let shown = program::output(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        let names = depends.split([',', '|']).filter_map(|each| each.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads the packages and all that they depend on.
    pub(crate) fn download_closure(&self, packages: &[String], to: &Path) -> Result<(), Error> {
        self.download_with(packages, to, &[])
    }

    /// The same, but for what is installed on this machine, which must be of the same release.
    pub(crate) fn download_missing(&self, packages: &[String], to: &Path) -> Result<(), Error> {
        self.download_with(packages, to, &["-o", "Dir::State::status=/var/lib/dpkg/status", "--reinstall"])
    }

    fn download_with(&self, packages: &[String], to: &Path, options: &[&str]) -> Result<(), Error> {
        let mut archives = std::ffi::OsString::from("Dir::Cache::archives=");
        archives.push(to);
        fs::create_dir_all(to.join("partial")).map_err(file("create", to))?;
        let mut command = self.get();
        command.args(options).arg("-o").arg(archives);
        command.args(["--yes", "--download-only", "install"]).args(packages);
        program::output(&mut command).map(drop)
    }

    /// Downloads just the packages.
    pub(crate) fn download(&self, packages: &[String], to: &Path) -> Result<(), Error> {
        program::output(self.get().current_dir(to).arg("download").args(packages)).map(drop)
    }

    fn make_state(&self) -> Result<(), Error> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = self.directory.join(part);
            create(&path)?;
        }
        // Nothing is installed as far as this apt knows, so that it downloads whole closures.
        self.write("status", "")?;
        self.write("apt.conf", &configuration(&self.directory))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.directory.join(name);
        fs::write(&path, text).map_err(file("write", &path))
    }

    fn get(&self) -> Command {
        let mut command = self.command("apt-get");
        command.arg("--quiet=2");
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.directory.join("apt.conf"));
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command
    }
}

impl Drop for Apt {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("xtask: cannot remove {}: {error}", self.directory.display());
        }
    }
}

/// The machine's own configuration, proxies and all, stays in force but for these.
fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{directory}";
Dir::State::lists "{directory}/lists";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}/cache";
Dir::Etc::sourcelist "{directory}/apt.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Get::List-Cleanup "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
"#
    )
}

fn sources(mirror: &Mirror, suites: &[&str]) -> String {
    let signed_by = mirror.signed_by.as_ref().map(|value| format!("Signed-By: {value}\n"));
    format!(
        "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nTargets: Packages\n{}",
        mirror.uri,
        suites.join(" "),
        signed_by.unwrap_or_default()
    )
}
