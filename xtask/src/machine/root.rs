// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The root file system of machines: Debian 12, whose C library is that of the programs that are built here.

use std::fs;
use std::path::Path;

use machine::Installation;

use super::{filesystem, stamp};
use crate::debootstrap;
use crate::error::Error;
use crate::tree::{create, file, remove, write};

/// Part of the stamp: a root file system that another xtask made is made again when this changes.
const LAYOUT: &str = "layout 1";

/// The release. The programs that run in machines are built on this machine, which has the same.
const SUITE: &str = "bookworm";

/// What is in it beside the smallest Debian.
const PACKAGES: [&str; 29] = [
    "apparmor",
    "btrfs-progs",
    "bsdutils",
    "busybox-static",
    "dbus",
    "dmsetup",
    "e2fsprogs",
    "iproute2",
    "iptables",
    "kmod",
    "lvm2",
    "mdadm",
    "mount",
    "netavark",
    "nfs-common",
    "nfs-kernel-server",
    "nftables",
    "podman",
    "procps",
    "python3",
    "python3-protobuf",
    "runc",
    "strace",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "uuid-runtime",
    "xfsprogs",
];

/// How large it is. Machines write to it, each to its own.
const MEGABYTES: u32 = 8192;

/// Makes the image, if there is none of this layout.
pub(crate) fn bring(installation: &Installation) -> Result<(), Error> {
    let image = installation.root();
    let text = format!("{LAYOUT}\n{SUITE}\n{}\n", PACKAGES.join("\n"));
    if stamp::holds(&image, &text) {
        println!("machine: the root file system is here");
        return Ok(());
    }
    println!("machine: makes the root file system (about two minutes)");
    let tree = installation.directory().join("root");
    debootstrap::run(&tree, SUITE, &PACKAGES)?;
    finish(&tree)?;
    let busybox = installation.directory().join("busybox");
    fs::copy(tree.join("bin/busybox"), &busybox).map_err(file("write", &busybox))?;
    filesystem::ext4(&tree, &image, MEGABYTES)?;
    remove(&tree)?;
    stamp::set(&image, &text)
}

/// What the machine's own scripts expect.
fn finish(tree: &Path) -> Result<(), Error> {
    for place in ["project", "usr/lib/modules"] {
        let path = tree.join(place);
        create(&path)?;
    }
    write(&tree.join("etc/fstab"), "")?;
    write(&tree.join("etc/hostname"), "machine\n")?;
    remove(&tree.join("var/cache/apt/archives"))
}
