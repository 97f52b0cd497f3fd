// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `cargo xtask demo` shows, with the installed program, and with its action script.

use std::fs;
use std::process::Stdio;

use testkit::{CommandExt, Criu, wait_until};

use crate::bare::Bare;

/// The tree that is dumped: its pid goes to a file before it becomes the workload.
const TREE: &str = "mkdir /srv/images; echo $$ > /srv/pid; \
    exec /workload session deleted /srv/data semaphore queue listen-connect 127.0.0.1:0 ready /srv/ready";

/// Dumps a tree, and lets the installed program show and remove what that leaves.
pub(crate) fn run(bare: &Bare) {
    bare.boot();
    dump(bare);
    let link = links(bare);
    assert!(!link.is_empty() && !tables(bare).is_empty(), "the dump left nothing: {link:?} {}", tables(bare));

    let shown = bare.command("criu-gc").args(["-D", "/srv/images", "--show"]).succeed().stdout;
    for expected in
        ["Network lock table: inet CRIU-", "Link remap: /dev/shm/link_remap.", "Link remap: /srv/link_remap."]
    {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    assert!(shown.ends_with("5 objects: 5 to be removed.\n"), "{shown}");
    assert_eq!(links(bare), link, "--show removed something");

    let removed = bare.command("criu-gc").args(["-D", "/srv/images", "--yes"]).succeed().stdout;
    assert!(removed.ends_with("5 objects: 5 removed.\n"), "{removed}");
    assert_eq!((links(bare), tables(bare).as_str()), (Vec::new(), ""));
    let again = bare.command("criu-gc").args(["-D", "/srv/images", "--show"]).succeed().stdout;
    assert!(again.ends_with("Nothing is left.\n"), "{again}");
}

fn dump(bare: &Bare) {
    let mut tree = bare.command("sh");
    tree.args(["-e", "-c", TREE]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tree = tree.spawn().expect("nsenter");
    let place = bare.root().join("srv");
    wait_until(|| place.join("ready").exists().then_some(())).expect("a tree");
    let pid = fs::read_to_string(place.join("pid")).expect("a pid");
    let mut dump = bare.command(Criu::newest().program());
    dump.args(["dump", "--tree", pid.trim(), "--images-dir", "/srv/images", "--log-file", "dump.log", "-v4"]);
    dump.args(["--link-remap", "--tcp-established", "--network-lock", "nftables"]);
    let finished = dump.args(["--action-script", "criu-gc-record"]).finish();
    let log = || fs::read_to_string(place.join("images/dump.log")).unwrap_or_default();
    assert!(finished.status.success(), "{finished}{}", log());
    tree.wait().expect("a child");
    assert!(place.join("images/criu-gc-record.json").exists(), "the action script recorded nothing\n{}", log());
}

/// The link remaps that are there, by their names.
fn links(bare: &Bare) -> Vec<String> {
    let listed = bare.command("ls").args(["/srv", "/dev/shm"]).succeed().stdout;
    listed.lines().filter(|name| name.starts_with("link_remap.")).map(str::to_owned).collect()
}

/// The tables of the packet filter.
fn tables(bare: &Bare) -> String {
    bare.host().run("nft", &[&"list", &"tables"]).stdout
}
