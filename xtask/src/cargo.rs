// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls of cargo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::Artifacts;

use crate::error::Error;
use crate::program;
use crate::tree::file;

/// The cargo that runs this, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// The same, with an environment in which a privileged test must run.
pub(crate) fn privileged() -> Command {
    let mut command = cargo();
    command.env(testkit::REQUIRED, "1").env(testkit::TARGET, Artifacts::of_workspace().target());
    command
}

/// The workspace's directory.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a directory of the workspace")
}

/// Builds the program to dump, and puts it at the path given.
pub(crate) fn build_workload(path: &Path) -> Result<(), Error> {
    println!("setup: builds the program that is dumped");
    build_static("workload", "workload", path)
}

/// Builds a program of a package, static, and puts it at the path given.
pub(crate) fn build_static(package: &str, name: &str, path: &Path) -> Result<(), Error> {
    let directory = path.with_file_name("build");
    let target = host_target()?;
    let mut command = cargo();
    command.args(["rustc", "--quiet", "--locked", "--package", package, "--bin", name, "--release"]);
    command.args(["--target", &target]);
    command.arg("--target-dir").arg(&directory).args(["--", "-C", "target-feature=+crt-static"]);
    program::stream(&mut command)?;
    let built = directory.join(&target).join("release").join(name);
    if !is_static(&built)? {
        return Err(Error::NotStatic(built));
    }
    // A running program's file cannot be written to, but its name can be given to another.
    let new = path.with_extension("new");
    fs::copy(&built, &new).map_err(file("write", &new))?;
    fs::rename(&new, path).map_err(file("write", path))
}

/// Builds criu-gc and gives its path.
pub(crate) fn build_tool() -> Result<PathBuf, Error> {
    program::stream(cargo().args(["build", "--quiet", "--package", "criu-gc"]))?;
    let metadata = program::output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|_| Error::NoTargetDirectory)?;
    let directory = metadata["target_directory"].as_str().ok_or(Error::NoTargetDirectory)?;
    Ok(Path::new(directory).join("debug/criu-gc"))
}

/// What cargo has built to run the tests of a target of the root package.
#[derive(Debug)]
pub(crate) struct TestPrograms {
    /// The tests.
    pub(crate) tests: PathBuf,
    /// criu-gc.
    pub(crate) tool: PathBuf,
}

/// Builds a test target of the root package, and criu-gc, for emulated machines.
pub(crate) fn build_tests(target: &str) -> Result<TestPrograms, Error> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--quiet", "--locked", "--package", "criu-gc", "--test", target]);
    command.args(["--profile", "emulated"]);
    let said = program::output(command.args(["--message-format", "json"]))?;
    let executable = |name: &str, kind: &str| {
        let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_it = |message: &Value| {
            let target = &message["target"];
            target["name"] == name && target["kind"][0] == kind && message["executable"].is_string()
        };
        let path = messages.filter(is_it).find_map(|message| message["executable"].as_str().map(PathBuf::from));
        path.ok_or_else(|| Error::NotBuiltByCargo(name.to_owned()))
    };
    Ok(TestPrograms { tests: executable(target, "test")?, tool: executable("criu-gc", "bin")? })
}

/// The target that the compiler builds for by itself.
pub(crate) fn host_target() -> Result<String, Error> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = program::output(Command::new(rustc).args(["--print", "host-tuple"]))?;
    Ok(said.trim().to_owned())
}

/// Whether the program needs no library at run time.
pub(crate) fn is_static(path: &Path) -> Result<bool, Error> {
    let said = program::finish(Command::new("ldd").arg(path).env("LC_ALL", "C"))?;
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    Ok(said.contains("statically linked") || said.contains("not a dynamic executable"))
}
