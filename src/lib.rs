// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows and removes exactly what a CRIU checkpoint left on this host.
#![forbid(unsafe_code)]
// A new variant has to be judged wherever values are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod archive;
pub mod causes;
pub mod checkpoint;
pub mod connection;
pub mod error;
pub mod evidence;
pub mod execute;
pub mod firewall;
pub mod host;
pub mod interrupt;
pub mod json;
pub mod locate;
pub mod memory;
pub mod mounts;
pub mod options;
pub mod plan;
pub mod probe;
pub mod reach;
pub mod record;
pub mod recorder;
pub mod report;
pub mod residue;
pub mod save;
pub mod session;
pub mod system;
pub mod time;

pub use causes::with_causes;
pub use error::{Error, ErrorKind};
pub use interrupt::Control;
pub use locate::STANDARD_INPUT;
pub use options::{Event, Options};
pub use plan::KeepReason;
pub use recorder::{Dump, Recorded, record};
pub use session::{Examination, examine, look};

/// Moves this process from a container into the mount and network namespaces of the host, so that it sees what a program
/// of the host sees; every path is then one of the host. Process 1 of the container's pid namespace has to be the host's.
///
/// It comes before anything is opened and any thread is started: the kernel moves only a thread that shares its root
/// directory with no other.
///
/// # Errors
/// If process 1 is not the host's, or a capability is missing.
pub fn enter_host() -> Result<(), Error> {
    host::enter().map_err(Error::new)
}
