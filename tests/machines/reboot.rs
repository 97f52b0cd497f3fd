// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A reboot between a dump and the removal.

use machine::Kernel;

use crate::case::{Case, Today};
use crate::scene::Scene;

pub(crate) const CASES: &[Case] = &[Case {
    name: "after a reboot the link on a disk is removed, and what was in memory is gone",
    test: rebooted,
    today: Today::Passes,
}];

/// The newest CRIU that every kernel has.
const CRIU: &str = "4.3";

fn rebooted() {
    let mut scene = Scene::booted(Kernel::V6_1);
    scene.run(&format!(
        "mkdir /srv/data
         tree=$(start_tree deleted /srv/data/file semaphore queue listen-connect 127.0.0.1:0)
         dump {CRIU} $tree /srv/images"
    ));
    let shown = scene.run("$gc --show /srv/images");
    assert!(shown.ends_with("4 objects: 4 to be removed.\n"), "{shown}");
    scene.reboot();
    let removed = scene.run("$gc /srv/images");
    assert!(removed.contains("Link remap: /srv/data/link_remap."), "{removed}");
    assert!(removed.contains("; removed)"), "{removed}");
    assert!(removed.ends_with("4 objects: 1 removed, 3 gone.\n"), "{removed}");
    assert_eq!(scene.run("ls /srv/data; $gc --show /srv/images | tail -n 1"), "file.keep\nNothing is left.\n");
}
