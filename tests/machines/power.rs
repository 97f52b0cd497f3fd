// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Power cuts after a dump: what was not written to the disks is lost, images and links each in its own way.

use std::thread;
use std::time::Duration;

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::scene::{Scene, is_clean, note};

inventory::submit!(Cases(&[
    Case {
        name: "after a power cut a dump that was written to disk is cleaned up",
        test: written,
        today: Today::Passes,
    },
    Case {
        name: "a power cut 0.1 s after a dump costs nothing innocent, and no link is called clean",
        test: || assert_nothing_called_clean(Duration::from_millis(100)),
        today: Today::Passes,
    },
    Case {
        name: "a power cut 7 s after a dump costs nothing innocent, and no link is called clean",
        test: || assert_nothing_called_clean(Duration::from_secs(7)),
        today: Today::Passes,
    },
    Case {
        name: "a power cut 40 s after a dump costs nothing, and the links are removed",
        test: late,
        today: Today::Passes,
    },
]));

/// A dump with links, which nobody writes to the disk but the kernel in its own time. Its images are in /srv/images,
/// its links in /srv/data.
const DUMP: &str = "with_innocents /srv/data
     sync
     tree=$(start_many /srv/data 20)
     dump 4.3 $tree /srv/images
     links /srv/data";

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

/// Images may be missing or empty, and links may be there without them.
fn assert_nothing_called_clean(after: Duration) {
    let mut scene = cut_power_after(after);
    let links = scene.count("links /srv/data");
    let shown = scene.run("judge --show --exit-code /srv/images");
    let files = "mkdir -p /srv/images; find /srv/images -type f";
    let (images, empty) = (scene.count(&format!("{files} | wc -l")), scene.count(&format!("{files} -size 0 | wc -l")));
    note(&format!("{after:?} after a dump: {links} links, {images} files, {empty} of them empty\n{shown}"));
    assert!(links == 0 || !is_clean(&shown), "{links} links, but:\n{shown}");
    let removed = scene.run("judge /srv/images; innocent");
    let left = scene.count("links /srv/data");
    assert!(left == 0 || !is_clean(&removed), "{left} links, but:\n{removed}");
    let again = scene.run("judge /srv/images; innocent");
    assert_eq!(scene.count("links /srv/data"), left, "{again}");
    assert!(left == 0 || !is_clean(&again), "{left} links, but:\n{again}");
}

/// The kernel has written everything: this is the honest one, which is cleaned.
fn late() {
    let mut scene = cut_power_after(Duration::from_secs(40));
    assert_eq!(scene.count("links /srv/data"), 20);
    let removed = scene.run("judge /srv/images; innocent");
    assert!(removed.contains("20 removed"), "{removed}");
    assert!(removed.ends_with("status 0\n"), "{removed}");
    assert_eq!(scene.run("links /srv/data; judge --show /srv/images | tail -n 2"), "0\nNothing is left.\nstatus 0\n");
}

/// A machine that has booted once more after a dump and a power cut.
fn cut_power_after(after: Duration) -> Scene {
    let mut scene = Scene::booted(Kernel::V6_1);
    assert_eq!(scene.run(DUMP), "20\n");
    thread::sleep(after);
    scene.cut_power();
    scene.boot();
    scene.run("innocent");
    scene
}
