// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's mount table, whose names users choose.
#![no_main]

use criu_gc::internals::system::mountinfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mounts, not_understood) = mountinfo::parse(data);
    let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(mounts.len() + not_understood, lines);
    assert!(mountinfo::unescape(data).len() <= data.len());
});
