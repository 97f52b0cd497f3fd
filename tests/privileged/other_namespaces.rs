// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc in another mount namespace than CRIU was in: the same path may be another file there, and a file that is not
//! there may be in the namespace that CRIU was in.

use std::path::Path;

use testkit::{Criu, TestHost};

use crate::attack::{Holder, assert_cleans, assert_not_called_clean, assert_untouched, has_link, plant};
use crate::attack_laws::dump_with_link;
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::links::images_of;
use crate::tool::Tool;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "in another mount namespace the same path is another file, which stays", test: other_file },
    Case { name: "from a copy of the host's mount namespace a link is removed without an option", test: copy },
    Case { name: "from a mount namespace that lacks the directory a link of the host is not gone", test: lacking },
    Case { name: "a link that only a third mount namespace shows is not gone", test: third },
]));

/// A process in a mount namespace of its own, after the script.
fn container<'a>(host: &'a TestHost, script: &str) -> Holder<'a> {
    let script = format!("exec unshare --mount --propagation private sh -e -c '{script}; exec sleep 1000'");
    Holder::start(host, &script)
}

fn tool_in<'a>(host: &'a TestHost, container: &Holder<'_>) -> Tool<'a> {
    let pid = container.pid.to_string();
    Tool::new(host, &images_of(host)).under(&["nsenter", "--target", &pid, "--mount", "--"])
}

fn cover(at: &Path) -> String {
    format!("mount -t tmpfs own {}", at.display())
}

/// A maintenance container with the images; what is at that path in it is another checkpoint's.
fn other_file(criu: &Criu) {
    let host = TestHost::new();
    let own = directory(&host, "own");
    let container = container(&host, &cover(&own));
    let inside = container.path(&own);
    plant(&inside);
    dump_with_link(criu, &host, &own.join("data"));
    let tool = tool_in(&host, &container);
    assert_not_called_clean(&tool, || has_link(&own));
    assert_untouched(&inside, &tool.run(&["--show"]));
    assert!(has_link(&own), "the link of the host went by a path of the container's");
    assert_cleans(&Tool::new(&host, &images_of(&host)), || has_link(&own));
    container.end();
}

fn copy(criu: &Criu) {
    let host = TestHost::new();
    let own = directory(&host, "own");
    let container = container(&host, "true");
    dump_with_link(criu, &host, &own.join("data"));
    let tool = tool_in(&host, &container);
    assert_cleans(&tool, || has_link(&own));
    let shown = tool.run(&["--show", "--exit-code"]);
    assert!(shown.code() == 0 && shown.stdout.contains("Nothing is left"), "{shown}");
    container.end();
}

fn lacking(criu: &Criu) {
    let host = TestHost::new();
    let own = directory(&host, "own");
    let container = container(&host, &cover(&own));
    dump_with_link(criu, &host, &own.join("data"));
    let tool = tool_in(&host, &container);
    assert_not_called_clean(&tool, || has_link(&own));
    assert_cleans(&Tool::new(&host, &images_of(&host)), || has_link(&own));
    let shown = tool.run(&["--show", "--exit-code"]);
    assert!(shown.code() == 0 && shown.stdout.contains("Nothing is left"), "{shown}");
    container.end();
}

/// The disk is taken off the host after a container got a copy of its mounts.
fn third(criu: &Criu) {
    let host = TestHost::new();
    let [own, disk] = ["own", "disk"].map(|name| directory(&host, name));
    host.run("mount", &[&"--bind", &disk, &own]);
    dump_with_link(criu, &host, &own.join("data"));
    let keeper = container(&host, "true");
    host.run("umount", &[&own]);
    let other = container(&host, "true");
    assert!(has_link(&keeper.path(&own)) && !has_link(&other.path(&own)), "void");
    let tool = tool_in(&host, &other);
    assert_not_called_clean(&tool, || has_link(&disk));
    let shown = tool.run(&["--show"]);
    assert!(shown.stdout.contains(&format!("the mount namespace of process {} may have it", keeper.pid)), "{shown}");
    assert_not_called_clean(&Tool::new(&host, &images_of(&host)), || has_link(&disk));
    assert_cleans(&tool_in(&host, &keeper), || has_link(&disk));
    keeper.end();
    other.end();
}
