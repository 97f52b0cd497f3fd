// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dumps that end otherwise, and restores.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use testkit::suite::{self, Case};
use testkit::{
    Access, Container, Criu, DumpOptions, FinalState, Kill, Launch, LinkRemap, LockMethod, StopPoint, TestHost, Victim,
    Word, Workload,
};

fn main() -> std::process::ExitCode {
    suite::run(&[
        Case { name: "a stopped tree leaves residue and stays", test: a_stopped_tree_leaves_residue_and_stays },
        Case {
            name: "a running tree and a failed dump leave nothing",
            test: a_running_tree_and_a_failed_dump_leave_nothing,
        },
        Case { name: "a killed criu leaves what it had done", test: a_killed_criu_leaves_what_it_had_done },
        Case { name: "criu is killed at the call that was chosen", test: criu_is_killed_at_the_call_that_was_chosen },
        Case { name: "a restore takes the residue away", test: a_restore_takes_the_residue_away },
        Case { name: "a container can be restored", test: a_container_can_be_restored },
    ])
}

fn start_tree(host: &TestHost) -> Workload {
    host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"])
}

/// Right after CRIU let go of it, a process may run before it sleeps again.
fn is_running(state: Option<char>) -> bool {
    matches!(state, Some('R' | 'S'))
}

fn images(host: &TestHost) -> std::path::PathBuf {
    host.dir().with_file_name("images")
}

fn a_stopped_tree_leaves_residue_and_stays() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let tree = start_tree(&host);
        let before = host.snapshot(&[host.dir()]);
        let options = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
        criu.dump(&host, &tree, &images(&host), &options);
        // Right after CRIU let go of it, a process may run before it stops.
        let started = Instant::now();
        while tree.state() == Some('R') && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(tree.state(), Some('T'));
        assert!(!before.difference(&host.snapshot(&[host.dir()])).is_empty());
    }
}

fn a_running_tree_and_a_failed_dump_leave_nothing() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let tree = start_tree(&host);
        let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
        let running = DumpOptions { final_state: FinalState::Running, ..options.clone() };
        let refused = DumpOptions { link_remap: LinkRemap::Refused, ..options };
        let before = host.snapshot(&[host.dir()]);
        criu.dump(&host, &tree, &images(&host), &running);
        assert_eq!(before.difference(&host.snapshot(&[host.dir()])), [""; 0]);
        assert_eq!(criu.try_dump(&host, &tree, &images(&host), &refused).code(), 1);
        assert_eq!(before.difference(&host.snapshot(&[host.dir()])), [""; 0]);
        assert!(is_running(tree.state()));
    }
}

fn a_killed_criu_leaves_what_it_had_done() {
    for criu in Criu::all() {
        for (point, rules, inventory) in [(StopPoint::PostDump, 4, true), (StopPoint::Rule(3), 2, false)] {
            let host = TestHost::new();
            let tree = start_tree(&host);
            let dump = criu.dump_until(&host, &tree, &images(&host), &DumpOptions::default(), point);
            let found = host.snapshot(&[]).lines_with("0xc114");
            let found = found.iter().filter(|line| line.starts_with("iptables-nft-save")).count();
            assert_eq!(found, rules, "{} {point:?}", criu.version());
            assert_eq!(dump.images.join("inventory.img").exists(), inventory);
            assert!(is_running(tree.state()));
        }
    }
}

fn criu_is_killed_at_the_call_that_was_chosen() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let files = ["a", "b", "c"].map(|name| host.dir().join(name));
        let tree = host.start_workload(&files.each_ref().map(|file| [&"deleted" as Word<'_>, file]).concat());
        let kill = Kill::after("linkat", "link_remap.").number(2);
        criu.dump_killed(&host, &tree, &images(&host), &DumpOptions::default(), kill);
        let links = fs::read_dir(host.dir()).expect("a directory").flatten();
        assert_eq!(links.filter(|entry| entry.file_name().as_bytes().starts_with(b"link_remap.")).count(), 2);
        assert!(is_running(tree.state()));
        let early = criu.dump_killed_at(&host, &tree, &images(&host), &DumpOptions::default(), Duration::ZERO);
        assert!(early.is_some() && is_running(tree.state()));
    }
    for (criu, victim) in Criu::all().iter().flat_map(|criu| [(criu, Victim::Criu), (criu, Victim::Both)]) {
        let host = TestHost::new();
        let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
        fs::remove_file(host.dir().join("data.keep")).expect("the other name");
        let dump = criu.dump(&host, &tree, &images(&host), &DumpOptions::default());
        drop(tree);
        let kill = Kill::before("unlink", ".ghost").of(victim);
        let killed = criu.restore_killed(&host, &dump, &DumpOptions::default(), kill);
        assert_eq!(killed.code(), -9, "{killed}");
        let ghosts = fs::read_dir(host.dir()).expect("a directory").flatten();
        assert_eq!(ghosts.filter(|entry| entry.file_name().as_bytes().ends_with(b".ghost")).count(), 1, "{victim:?}");
    }
}

fn a_restore_takes_the_residue_away() {
    for criu in Criu::all() {
        for lock in [LockMethod::Iptables, LockMethod::Nftables] {
            let host = TestHost::new();
            let tree = start_tree(&host);
            let options = DumpOptions { lock, ..DumpOptions::default() };
            let dump = criu.dump(&host, &tree, &images(&host), &options);
            let restored = criu.restore(&host, &dump, &options);
            assert!(is_running(restored.state()));
            let left = host.snapshot(&[host.dir()]);
            assert_eq!(left.lines_with("link_remap"), [""; 0]);
            assert_eq!(left.lines_with("0xc114"), [""; 0]);
            assert_eq!(left.lines_with("0x0000c114"), [""; 0]);
        }
    }
}

fn a_container_can_be_restored() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let volume = host.dir().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let container = Container::new(&host, "root").bind(&volume, "/data".as_ref(), Access::ReadWrite);
        let tree = Launch::new(&[&"deleted", &"/data/one"]).container(&container).start(&host);
        let dump = criu.dump(&host, &tree, &images(&host), &DumpOptions::default());
        assert_eq!(host.snapshot(&[&volume]).lines_with("link_remap").len(), 1);
        let restored = criu.restore(&host, &dump, &DumpOptions::default());
        assert!(is_running(restored.state()));
        assert_eq!(host.snapshot(&[&volume]).lines_with("link_remap"), [""; 0]);
    }
}
