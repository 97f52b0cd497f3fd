// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chains of pre-dumps with memory tracking: the kernel of the developers' machine cannot track memory.

use machine::Kernel;

use crate::case::{Case, Cases};
use crate::scene::Scene;

inventory::submit!(Cases(&[Case::new(
    "pre-dumps leave nothing, and the final dump of their chain is cleaned up",
    chain
)]));

/// What criu-gc says of a pre-dump.
const NOTHING: &str = "Note: these images are from a pre-dump, which leaves nothing behind\nNothing is left.\n";

/// Debian's own CRIU for this kernel, and the newest.
const CRIUS: [&str; 2] = ["3.17.1", "4.3"];

fn chain() {
    let mut scene = Scene::booted(Kernel::V6_1);
    for criu in CRIUS {
        scene.run(&format!(
            "mkdir -p /srv/chain/1 /srv/chain/2 /srv/data
             tree=$(start_tree deleted /srv/data/file semaphore queue)
             echo $tree > /run/tree
             pre_dump() {{
                 criu {criu} pre-dump --tree $tree --images-dir /srv/chain/$1 --track-mem --log-file dump.log \"${{@:2}}\"
             }}
             pre_dump 1
             pre_dump 2 --prev-images-dir ../1"
        ));
        for images in ["/srv/chain/1", "/srv/chain/2"] {
            assert_eq!(scene.run(&format!("$gc --show {images}; $gc {images}")), [NOTHING, NOTHING].concat(), "{criu}");
        }
        // The tree has not noticed.
        scene.run("grep -q '^State:.S' /proc/$(cat /run/tree)/status");
        scene.run(&format!("dump {criu} $(cat /run/tree) /srv/chain/3 --track-mem --prev-images-dir ../2"));
        assert_eq!(scene.run("readlink /srv/chain/3/parent /srv/chain/2/parent"), "../2\n../1\n", "{criu}");
        let shown = scene.run("$gc --show /srv/chain/3");
        assert!(shown.ends_with("2 objects: 2 to be removed.\n"), "{criu}: {shown}");
        // The links of the final dump are no business of the others of the chain.
        assert_eq!(scene.run("$gc /srv/chain/1 /srv/chain/2 | grep -c 'Nothing is left'"), "2\n", "{criu}");
        let removed = scene.run("$gc /srv/chain/3");
        assert!(removed.ends_with("2 objects: 2 removed.\n"), "{criu}: {removed}");
        assert_eq!(scene.run("ls /srv/data; find /dev/shm -name 'link_remap.*'"), "file.keep\n", "{criu}");
        scene.run("rm -r /srv/chain /srv/data /dev/shm/sem.queue");
    }
    assert_misleading_parents_are_no_part(&mut scene);
}

/// What `parent` leads to is no part of a final dump, whoever made it lead there.
fn assert_misleading_parents_are_no_part(scene: &mut Scene) {
    scene.run(
        "mkdir -p /srv/data /srv/other
         dump 4.3 $(start_tree deleted /srv/other/file) /srv/others
         dump 4.3 $(start_tree deleted /srv/data/file) /srv/images",
    );
    for parent in ["/srv/others", ".", "parent", "/dev/zero", "/nowhere", "/proc/self/cwd"] {
        let shown = scene.run(&format!("ln -sfn {parent} /srv/images/parent; timeout 20 $gc --show /srv/images"));
        assert!(shown.contains("Link remap: /srv/data/link_remap."), "{parent}: {shown}");
        assert!(shown.ends_with("1 object: 1 to be removed.\n"), "{parent}: {shown}");
    }
    scene.run("ln -sfn /srv/others /srv/images/parent; $gc /srv/images");
    assert_eq!(scene.run("ls /srv/data"), "file.keep\n");
    assert_eq!(scene.run("ls /srv/other | wc -l"), "2\n");
    let removed = scene.run("$gc /srv/others");
    assert!(removed.ends_with("1 object: 1 removed.\n"), "{removed}");
}
