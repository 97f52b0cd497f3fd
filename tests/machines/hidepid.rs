// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A /proc that hides processes: what is hidden is not dead.

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case {
        name: "who sees all of a /proc with hidepid sees that a tree lives, and removes its link when it is dead",
        test: seen,
        today: Today::Passes,
    },
    Case {
        name: "a living tree that hidepid hides is not called dead, and its link is not removed",
        test: hidden,
        today: Today::Passes,
    },
]));

const ROOT: &str = "";
const ROOT_IN_GROUP: &str = "setpriv --bounding-set -sys_ptrace --regid 500 --clear-groups";
const ROOT_WITHOUT_PTRACE: &str = "setpriv --bounding-set -sys_ptrace";
const USER: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";
const USER_IN_GROUP: &str = "setpriv --reuid 1000 --regid 1000 --groups 500";

/// A machine with a tree that was dumped and left stopped, and images that everybody may read.
fn boot() -> Scene {
    let mut scene = Scene::booted(Kernel::V6_1);
    scene.run(
        "mkdir /srv/data
         tree=$(start_tree deleted /srv/data/file)
         dump 4.3 $tree /srv/images --leave-stopped
         echo $tree > /run/tree
         chmod -R a+rX /srv/images",
    );
    scene
}

/// What criu-gc shows to somebody, with /proc mounted like this.
#[track_caller]
fn show(scene: &mut Scene, options: &str, reader: &str) -> String {
    scene.finish(&format!("mount -o remount,{options} /proc; {reader} $gc --show /srv/images")).stdout
}

fn seen() {
    let mut scene = boot();
    let readers = [
        ("hidepid=0", ROOT_WITHOUT_PTRACE),
        ("hidepid=0", USER),
        ("hidepid=1,gid=500", ROOT),
        ("hidepid=2,gid=500", ROOT),
        ("hidepid=2,gid=500", ROOT_IN_GROUP),
        ("hidepid=2,gid=500", USER_IN_GROUP),
        ("hidepid=4,gid=500", ROOT),
    ];
    for (options, reader) in readers {
        let text = show(&mut scene, options, reader);
        assert!(text.contains("kept: tree-alive"), "{options} {reader}: {text}");
    }
    // Here the processes are listed, but not to be read.
    let text = show(&mut scene, "hidepid=1,gid=500", ROOT_WITHOUT_PTRACE);
    assert!(text.contains("kept: tree-unknown"), "{text}");

    scene.run("kill -9 $(cat /run/tree); sleep 0.2");
    let text = show(&mut scene, "hidepid=2,gid=500", USER_IN_GROUP);
    assert!(text.contains("Link remap: /srv/data/link_remap.") && !text.contains("tree-"), "{text}");
    let removed = scene.run("$gc /srv/images; ls /srv/data");
    assert!(removed.ends_with("1 object: 1 removed.\nfile.keep\n"), "{removed}");
}

fn hidden() {
    let mut scene = boot();
    let mut wrong = Vec::new();
    for (options, reader) in [
        ("hidepid=2", ROOT_WITHOUT_PTRACE),
        ("hidepid=2", USER),
        ("hidepid=2,gid=500", USER),
        ("hidepid=4", ROOT_WITHOUT_PTRACE),
    ] {
        let text = show(&mut scene, options, reader);
        if !(text.contains("kept: tree-alive") || text.contains("kept: tree-unknown")) {
            wrong.push(format!("{options} {reader}: {text}"));
        }
    }
    scene.finish(&format!("mount -o remount,hidepid=2 /proc; {ROOT_WITHOUT_PTRACE} $gc /srv/images"));
    let is_kept = scene.run("grep -c ^State:.T /proc/$(cat /run/tree)/status; ls /srv/data | wc -l");
    assert!(
        wrong.is_empty() && is_kept == "1\n2\n",
        "the tree lives, but is called dead:\n{}{is_kept}",
        wrong.concat()
    );
}
