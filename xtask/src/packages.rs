// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of the host that the tests and criu-gc call.

use std::process::Command;

use crate::error::Error;
use crate::program;

/// A program, and the Debian package that has it.
type Program = (&'static str, &'static str);

/// What small Debians in directories need.
pub(crate) const OF_ROOTS: &[Program] = &[("debootstrap", "debootstrap")];

/// What emulated machines need.
pub(crate) const OF_MACHINES: &[Program] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("debootstrap", "debootstrap"),
    ("depmod", "kmod"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
];

/// What tests, demonstration and criu-gc need.
pub(crate) const OF_TESTS: &[Program] = &[
    ("iptables-nft", "iptables"),
    ("iptables-legacy", "iptables"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("script", "bsdutils"),
    ("busybox", "busybox-static"),
    ("strace", "strace"),
    ("g++", "g++"),
    ("python3", "python3"),
    ("runc", "runc"),
    ("podman", "podman"),
];

/// Installs the packages whose programs are missing; asks the network only if there are any.
pub(crate) fn install_missing(programs: &[Program]) -> Result<(), Error> {
    let missing = programs.iter().filter(|(program, _)| !program::is_installed(program));
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        println!("setup: the host has all programs");
        return Ok(());
    }
    println!("setup: installs {} on this host", packages.join(", "));
    if !testkit::is_root() {
        return Err(Error::NotRoot("install packages"));
    }
    program::output(apt_get().arg("update"))?;
    program::output(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["--quiet=2"]).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}
