// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Power cuts: after a dump, and in the middle of what criu-gc does.

use machine::Kernel;

use crate::case::{Case, Today};
use crate::scene::Scene;

pub(crate) const CASES: &[Case] = &[Case {
    name: "after a power cut a dump that was written to disk is cleaned up",
    test: written,
    today: Today::Passes,
}];

fn written() {
    let mut scene = Scene::booted(Kernel::V6_1);
    scene.run(
        "mkdir /srv/data
         tree=$(start_tree deleted /srv/data/file)
         dump 4.3 $tree /srv/images
         sync",
    );
    scene.cut_power();
    scene.boot();
    let removed = scene.run("$gc /srv/images");
    assert!(removed.ends_with("1 object: 1 removed.\n"), "{removed}");
    assert_eq!(scene.run("ls /srv/data"), "file.keep\n");
}
