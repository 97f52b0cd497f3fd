// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What emulated machines need before they boot.

use machine::{Installation, Kernel};

use super::{kernels, old_criu, project, root};
use crate::error::Error;
use crate::tree::create;
use crate::versions::Freshness;
use crate::{packages, setup};

/// Brings all that machines with these kernels need, and builds what runs in them.
pub(crate) fn bring(kernels: &[Kernel]) -> Result<(), Error> {
    setup::run(Freshness::AsFound)?;
    packages::install_missing(packages::OF_MACHINES)?;
    let installation = Installation::of_workspace();
    let directory = installation.directory();
    create(directory)?;
    root::bring(&installation)?;
    for kernel in kernels {
        kernels::bring(&installation, *kernel)?;
    }
    old_criu::bring(&installation.criu())?;
    project::build(&installation)
}
