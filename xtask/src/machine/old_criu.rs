// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CRIUs that do not run on the kernels of today, each in a tree of its own as the newer ones are.

use std::path::Path;

use machine::Kernel;

use crate::apt::Apt;
use crate::error::Error;
use crate::versions::{self, Version};
use crate::{criu, sources};

/// The releases of Debian that have them.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// Which of the versions run on the kernel: docs/kernels.md says what the others do there.
pub(crate) fn on(kernel: Kernel, versions: &[String]) -> Vec<String> {
    let runs = |version: &&String| match kernel {
        Kernel::V5_10 | Kernel::V6_1 => true,
        Kernel::V6_12 | Kernel::V7_2 => !version.starts_with("3."),
    };
    versions.iter().filter(runs).cloned().collect()
}

/// Brings those that are missing to a directory each.
pub(crate) fn bring(directory: &Path) -> Result<(), Error> {
    for suite in SUITES {
        let stamp = directory.join(suite);
        let version = std::fs::read_to_string(&stamp).unwrap_or_default();
        if !version.is_empty() && directory.join(&version).join("criu").exists() {
            println!("machine: criu {version} is here");
            continue;
        }
        let mirror = sources::mirror()?;
        let apt = Apt::update(&directory.join("apt"), &mirror, &[suite])?;
        let listed = apt.madison("criu")?;
        let newest: Option<Version> = versions::all(&listed).into_iter().next();
        let missing = || Error::NoCriu {
            mirror: mirror.uri.clone(),
            suites: apt.suites(),
            oldest: "any version".to_owned(),
            found: "none at all".to_owned(),
        };
        let version = newest.ok_or_else(missing)?;
        criu::bring_one(&apt, directory, &version)?;
        crate::tree::write(&stamp, &version.upstream)?;
    }
    Ok(())
}
