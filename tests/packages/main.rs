// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packages of `cargo xtask dist`, each installed in a bare Debian, where it does the demonstration: CRIU dumps a
//! tree, and the installed criu-gc shows and removes what that leaves. `cargo xtask packages` brings the Debians.

mod bare;
mod completions;
mod deb;
mod demonstration;
mod files;
mod lint;
mod rpm;

use testkit::suite::Case;

const CASES: [Case; 5] = [
    Case { name: "the .deb does the demonstration in a bare Debian, and leaves nothing when purged", test: deb::test },
    Case { name: "the .rpm does the demonstration in a bare Debian, and leaves nothing when erased", test: rpm::test },
    Case { name: "lintian says nothing about the .deb that matters", test: lint::deb },
    Case { name: "rpmlint says nothing about the .rpm that matters", test: lint::rpm },
    Case { name: "bash, zsh and fish complete words and options", test: completions::test },
];

fn main() -> std::process::ExitCode {
    testkit::suite::run(&CASES)
}
