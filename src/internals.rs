// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The private modules, for this project's own fuzz targets, benchmarks and integration tests: feature `internals`.
//!
//! No version promises anything about what is in here.

macro_rules! open {
    ($($module:ident)*) => {$(
        pub mod $module {
            pub use crate::$module::*;
        }
    )*};
}

open! {
    archive
    causes
    checkpoint
    connection
    evidence
    execute
    firewall
    host
    interrupt
    json
    locate
    memory
    mounts
    plan
    probe
    reach
    record
    residue
    save
    system
    time
}
