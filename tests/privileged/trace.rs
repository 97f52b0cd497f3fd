// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs of criu-gc in which chosen system calls fail, take long, or bring a signal: `strace` does that from outside, so
//! that the program under test is the one that everybody runs.
//!
//! A call's number is counted in each thread. One thread removes all links, and there is one for each
//! step in a network namespace.

/// The words of `strace` that tamper with calls, as `inject=` takes them: `unlinkat:signal=KILL:when=2`.
pub(crate) fn tampering(injections: &[&str]) -> Vec<String> {
    let calls: Vec<&str> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-o", "/dev/null"].map(str::to_owned).to_vec();
    words.extend(["-e".to_owned(), format!("trace={}", calls.join(","))]);
    words.extend(injections.iter().flat_map(|injection| ["-e".to_owned(), format!("inject={injection}")]));
    words
}
