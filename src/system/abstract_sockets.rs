// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The abstract unix sockets of a network namespace.

use std::fs;
use std::io;

/// Their names (without the leading NUL), in the calling thread's network namespace.
pub fn here() -> io::Result<Vec<Vec<u8>>> {
    let table = fs::read("/proc/thread-self/net/unix")?;
    Ok(table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.iter().position(|byte| *byte == b'@').map(|at| line[at + 1..].to_vec()))
        .collect())
}
