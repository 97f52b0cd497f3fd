// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What only a whole machine can show: reboots, power cuts, root file systems of all kinds, security modules, systemd.
//!
//! The machines are emulated (tests/machine). Each test boots its own, makes real dumps in it, and looks at what
//! criu-gc says and does there. Without what `cargo xtask machine` brings the tests are ignored; where the suite is
//! meant to run whole (`CRIU_GC_REQUIRE_PRIVILEGED`), they have failed.

mod apparmor;
mod case;
mod clock;
mod ends;
mod filesystems;
mod hidepid;
mod lvm;
mod md;
mod moments;
mod nfs;
mod numbers;
mod power;
mod pre_dump;
mod reboot;
mod root;
mod scene;
mod systemd;
mod users;

fn main() -> std::process::ExitCode {
    testkit::suite::conclude(case::trials())
}
