// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole machines, emulated by QEMU in software: other kernels, reboots, power cuts, disks of all kinds.
//!
//! [`Hardware`] is what outlives a boot: the disks, the clock and the kernel. [`Hardware::boot`] starts a [`Machine`],
//! whose agent runs shell scripts as root in the first namespaces. A machine has no network. It ends with this process,
//! and a boot or a script that hangs or panics becomes an [`Error`] with the end of the console.
//!
//! `cargo xtask machine` brings the kernels and the root file system.
//!
//! ```no_run
//! use machine::{Hardware, Kernel};
//!
//! let mut hardware = Hardware::new(Kernel::V6_1)?;
//! let mut machine = hardware.boot()?;
//! machine.run("echo kept > /root/file && sync")?;
//! machine.cut_power();
//! let mut machine = hardware.boot()?;
//! assert_eq!(machine.run("cat /root/file")?.stdout, "kept\n");
//! machine.power_off()?;
//! # Ok::<(), machine::Error>(())
//! ```

mod console;
mod error;
mod hardware;
mod installation;
mod kernel;
pub mod protocol;
mod qemu;
mod running;

pub use error::Error;
pub use hardware::{Clock, Disk, Hardware, Init};
pub use installation::Installation;
pub use kernel::Kernel;
pub use running::{Ended, Machine};
