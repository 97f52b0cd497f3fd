// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A reboot between a dump and the removal: what was in memory is gone, and pids are given out again.

use std::sync::LazyLock;

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case {
        name: "after a reboot the link on a disk is removed, and what was in memory is gone",
        test: rebooted,
        today: Today::Passes,
    },
    Case { name: "--show makes the kernel load no module", test: no_module, today: Today::Passes },
    Case {
        name: "after a reboot a process that only has the pid of a dumped one does not keep the link",
        test: pid_of_another,
        today: Today::Passes,
    },
    Case {
        name: "after a reboot a process with the pid and the program of a dumped one is not called restored",
        test: pid_and_program_of_another,
        today: Today::Passes,
    },
]));

/// The newest CRIU that every kernel has.
const CRIU: &str = "4.3";

fn rebooted() {
    let mut scene = Scene::booted(Kernel::V6_1);
    scene.run(&format!(
        "mkdir /srv/data /srv/second
         tree=$(start_tree deleted /srv/data/file semaphore queue listen-connect 127.0.0.1:0)
         dump {CRIU} $tree /srv/data.images
         tree=$(start_tree deleted /srv/second/file listen-connect 127.0.0.1:0)
         dump {CRIU} $tree /srv/second.images --network-lock iptables"
    ));
    let dumps = [("data", 4), ("second", 3)];
    for (name, objects) in dumps {
        let shown = scene.run(&format!("$gc --show /srv/{name}.images"));
        assert!(shown.ends_with(&format!("{objects} objects: {objects} to be removed.\n")), "{shown}");
    }
    scene.reboot();
    for (name, objects) in dumps {
        let removed = scene.run(&format!("$gc /srv/{name}.images"));
        assert!(removed.contains(&format!("Link remap: /srv/{name}/link_remap.")), "{removed}");
        assert!(removed.contains("; removed)"), "{removed}");
        assert!(removed.ends_with(&format!("{objects} objects: 1 removed, {} gone.\n", objects - 1)), "{removed}");
        let after = scene.run(&format!("ls /srv/{name}; $gc --show /srv/{name}.images | tail -n 1"));
        assert_eq!(after, "file.keep\nNothing is left.\n");
    }
}

/// What is not loaded holds no rules. To ask it would load it.
fn no_module() {
    let mut scene = Scene::booted(Kernel::V6_1);
    scene.run(&format!(
        "for lock in nftables iptables; do
             mkdir /srv/$lock
             tree=$(start_tree deleted /srv/$lock/file listen-connect 127.0.0.1:0)
             dump {CRIU} $tree /srv/$lock.images --network-lock $lock
         done"
    ));
    scene.reboot();
    let modules = "cut -d ' ' -f 1 /proc/modules | sort";
    let before = scene.run(&format!(
        "modprobe --remove --remove-holders xt_mark nft_compat nf_tables iptable_filter ip6table_filter ip_tables ip6_tables \
             nfnetlink inet_diag unix_diag loop || true
         {modules}"
    ));
    for module in ["nf_tables", "nfnetlink", "ip_tables", "unix_diag", "loop"] {
        assert!(!before.lines().any(|line| line == module), "void: {module} is loaded\n{before}");
    }
    for lock in ["nftables", "iptables"] {
        let shown = scene.run(&format!("$gc --show /srv/{lock}.images"));
        assert!(shown.contains(" objects: 1 to be removed, ") && shown.ends_with(" gone.\n"), "{shown}");
        assert_eq!(scene.run(modules), before, "{lock}");
        let removed = scene.run(&format!("$gc /srv/{lock}.images"));
        assert!(removed.contains(" objects: 1 removed, ") && removed.ends_with(" gone.\n"), "{removed}");
    }
}

fn pid_of_another() {
    let (removed, _) = &*PIDS;
    assert!(removed.contains("1 object: 1 removed.\nstatus 0\nsleep\n"), "{removed}");
    assert!(removed.ends_with("file.keep\n"), "{removed}");
}

fn pid_and_program_of_another() {
    let (_, removed) = &*PIDS;
    assert!(removed.contains("1 object: 1 removed.\nstatus 0\nworkload\n"), "{removed}");
    assert!(removed.ends_with("file.keep\n"), "{removed}");
    assert!(!removed.contains("restored"), "{removed}");
}

/// After the reboot processes have the pids of two dumped ones: what criu-gc says, what the process is called then, and
/// what is in the directory. One is of another program, one of the same.
static PIDS: LazyLock<(String, String)> = LazyLock::new(|| {
    // A machine this small gives out only some hundreds.
    let mut scene = Scene::booted(Kernel::V6_1);
    scene.run(&format!(
        "for pid in 20000 21000; do
             mkdir /srv/$pid
             tree=$(first_pid=$pid; start_tree deleted /srv/$pid/file)
             [ $tree = $pid ]
             dump {CRIU} $tree /srv/$pid.images
         done"
    ));
    scene.reboot();
    let mut removed = |pid: u32, program: &str| {
        scene.run(&format!(
            "with_pid {pid} {program}; judge /srv/{pid}.images; cat /proc/{pid}/comm; ls /srv/{pid}; kill {pid}"
        ))
    };
    (removed(20_000, "sleep 1000"), removed(21_000, "$targets/workload/workload session"))
});
