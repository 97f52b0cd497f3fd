// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows and removes exactly what a CRIU checkpoint left on this host.
#![forbid(unsafe_code)]
// A new variant has to be judged wherever values are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
// `pub` in a private module is for the modules beside it; that it is not for fewer is checked with `internals`.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub, unused_imports))]

mod archive;
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
mod locate;
mod memory;
mod mounts;
mod options;
mod plan;
mod probe;
mod reach;
mod record;
mod recorder;
pub mod report;
mod residue;
mod save;
mod session;
mod system;
mod time;

pub use causes::with_causes;
pub use error::{Error, ErrorKind};
pub use interrupt::Control;
pub use locate::STANDARD_INPUT;
pub use options::{Event, Options};
pub use plan::KeepReason;
pub use recorder::{Dump, Recorded, record};
pub use session::{Examination, enter_host, examine, look};
