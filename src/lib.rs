// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows and removes exactly what a CRIU checkpoint left on this host.
//!
//! A dump leaves objects outside its images on purpose, for a restore: hard links named `link_remap.N`, and netfilter
//! rules, chains and tables that drop the packets of the dumped connections. Where no restore follows, they stay. This
//! library reads the images, finds exactly what they name on the running host, and removes it.
//!
//! # Example
//!
//! A container runtime deletes a container whose checkpoint will not be restored on this host:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use criu_gc::{Control, Error, Options};
//!
//! /// Tells whether nothing is left.
//! fn forget(checkpoint: &Path, network_namespace: &Path) -> Result<bool, Error> {
//!     let options = Options::new().network_namespace(network_namespace);
//!     let examination = criu_gc::examine([checkpoint], &options)?;
//!     for object in examination.report().checkpoints.iter().flat_map(|checkpoint| &checkpoint.objects) {
//!         println!("{:?}: {:?}", object.subject, object.verdict);
//!     }
//!     let report = examination.remove(&Control::new())?;
//!     Ok(!report.has_errors() && !report.leaves_something())
//! }
//! # let _ = forget;
//! ```
//!
//! [`look`] only lists, beside others who look. `examples/forget.rs` is a whole program. [`record()`], called while CRIU
//! waits at `post-dump`, lets a later removal tell the dump's own objects from look-alikes.
//!
//! # Safety contract
//!
//! **It removes** a link remap, a ghost file, a rule, a chain or a table only if an entry of the images names it *and* the
//! live object matches. Each is compared again right before it is removed, and looked for once more afterwards. The dump
//! cannot be restored on this host then, and the peer of each unlocked connection gets a reset.
//!
//! **It never removes** anything while a process of the dumped tree is alive or a criu is at work on the images, an
//! object that differs from the images, a directory, another name of a file, or an image. What is kept has a
//! [`KeepReason`]; those that are a matter of judgement a caller can [allow](Options::allow). What could not be read is
//! reported as not known, never as clean.
//!
//! **Privileges.** It uses what the calling thread has, and changes nothing of it. To look it takes the capabilities
//! `DAC_READ_SEARCH`, `SYS_PTRACE`, `SYS_ADMIN`, `SYS_CHROOT`, `NET_ADMIN` and `NET_RAW`; to remove also `DAC_OVERRIDE`
//! and `FOWNER`; to [save](Options::save) also `CHOWN`, `FSETID`, `MKNOD`, `SETFCAP` and `MAC_ADMIN`. Each network
//! namespace takes a file descriptor, so `RLIMIT_NOFILE` should be high.
//!
//! **Namespaces.** The caller should be in the host's pid namespace, and in the host's mount and network namespaces:
//! paths are resolved in the caller's. From elsewhere less can be seen, and the report says so. [`enter_host`] moves a
//! process of a container there.
//!
//! **Other runs.** An [`Examination`] holds `flock` on each images directory or archive; another run waits for it, up to
//! 20 seconds.
//!
//! **Time and threads.** All calls are synchronous and block. Some work runs on threads that the call starts: those that
//! enter namespaces, and those that touch filesystems. A filesystem that does not answer is given up on after one wait
//! of 1.5 to 30 seconds; its thread is left behind, and a process cannot end before such a thread does if the kernel
//! does not let it be killed. The only programs that are started are `iptables-legacy-save` and `-restore` with their
//! IPv6 twins, where the kernel has legacy rules.
//!
//! **The process is the caller's.** The library prints nothing, installs no signal handler, gives up no privilege and
//! never exits. It keeps no state but what it has learned of the kernel.
//!
//! # Features
//!
//! `program` (default) is for the program criu-gc alone: a library is best used with `default-features = false`.
//! `internals` opens the private modules to this project's own tests; no version promises anything about them.
#![forbid(unsafe_code)]
// A new variant has to be judged wherever values are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
// `pub` in a private module is for the modules beside it; that it is not for fewer is checked with `internals`.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub, unused_imports))]

mod archive;
mod carrier;
mod causes;
mod checkpoint;
mod connection;
mod error;
mod evidence;
mod execute;
mod firewall;
mod host;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod interrupt;
mod json;
mod kind;
mod locate;
mod memory;
mod mounts;
mod options;
mod plan;
mod probe;
mod reach;
mod reason;
mod record;
mod recorder;
pub mod report;
mod save;
mod session;
mod system;
mod time;
mod tree;

pub use causes::with_causes;
pub use error::{Error, ErrorKind};
pub use interrupt::Control;
pub use locate::STANDARD_INPUT;
pub use options::{Event, Options};
pub use reason::{KeepReason, NotAReason};
pub use recorder::{Dump, Recorded};
pub use session::{Examination, examine, look};

/// Records what a dump has just left, with identities that images do not hold. The record later tells the dump's own
/// objects from others that look like them.
///
/// # Errors
/// If no record could be made. The dump is as good as any other without one.
pub fn record(dump: &Dump) -> Result<Recorded, Error> {
    recorder::record(dump).map_err(Error::new)
}

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
