// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs of criu-gc in which chosen system calls fail, take long, or bring a signal: `strace` does that from outside, so
//! that the program under test is the one that everybody runs.
//!
//! A call's number is counted in each thread. One thread removes all links, and there is one for each
//! step in a network namespace. Of the main thread the calls before `main` count too, and how many they are depends on
//! the machine's dynamic loader: [`Startup`] counts them.

use std::collections::BTreeMap;
use std::fs;

use testkit::{CommandExt, TestHost};

use crate::tool::binary;

/// The words of `strace` that tamper with calls, as `inject=` takes them: `unlinkat:signal=KILL:when=2`.
pub(crate) fn tampering(injections: &[&str]) -> Vec<String> {
    let calls: Vec<&str> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-o", "/dev/null"].map(str::to_owned).to_vec();
    words.extend(["-e".to_owned(), format!("trace={}", calls.join(","))]);
    words.extend(injections.iter().flat_map(|injection| ["-e".to_owned(), format!("inject={injection}")]));
    words
}

/// The calls that criu-gc makes before its `main`: those of the dynamic loader and of Rust's runtime.
pub(crate) struct Startup {
    calls: BTreeMap<String, u32>,
}

impl Startup {
    /// Traces them in a run that does nothing.
    ///
    /// # Panics
    /// If the trace does not show where they end.
    pub(crate) fn trace(host: &TestHost) -> Self {
        // The last thing that the runtime does is to give the main thread its stack for signals.
        const LAST: &str = "sigaltstack({";
        let file = host.dir().with_file_name("startup");
        let mut command = host.command("strace");
        command.args(["-qq", "-o"]).arg(&file).arg(binary()).arg("--version").succeed();
        let trace = fs::read_to_string(&file).expect("a trace");
        assert!(trace.lines().any(|line| line.starts_with(LAST)), "void: the end of the start is not seen: {trace}");
        let mut calls = BTreeMap::new();
        for line in trace.lines().take_while(|line| !line.starts_with(LAST)) {
            let call = line.split('(').next().unwrap_or_default();
            *calls.entry(call.to_owned()).or_default() += 1;
        }
        assert!(calls.contains_key("execve"), "void: the beginning is not seen: {trace}");
        Startup { calls }
    }

    /// The number of the first such call that `main` makes.
    pub(crate) fn first_own(&self, call: &str) -> u32 {
        self.calls.get(call).copied().unwrap_or_default() + 1
    }
}
