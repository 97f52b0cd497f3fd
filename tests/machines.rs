// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What only a whole machine can show: reboots, power cuts, root file systems of all kinds, security modules, systemd.
//!
//! The machines are emulated (tests/machine). Each test boots its own, makes real dumps in it, and looks at what
//! criu-gc says and does there. Without what `cargo xtask machine` brings the tests are ignored; where the suite is
//! meant to run whole (`CRIU_GC_REQUIRE_PRIVILEGED`), they have failed.

#[path = "machines/apparmor.rs"]
mod apparmor;
#[path = "machines/case.rs"]
mod case;
#[path = "machines/clock.rs"]
mod clock;
#[path = "machines/ends.rs"]
mod ends;
#[path = "machines/filesystems.rs"]
mod filesystems;
#[path = "machines/hidepid.rs"]
mod hidepid;
#[path = "machines/lvm.rs"]
mod lvm;
#[path = "machines/md.rs"]
mod md;
#[path = "machines/moments.rs"]
mod moments;
#[path = "machines/nfs.rs"]
mod nfs;
#[path = "machines/numbers.rs"]
mod numbers;
#[path = "machines/power.rs"]
mod power;
#[path = "machines/pre_dump.rs"]
mod pre_dump;
#[path = "machines/reboot.rs"]
mod reboot;
#[path = "machines/root.rs"]
mod root;
#[path = "machines/scene.rs"]
mod scene;
#[path = "machines/systemd.rs"]
mod systemd;
#[path = "machines/users.rs"]
mod users;

fn main() -> std::process::ExitCode {
    let cases = [
        apparmor::CASES,
        clock::CASES,
        ends::CASES,
        filesystems::CASES,
        hidepid::CASES,
        lvm::CASES,
        md::CASES,
        moments::CASES,
        nfs::CASES,
        numbers::CASES,
        power::CASES,
        pre_dump::CASES,
        reboot::CASES,
        systemd::CASES,
        users::CASES,
    ];
    testkit::suite::conclude(cases.into_iter().flatten().map(case::trial).collect())
}
