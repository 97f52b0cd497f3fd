// SPDX-License-Identifier: Apache-2.0 OR MIT
//! systemd as process 1, with services that have mounts, a network and a user of their own.

use machine::{Init, Kernel};

use crate::case::{Case, Cases};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case::new("the tree of a service of systemd is cleaned up, and the service goes on", from_outside),
    Case::new(
        "a link in a service's PrivateTmp, dumped by a CRIU in the service, is not called gone from outside",
        from_within
    ),
]));

/// Functions of bash for services.
const SERVICES: &str = include_str!("systemd.sh");

/// Settings that give a service mounts of its own; the tree shares the network of the machine.
const WITH_MOUNTS: [(&str, &str); 3] =
    [("mounts", "PrivateMounts=yes"), ("temporary", "PrivateTmp=yes"), ("dynamic", "DynamicUser=yes")];

fn boot() -> Scene {
    let mut scene = Scene::new(Kernel::V6_1);
    scene.hardware.set_init(Init::Systemd);
    scene.boot();
    scene
}

#[track_caller]
fn run(scene: &mut Scene, script: &str) -> String {
    scene.run(&format!("{SERVICES}\n{script}"))
}

fn from_outside() {
    let mut scene = boot();
    for (name, setting) in WITH_MOUNTS {
        run(&mut scene, &format!("service {name} {setting}; dump_service {name} 4.3"));
        let shown = scene.run(&format!("$gc --show /srv/{name}"));
        assert!(shown.ends_with("4 objects: 4 to be removed.\n"), "{setting}: {shown}");
        let removed = scene.run(&format!("$gc /srv/{name}"));
        assert!(removed.ends_with("4 objects: 4 removed.\n"), "{setting}: {removed}");
        let links = "find /dev/shm /tmp -name 'link_remap.*'";
        let after =
            run(&mut scene, &format!("{links}; traffic {name}; systemctl is-active {name}; end_service {name}"));
        assert_eq!(after, "pong\nactive\n", "{setting}");
    }
    assert_own_network_is_cleaned(&mut scene);
}

/// The dump locks the whole network of the service, and nothing on this host but a person knows whose it is.
fn assert_own_network_is_cleaned(scene: &mut Scene) {
    run(scene, "service network PrivateNetwork=yes PrivateTmp=yes; dump_service network 4.3");
    assert_eq!(run(scene, "traffic network"), "none\n");
    let ended = scene.finish("$gc /srv/network");
    assert!(ended.stdout.contains("3 objects: 2 removed, 1 not known.\n"), "{}", ended.stdout);
    let namespace = run(scene, "echo /proc/$(main_of network)/ns/net").trim_end().to_owned();
    let note =
        format!("Note: {namespace} has a chain CRIU, and nothing ties it to this checkpoint; --netns PATH would");
    assert!(ended.stdout.contains(&note), "{}", ended.stdout);
    let removed = scene.run(&format!("$gc --netns {namespace} /srv/network"));
    assert!(removed.ends_with("4 objects: 2 removed, 2 gone.\n"), "{removed}");
    let after = run(scene, "find /dev/shm /tmp -name 'link_remap.*'; traffic network; systemctl is-active network");
    assert_eq!(after, "pong\nactive\n");
}

fn from_within() {
    let mut scene = boot();
    run(&mut scene, "service temporary PrivateTmp=yes; dump_within temporary 4.3");
    let link = "find /tmp -name 'link_remap.*' | wc -l";
    assert_eq!(scene.run(link), "1\n");
    let outside = scene.run("$gc --show /srv/temporary");
    // Who stands where CRIU stood sees and removes all.
    let removed = run(&mut scene, "within temporary $gc /srv/temporary");
    assert!(removed.ends_with("4 objects: 4 removed.\n"), "{removed}");
    assert_eq!(scene.run(link), "0\n");
    let line = outside.lines().find(|line| line.contains("Link remap: /tmp/link_remap.")).unwrap_or_default();
    assert!(!line.is_empty() && !line.contains("(gone"), "it is there, and called gone: {outside}");
}
