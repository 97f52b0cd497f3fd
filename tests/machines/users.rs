// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Trees of other users than root. What CRIU needs to dump and restore them in full, containers rarely have.

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::scene::Scene;

inventory::submit!(Cases(&[Case {
    name: "a user's tree that root dumped is cleaned up, and by the user's own images as far as the user could",
    test: tree_of_a_user,
    today: Today::Passes,
}]));

/// Nobody who owns anything here.
const STRANGER: &str = "setpriv --reuid 1001 --regid 1001 --clear-groups";

/// Starts a tree of user 1000 with a file, a semaphore and connections, and prints the pid of its root. The root changes
/// to the user before it starts the program, as a service does.
const START: &str = r#"
start_users_tree() {
    mkdir -p /srv/home
    chown 1000:1000 /srv/home
    setpriv --reuid 1000 --regid 1000 --clear-groups "$targets/workload/workload" session deleted /srv/home/file \
        semaphore queue listen-connect 127.0.0.1:0 ready /srv/home/ready < /dev/null > /dev/null 2>&1 &
    until [ -e /srv/home/ready ]; do sleep 0.05; done
    rm /srv/home/ready
    echo $!
}
"#;

fn tree_of_a_user() {
    let mut scene = Scene::booted(Kernel::V6_1);
    for criu in ["3.17.1", "4.3"] {
        let dump = format!("{START} dump {criu} $(start_users_tree) /srv/images");
        scene.run(&dump);
        assert_eq!(scene.run("stat -c %u /srv/home/link_remap.* /dev/shm/link_remap.*"), "1000\n1000\n", "{criu}");
        // Somebody else sees the links, and that nothing is known of the rules.
        let shown = scene.run(&format!("{STRANGER} $gc --show /srv/images"));
        assert!(shown.ends_with("4 objects: 2 to be removed, 2 not known.\n"), "{criu}: {shown}");
        let removed = scene.run("$gc /srv/images");
        assert!(removed.ends_with("4 objects: 4 removed.\n"), "{criu}: {removed}");
        scene.run("rm -r /srv/images /srv/home /dev/shm/sem.queue");

        // With images of the user's own the user's files go; the rules are not the user's.
        scene.run(&format!("{dump}; chown -R 1000:1000 /srv/images"));
        let removed = scene.finish("$gc /srv/images").stdout;
        assert!(removed.contains("4 objects: 2 removed, 2 kept.\n"), "{criu}: {removed}");
        assert!(removed.contains("kept: foreign-images"), "{criu}: {removed}");
        assert_eq!(scene.run("ls /srv/home; find /dev/shm -name 'link_remap.*'"), "file.keep\n", "{criu}");
        // Without the links nothing is left that a restore would have taken away.
        let removed = scene.run("$gc --allow foreign-images --allow restored-since /srv/images");
        assert!(removed.ends_with("4 objects: 2 removed, 2 gone.\n"), "{criu}: {removed}");
        scene.run("rm -r /srv/images /srv/home /dev/shm/sem.queue");
    }
}
