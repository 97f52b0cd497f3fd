// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows and removes exactly what a CRIU checkpoint left on this host.
//!
//! One direction, no step back:
//!
//! ```text
//! what the user names ─locate→ images ─checkpoint→ Checkpoint ─residue, pure→ [Residue] ─probe, read-only→ [Finding]
//!     ─plan, pure→ Plan ─┬─ show: report, stop
//!                        └─ gc: execute: look again → act → Outcome ─→ probe again → report → exit status
//! ```
#![forbid(unsafe_code)]
// A new variant has to be judged wherever values are told apart.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod archive;
pub mod carrier;
pub mod causes;
pub mod checkpoint;
pub mod cli;
pub mod connection;
pub mod evidence;
pub mod execute;
pub mod exit;
pub mod firewall;
pub mod host;
pub mod interrupt;
pub mod invocation;
pub mod json;
pub mod kind;
pub mod locate;
pub mod memory;
pub mod mounts;
pub mod plan;
pub mod probe;
pub mod reach;
pub mod reason;
pub mod record;
pub mod recorder;
pub mod report;
pub mod run;
pub mod save;
pub mod supervisor;
pub mod system;
pub mod terminal;
pub mod time;
pub mod tree;
