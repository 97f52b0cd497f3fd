// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The private modules, for this project's own fuzz targets, benchmarks and integration tests: feature `internals`.
//!
//! No version promises anything about their contents.

macro_rules! open {
    ($($module:ident)*) => {$(
        pub mod $module {
            pub use crate::$module::*;
        }
    )*};
}

open! {
    archive
    carrier
    causes
    checkpoint
    connection
    evidence
    execute
    firewall
    goal
    host
    index
    interrupt
    json
    kind
    locate
    memory
    mounts
    plan
    probe
    reach
    reason
    record
    save
    system
    time
    tree
}
