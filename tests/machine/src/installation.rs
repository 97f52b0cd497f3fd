// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where `cargo xtask machine` puts kernels and file systems.

use std::path::{Path, PathBuf};

use testkit::Artifacts;

use crate::Error;
use crate::kernel::Kernel;

/// The files that machines are made of, below `target/machine`.
#[derive(Clone, Debug)]
pub struct Installation {
    directory: PathBuf,
}

impl Installation {
    /// That of this workspace.
    pub fn of_workspace() -> Self {
        Self { directory: Artifacts::of_workspace().target().join("machine") }
    }

    /// The directory that holds everything.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of a kernel: `vmlinuz`, `initramfs`, `modules.img`, `release` (as `uname -r` prints it).
    pub fn kernel(&self, kernel: Kernel) -> PathBuf {
        self.directory.join("kernels").join(kernel.name())
    }

    /// The root file system: an image of ext4, never written to.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root.img")
    }

    /// The tests, their programs and the CRIUs: an image of ext4, never written to.
    pub fn project(&self) -> PathBuf {
        self.directory.join("project.img")
    }

    /// The CRIUs that run only on older kernels: one directory a version, as in [`Artifacts::criu`].
    pub fn criu(&self) -> PathBuf {
        self.directory.join("criu")
    }

    /// What the last machine of `cargo xtask machine` brought back: its `/results`, and `console.log`.
    pub fn results(&self) -> PathBuf {
        self.directory.join("results")
    }

    /// Where machines that run keep their disks.
    pub fn scratch(&self) -> PathBuf {
        self.directory.join("running")
    }

    /// Checks that all is there for a machine with this kernel.
    ///
    /// # Errors
    /// [`Error::Missing`] with the first file that is not.
    pub fn check(&self, kernel: Kernel) -> Result<(), Error> {
        let kernel = self.kernel(kernel);
        let of_kernel = ["vmlinuz", "initramfs", "modules.img"].map(|name| kernel.join(name));
        let files = of_kernel.into_iter().chain([self.root(), self.project()]);
        match files.into_iter().find(|file| !file.exists()) {
            Some(file) => Err(Error::Missing(file)),
            None => Ok(()),
        }
    }
}
