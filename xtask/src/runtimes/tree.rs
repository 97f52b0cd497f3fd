// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A tree of a whole Debian, which plays the `/` of throw-away hosts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testkit::Artifacts;

use crate::error::Error;
use crate::tree::{file, write};
use crate::{debootstrap, program, sources};

/// A release whose engines are tested.
pub(super) struct Release {
    /// Its directory, and the name in the table.
    pub(super) name: &'static str,
    /// Packages of Debian's `experimental`, which is no whole release, in place of those of sid.
    experimental: &'static [&'static str],
}

/// The releases beside this machine's own.
pub(super) const RELEASES: [Release; 2] = [
    Release { name: "sid", experimental: &[] },
    Release { name: "experimental", experimental: &["incus-base", "incus-client", "libcriu2", "podman", "runc"] },
];

/// The release of which trees are made.
const BASE: &str = "sid";

/// The engines, and what tests run in a host.
const PACKAGES: &[&str] = &[
    "btrfs-progs",
    "busybox-static",
    "conmon",
    "containerd",
    "containernetworking-plugins",
    "crun",
    "docker-cli",
    "docker.io",
    "e2fsprogs",
    "incus-base",
    "incus-client",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "libcriu2",
    "lxc",
    "netavark",
    "nftables",
    "passt",
    "podman",
    "procps",
    "python3-minimal",
    "runc",
    "util-linux",
    "xfsprogs",
    "zstd",
];

/// The packages whose versions are told.
const ENGINES: [&str; 7] = ["docker.io", "containerd", "incus-base", "lxc", "podman", "runc", "crun"];

/// Part of the stamp: trees of other layouts are made again.
const LAYOUT: &str = "layout 2";

/// Enters the tree, with what packages need while they are installed.
const INSIDE: &str = r#"mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"
exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C sh -ec "$1""#;

/// Makes the tree, if there is none of this layout. What its packages would start is not started.
pub(super) fn bring(release: &Release, tree: &Path) -> Result<(), Error> {
    let stamp = tree.with_extension("stamp");
    let experimental = release.experimental.join(" ");
    let text = format!("{LAYOUT}\n{}\n{experimental}\n", PACKAGES.join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == text) {
        println!("runtimes: the tree of {} is here", release.name);
        return Ok(());
    }
    println!("runtimes: makes the tree of {} (about three minutes)", release.name);
    debootstrap::run(tree, BASE, &["ca-certificates"])?;
    let mirror = sources::mirror()?;
    let line = |suite: &str| format!("deb {} {suite} main\n", mirror.uri);
    write(&tree.join("etc/apt/sources.list"), &(line(BASE) + &line("experimental")))?;
    let refuses = tree.join("usr/sbin/policy-rc.d");
    write(&refuses, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(&refuses, fs::Permissions::from_mode(0o755)).map_err(file("make executable", &refuses))?;
    // As the machine reaches the archive, so does the tree; an archive of snapshots has old lists.
    write(&tree.join("etc/apt/apt.conf.d/90tree"), "Acquire::Check-Valid-Until \"false\";\n")?;
    let install = "apt-get --quiet=2 --yes --no-install-recommends install";
    // apt takes nothing from experimental that it is not told to.
    inside(tree, &format!("apt-get --quiet=2 update; {install} {}; apt-get clean", PACKAGES.join(" ")))?;
    if !release.experimental.is_empty() {
        inside(tree, &format!("{install} --target-release experimental {experimental}; apt-get clean"))?;
    }
    write(&stamp, &text)
}

fn inside(tree: &Path, script: &str) -> Result<(), Error> {
    for name in ["resolv.conf", "hosts"] {
        let (from, to) = (Path::new("/etc").join(name), tree.join("etc").join(name));
        fs::copy(&from, &to).map_err(file("copy", &from))?;
    }
    let configuration = Path::new("/etc/apt/apt.conf.d");
    for entry in fs::read_dir(configuration).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains("proxy") {
            let to = tree.join("etc/apt/apt.conf.d").join(entry.file_name());
            fs::copy(entry.path(), &to).map_err(file("copy", &to))?;
        }
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-ec", INSIDE]).arg(tree).arg(script);
    program::output(&mut command).map(drop)
}

/// The versions of the engines in the tree; of those of this machine's own release if there is none.
pub(super) fn versions(tree: Option<&Path>) -> Result<Vec<(String, String)>, Error> {
    let mut query = Command::new("dpkg-query");
    if let Some(tree) = tree {
        query.arg("--admindir").arg(tree.join("var/lib/dpkg"));
    }
    let asked = program::finish(query.args(["--show", "--showformat", "${Package} ${Version}\\n"]).args(ENGINES))?;
    let mut text = String::from_utf8_lossy(&asked.stdout).into_owned();
    if tree.is_none() {
        let brought = Artifacts::of_workspace().engines().join("versions");
        text += &fs::read_to_string(&brought).map_err(file("read", &brought))?;
    }
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .filter(|(_, version)| !version.is_empty())
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect())
}
