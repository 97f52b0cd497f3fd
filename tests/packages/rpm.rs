// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The .rpm, installed by an rpm from outside (`--root`): a bare Debian has none.

use std::process::Command;

use testkit::CommandExt;

use crate::bare::Bare;
use crate::{demonstration, files};

pub(crate) fn test() {
    let bare = Bare::new();
    let before = files::names(bare.root());
    Command::new("cp").arg(files::package("rpm")).arg(bare.root().join("criu-gc.rpm")).succeed();
    // A bare Debian has a shell, but no package of rpm's that says so.
    let required = rpm(&bare, &["--query", "--package", "--requires", "/mnt/criu-gc.rpm"]);
    let missing: Vec<&str> =
        required.lines().filter(|line| !line.starts_with("rpmlib(") && *line != "/bin/sh").collect();
    assert!(missing.is_empty(), "{required}");
    rpm(&bare, &["--install", "--nodeps", "/mnt/criu-gc.rpm"]);
    for name in [
        "usr/bin/criu-gc",
        "usr/bin/criu-gc-record",
        "usr/lib/systemd/system/criu-gc-scan.timer",
        "usr/share/man/man8/criu-gc.8.gz",
        "usr/share/licenses/criu-gc/LICENSE-MIT",
    ] {
        assert!(bare.root().join(name).exists(), "{name} is missing");
    }
    let link = bare.root().join("usr/bin/criu-gc-record").read_link().expect("a link");
    assert_eq!(link.to_str(), Some("criu-gc"));
    demonstration::run(&bare);
    rpm(&bare, &["--erase", "criu-gc"]);
    assert_eq!(files::names(bare.root()), before);
}

/// Runs the rpm of the other Debian on this one.
fn rpm(bare: &Bare, words: &[&str]) -> String {
    let script = "mount --bind \"$1\" \"$2/mnt\"; mount -t proc proc \"$2/proc\"; root=$2; shift 2; \
                  exec chroot \"$root\" rpm --root /mnt --dbpath /var/lib/rpm \"$@\"";
    let mut command = bare.host().command("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-e", "-c", script, "sh"]);
    command.arg(bare.root()).arg(files::tools()).args(words).succeed().stdout
}
