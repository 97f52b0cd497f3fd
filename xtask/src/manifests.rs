// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask manifests`: checks the manifests of `deploy/kubernetes` against the schemas of Kubernetes, strictly.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::Artifacts;

use crate::cargo::workspace;
use crate::error::Error;
use crate::program;

/// The validator, which has the schemas in itself.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// What `kubectl apply` is given. `kustomization.yaml` is no object of a cluster.
const MANIFESTS: [&str; 4] = ["namespace.yaml", "watch.yaml", "clean.yaml", "job.yaml"];

/// Fails if a manifest has a field that Kubernetes does not know, or lacks one, or a value is of the wrong type.
pub(crate) fn run() -> Result<(), Error> {
    let validator = bring()?;
    let directory = Path::new(workspace()).join("deploy/kubernetes");
    let manifests = MANIFESTS.map(|name| directory.join(name));
    program::stream(Command::new(validator).arg("--strict").args(manifests))
}

/// Installs the validator below `target`, if it is not there.
fn bring() -> Result<PathBuf, Error> {
    let place = Artifacts::of_workspace().target().join("kubernetes-validate");
    let validator = place.join("bin/kubernetes-validate");
    if !validator.exists() {
        program::output(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        program::output(Command::new(place.join("bin/pip")).args(["install", "--quiet", VALIDATOR]))?;
    }
    Ok(validator)
}
