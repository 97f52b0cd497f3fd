// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of the host that the tests and criu-gc call.

use std::process::Command;

use crate::error::Error;
use crate::program;

/// Each program, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 16] = [
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
    ("strace", "strace"),
    ("g++", "g++"),
    ("python3", "python3"),
    ("runc", "runc"),
    ("podman", "podman"),
];

/// Installs the packages whose programs are missing; asks the network only if there are any.
pub(crate) fn install_missing() -> Result<(), Error> {
    let mut packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
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

fn missing() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    PROGRAMS.iter().filter(|(program, _)| !program::is_installed(program))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["--quiet=2"]).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}
