// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What outlives a boot: disks, the clock, the choice of a kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Error;
use crate::installation::Installation;
use crate::kernel::Kernel;
use crate::running::Machine;

/// A computer that is switched off. Its disks go with it.
#[derive(Debug)]
pub struct Hardware {
    pub(crate) kernel: Kernel,
    pub(crate) disks: Vec<Disk>,
    pub(crate) clock: Clock,
    pub(crate) init: Init,
    pub(crate) arguments: Vec<String>,
    pub(crate) directory: TempDir,
    pub(crate) installation: Installation,
    boots: u32,
}

/// A disk that a machine can write to. The first is `/dev/vdd`, in the order of [`Hardware::attach`]; each has its name
/// for a serial number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disk {
    /// Its serial number, up to 20 characters: `/sys/block/vdd/serial`.
    pub name: String,
    pub(crate) path: PathBuf,
}

/// The clock that the kernel reads when it boots.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Clock {
    /// The host's.
    #[default]
    Right,
    /// It starts at this time of UTC, as `2001-02-03T04:05:06`.
    At(String),
}

/// Who is process 1.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Init {
    /// A small script, which starts the agent and reaps.
    #[default]
    Script,
    /// systemd, with the agent as one of its services.
    Systemd,
}

impl Hardware {
    /// A computer with this kernel and a root file system of its own.
    ///
    /// # Errors
    /// If `cargo xtask machine` did not bring what it needs, or its disk cannot be made.
    pub fn new(kernel: Kernel) -> Result<Self, Error> {
        let installation = Installation::of_workspace();
        installation.check(kernel)?;
        let scratch = installation.scratch();
        let file = |source| Error::File { action: "make", path: scratch.clone(), source };
        fs::create_dir_all(&scratch).map_err(file)?;
        let directory = tempfile::Builder::new().prefix("machine.").tempdir_in(&scratch).map_err(file)?;
        let root = directory.path().join("root.qcow2");
        let base = installation.root().canonicalize().map_err(file)?;
        image(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(&root))?;
        Ok(Self {
            kernel,
            disks: Vec::new(),
            clock: Clock::Right,
            init: Init::Script,
            arguments: Vec::new(),
            directory,
            installation,
            boots: 0,
        })
    }

    /// Sets the clock for the next boots.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Chooses process 1 for the next boots.
    pub fn set_init(&mut self, init: Init) {
        self.init = init;
    }

    /// Adds an argument of the kernel's command line for the next boots.
    pub fn add_argument(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
    }

    /// Adds an empty disk of this size in MiB.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn add_disk(&mut self, name: &str, megabytes: u32) -> Result<Disk, Error> {
        let path = self.directory.path().join(format!("{name}.qcow2"));
        let size = format!("{megabytes}M");
        image(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&path).arg(size))?;
        let disk = Disk { name: name.to_owned(), path };
        self.disks.push(disk.clone());
        Ok(disk)
    }

    /// Connects these disks in this order for the next boots, and no others.
    pub fn attach(&mut self, disks: &[&Disk]) {
        self.disks = disks.iter().copied().cloned().collect();
    }

    /// Switches it on and waits for the agent.
    ///
    /// # Errors
    /// If the kernel panics, or the agent is not there in time; with the end of the console.
    pub fn boot(&mut self) -> Result<Machine, Error> {
        self.boots += 1;
        Machine::start(self, &format!("boot{}", self.boots))
    }

    /// The kernel.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.file("root.qcow2")
    }
}

impl Disk {
    /// The image, in the format qcow2.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn image(command: &mut Command) -> Result<(), Error> {
    let output = command.output().map_err(|source| Error::Start { program: "qemu-img", source })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Image(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())),
    }
}
