// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The addresses of interfaces in `ifaddr-N.img`: raw netlink messages that `ip` wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (addresses, error) = criu_images::interface_addresses(data);
    // A message has a head of 16 bytes at least, so there cannot be more addresses than that.
    assert!(addresses.len() <= data.len() / 16 + 1);
    if let Some(error) = error {
        assert!(error.offset() <= data.len() as u64);
    }
});
