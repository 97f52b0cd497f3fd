// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packages' checkers. What they may say is listed with its reason.

use std::path::Path;
use std::process::Command;

use testkit::{CommandExt, Finished, TestHost};

use crate::files;

/// Tags of lintian.
const LINTIAN: [(&str, &str); 2] = [
    ("empty-field", "a static program depends on nothing, and cargo-deb writes the field all the same"),
    ("initial-upload-closes-no-bugs", "this is no upload to Debian"),
];

/// Tags of rpmlint.
const RPMLINT: [(&str, &str); 12] = [
    ("statically-linked-binary", "one file for every release, and for containers without a C library"),
    ("only-non-binary-in-usr-lib", "systemd's units"),
    ("no-url-tag", "the owner names the repository (docs/release.md)"),
    ("no-signature", "the owner signs (docs/release.md)"),
    ("no-packager-tag", "the owner's"),
    ("no-group-tag", "groups are no longer used"),
    ("no-changelogname-tag", "CHANGELOG.md is a document of the package"),
    ("no-buildhost-tag", "the package is the same wherever it is built"),
    ("no-manual-page-for-binary", "there is one, compressed with gzip; this rpmlint expects bzip2"),
    ("manpage-not-compressed", "the same"),
    ("invalid-license", "its list has no SPDX expressions"),
    ("dangerous-command-in-%post", "the link of the action script"),
];

pub(crate) fn deb() {
    let finished = check(&files::package("deb"), &["lintian", "--allow-root", "--fail-on", "none"]);
    assert!(finished.status.success(), "{finished}");
    assert_expected(&finished, &["E: ", "W: "], &LINTIAN);
}

pub(crate) fn rpm() {
    let finished = check(&files::package("rpm"), &["rpmlint"]);
    assert!(finished.stdout.contains("1 packages"), "{finished}");
    assert_expected(&finished, &[" E: ", " W: "], &RPMLINT);
}

/// Runs a checker of the other Debian on a package.
fn check(package: &Path, words: &[&str]) -> Finished {
    let host = TestHost::new();
    let script = "mount -t proc proc \"$1/proc\"; mount -t tmpfs tmp \"$1/tmp\"; cp \"$2\" \"$1/tmp/\"; \
                  root=$1; name=/tmp/${2##*/}; shift 2; exec chroot \"$root\" \"$@\" \"$name\"";
    let mut command: Command = host.command("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-e", "-c", script, "sh"]);
    command.arg(files::tools()).arg(package).args(words).finish()
}

/// Each error and warning is one that may be said.
#[track_caller]
fn assert_expected(finished: &Finished, marks: &[&str], expected: &[(&str, &str)]) {
    let is_finding = |line: &&str| marks.iter().any(|mark| line.contains(mark));
    let is_new = |line: &&str| !expected.iter().any(|(tag, _)| line.split_whitespace().any(|word| word == *tag));
    let new: Vec<&str> = finished.stdout.lines().filter(is_finding).filter(is_new).collect();
    assert!(new.is_empty(), "{}", new.join("\n"));
}
