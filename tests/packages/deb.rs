// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The .deb, installed by dpkg.

use std::process::Command;

use testkit::CommandExt;

use crate::bare::Bare;
use crate::{demonstration, files};

pub(crate) fn test() {
    let bare = Bare::new();
    let before = files::names(bare.root());
    Command::new("cp").arg(files::package("deb")).arg(bare.root().join("criu-gc.deb")).succeed();
    dpkg(&bare, &["--install", "/criu-gc.deb"]);
    for name in [
        "usr/bin/criu-gc",
        "usr/bin/criu-gc-record",
        "usr/lib/systemd/system/criu-gc-scan.timer",
        "usr/share/bash-completion/completions/criu-gc",
        "usr/share/fish/vendor_completions.d/criu-gc.fish",
        "usr/share/zsh/vendor-completions/_criu-gc",
    ] {
        assert!(bare.root().join(name).exists(), "{name} is missing");
    }
    demonstration::run(&bare);
    dpkg(&bare, &["--purge", "criu-gc"]);
    assert_eq!(files::names(bare.root()), before);
}

fn dpkg(bare: &Bare, words: &[&str]) {
    bare.host().command("chroot").arg(bare.root()).arg("dpkg").args(words).succeed();
}
