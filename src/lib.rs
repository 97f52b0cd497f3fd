// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows and removes exactly what a CRIU checkpoint left on this host.
//!
//! A dump leaves objects outside its images for a later restore: hard links named `link_remap.N`, and netfilter rules,
//! chains and tables that drop the packets of the dumped connections. If no restore follows, they stay. This library reads
//! the images, finds exactly what they name on the running host, and removes it.
//!
//! # Example
//!
//! A container runtime deletes a container whose checkpoint it will not restore on this host:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use criu_gc::{Control, Error, Options};
//!
//! /// Returns whether nothing is left.
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
//! [`look`] only lists, and several runs may look at the same time. `examples/forget.rs` is a complete program. Call
//! [`record()`] while CRIU waits at `post-dump`, so that a later removal can distinguish the dump's objects from
//! look-alikes. [`Recorded::store`] lets the record outlive the images in a [`RecordStore`]; [`look`] and [`examine`] then
//! take the record in their place.
//!
//! # Safety contract
//!
//! **It removes** an object only if an entry of the images names it *and* the live object matches: a link remap, a ghost
//! file of a killed restore, a rule, a chain or a table. It compares each object again right before the removal, and looks
//! for it once more afterwards. You cannot restore the dump on this host then, and the peer of each unlocked connection gets
//! a reset.
//!
//! **It never removes** an object that differs from the images, a directory, another name of a file, or an image. It removes
//! nothing while a process of the dumped tree is alive or a criu works on the images, and nothing at all if one of several
//! checkpoints or an option cannot be used. Every kept object has a
//! [`KeepReason`]; a caller can [allow](Options::allow) those that are a matter of judgement. What could not be read is
//! reported as not known, never as clean.
//!
//! **Privileges.** It uses the privileges of the calling thread, and does not change them. To look, it needs the
//! capabilities `DAC_READ_SEARCH`, `SYS_PTRACE`, `SYS_ADMIN`, `SYS_CHROOT`, `NET_ADMIN` and `NET_RAW`; to remove, also
//! `DAC_OVERRIDE` and `FOWNER`; to [save](Options::save), also `CHOWN`, `FSETID`, `MKNOD`, `SETFCAP` and `MAC_ADMIN`. It
//! opens a file descriptor for each network namespace, so `RLIMIT_NOFILE` should be high.
//!
//! **Namespaces.** Call it in the host's pid, mount and network namespaces: it resolves paths in the caller's. In others it
//! sees less, and the report says so. [`enter_host`] moves a process from a container into them.
//!
//! **Other runs.** An [`Examination`] holds a `flock` on each images directory or archive; another run waits for it, up to
//! 20 seconds.
//!
//! **Time and threads.** All calls are synchronous and block. The library starts threads that enter namespaces or access
//! filesystems. It gives up on a filesystem that does not answer after one wait of 1.5 to 30 seconds and abandons the
//! thread. A process cannot exit before such a thread if the kernel does not let it be killed. The library starts only
//! the programs `iptables-legacy-save` and `-restore` and their IPv6 variants, if the kernel has legacy rules.
//!
//! **The process belongs to the caller.** The library prints nothing, installs no signal handler, drops no privilege and
//! never exits. It has no state apart from facts about the kernel.
//!
//! # Features
//!
//! `program` (default) is only for the program criu-gc: use the library with `default-features = false`. `internals` opens
//! the private modules to this project's own tests; no version promises anything about them.
#![forbid(unsafe_code)]
// A new variant must be considered in every match.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
// `pub` in a private module is for its sibling modules; with `internals` the compiler checks that it is necessary.
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
mod goal;
pub mod heal;
mod host;
#[cfg_attr(
    not(feature = "internals"),
    allow(dead_code, reason = "more of it is asked by tests and by engines to come")
)]
mod index;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod interrupt;
mod json;
mod kept_state;
mod kind;
mod locate;
mod logged;
mod memory;
mod mounts;
mod obstacle;
mod options;
mod part;
mod plan;
mod probe;
mod reach;
mod reason;
mod record;
mod recorder;
pub mod report;
mod save;
pub mod scan;
mod session;
mod system;
mod time;
mod tree;

use std::path::PathBuf;
use std::time::Duration;

pub use causes::with_causes;
pub use error::{Error, ErrorKind};
pub use goal::Goal;
pub use interrupt::Control;
pub use locate::STANDARD_INPUT;
pub use options::{Event, Options, Stage, UnknownKeys};
pub use part::{NotAPart, Part};
pub use reason::{KeepReason, NotAReason};
pub use record::store::{RecordStore, Stored};
pub use recorder::{Dump, Noted, Recorded, Restore};
pub use session::{Examination, examine, look};

/// Records what a dump has just left, with identities that images do not contain. The record later distinguishes the dump's
/// objects from look-alikes.
///
/// # Errors
/// If the record could not be written. The dump is still valid.
pub fn record(dump: &Dump) -> Result<Recorded, Error> {
    recorder::record(dump).map_err(Error::new)
}

/// Notes a restore in the stored record of its dump, so that a later removal knows about it. Call it when the restore can no
/// longer fail: at CRIU's `pre-resume`.
///
/// # Errors
/// If the images cannot be read, or the store cannot be used. The restore is still valid.
pub fn record_restore(restore: &Restore) -> Result<Noted, Error> {
    recorder::note(restore).map_err(Error::new)
}

impl Recorded {
    /// Stores a copy of the record in the [store of the dump](Dump::record_store), if there is one and the dump left
    /// anything. This is a step of its own: its failure takes nothing from the record next to the images.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub fn store(&self) -> Result<Option<Stored>, Error> {
        recorder::store(self).map_err(Error::new)
    }
}

impl RecordStore {
    /// The paths of the stored records, by name. [`look`] and [`examine`] take them like images directories, and report
    /// those that cannot be used.
    ///
    /// # Errors
    /// If the store cannot be read, or others can write to it.
    pub fn records(&self) -> Result<Vec<PathBuf>, Error> {
        self.list().map_err(Error::new)
    }
}

/// How long names may take that a shell waits for.
const COMPLETION: Duration = Duration::from_secs(2);

/// The names of containers that begin with what was typed, as [`look`] and [`examine`] take them (`docker:NAME`): of those
/// that have a checkpoint. Without a colon, the prefixes that begin so. What cannot be read, or not soon, is left out.
pub fn names_beginning(typed: &str) -> Vec<String> {
    let typed = typed.to_owned();
    let start = host::Watched::start("names", move |sender| {
        let _ = sender.send(locate::engines::completions(&typed));
    });
    match start.map(|mut worker| worker.next(COMPLETION)) {
        Ok(host::Next::Message(names)) => names,
        Ok(host::Next::Ended | host::Next::Silent) | Err(_) => Vec::new(),
    }
}

/// Moves this process from a container into the mount and network namespaces of the host, so that it sees what a program on
/// the host sees. All paths are then paths on the host. Process 1 of the container's pid namespace must be the host's.
///
/// Call it before you open anything or start a thread: the kernel moves only a thread that does not share its root directory.
///
/// # Errors
/// If process 1 is not the host's, or a capability is missing.
pub fn enter_host() -> Result<(), Error> {
    host::enter().map_err(Error::new)
}
