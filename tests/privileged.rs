// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc against real dumps, on throw-away hosts, once for every CRIU that `cargo xtask setup` brought.
//!
//! Each test first proves without criu-gc that the residue is there, else it is void. A test that cannot run says why
//! and counts as ignored; where the suite is meant to run whole (`CRIU_GC_REQUIRE_PRIVILEGED`), it has failed.

#[path = "privileged/case.rs"]
mod case;
#[path = "privileged/links.rs"]
mod links;
#[path = "privileged/tool.rs"]
mod tool;

use libtest_mimic::Arguments;

fn main() -> std::process::ExitCode {
    let cases = [links::CASES];
    libtest_mimic::run(&Arguments::from_args(), case::trials(&cases)).exit_code()
}
