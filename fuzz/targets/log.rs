// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CRIU's log, which anybody may have written: it has a run id only if that can stand in a table's name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let facts = criu_gc::internals::checkpoint::log::read(data).expect("bytes in memory");
    if let Some(id) = facts.run_id {
        assert!(id.text.len() == 36 && id.text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
    }
});
