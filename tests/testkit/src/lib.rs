// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fixture of the privileged tests.
//!
//! A [`TestHost`] is a throw-away machine made of namespaces: a [`Launch`] starts the program to
//! dump in it, a [`Criu`] dumps and restores it there, and a [`Snapshot`] says, without any code of
//! criu-gc, what the host then holds. Nothing here may ever change the machine's own network,
//! mounts or processes; whatever is made goes with its host, also when a test dies.
//!
//! ```no_run
//! use testkit::{Criu, DumpOptions, Snapshot, TestHost};
//!
//! let host = TestHost::new();
//! let file = host.dir().join("data");
//! let tree = host.start_workload(&[&"deleted", &file, &"listen-connect", &"127.0.0.1:0"]);
//! let before = host.snapshot(&[host.dir()]);
//! for criu in Criu::all() {
//!     let dump = criu.dump(&host, &tree, &host.dir().join("images"), &DumpOptions::default());
//!     println!("{} took {:?}", criu.version(), dump.duration);
//! }
//! println!("{:#?}", before.difference(&host.snapshot(&[host.dir()])));
//! ```

mod artifacts;
mod command;
mod container;
mod crit;
mod criu;
mod engine;
mod host;
mod kernel;
mod launch;
mod process;
mod snapshot;
pub mod suite;
mod user_namespace;
mod workload;
mod xtables;

pub use artifacts::{Artifacts, BINARY, CRI, CRIU, REQUIRED, ROOT, TARGET, cannot_run, is_root};
pub use command::{CommandExt, Finished, wait_until};
pub use container::{Access, Container};
pub use crit::Crit;
pub use criu::dump::DumpResult;
pub use criu::interrupted::{Interrupted, StopPoint};
pub use criu::killed::{Kill, Victim};
pub use criu::options::{DumpOptions, FinalState, LinkRemap, LockMethod, TcpMode};
pub use criu::restore::Restored;
pub use criu::{Criu, TableNames};
pub use engine::{
    Bundle, Containerd, Cri, Docker, Enclosure, Engines, Incus, Lxc, Pids, Podman, Runtime, Specification,
};
pub use host::network::NetNamespace;
pub use host::{SEARCH_PATH, TestHost};
pub use launch::{Launch, Network};
pub use snapshot::Snapshot;
pub use workload::{Connection, Workload};
pub use xtables::IptablesFlavour;

/// A word of a command line, text or path.
pub type Word<'a> = &'a dyn AsRef<std::ffi::OsStr>;
