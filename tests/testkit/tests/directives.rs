// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Each directive of the workload makes a state that CRIU dumps, with the residue that is expected.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use testkit::suite::{self, Case};
use testkit::{Crit, Criu, DumpOptions, TestHost};

fn main() -> std::process::ExitCode {
    suite::run(&[
        Case { name: "files", test: files },
        Case { name: "sockets", test: sockets },
        Case { name: "a process can be process 1 of a host", test: a_process_can_be_process_1_of_a_host },
    ])
}

/// How many links the directives make CRIU make, in the host's directory and in /dev/shm.
fn files() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let file = |name: &str| host.dir().join(name);
        let odd = host.dir().join(OsStr::from_bytes(b"\xff\n\"odd\" (deleted)"));
        let tree = host.start_workload(&[
            &"deleted-program",
            &file("program"),
            &"deleted",
            &odd,
            &"deleted-twice",
            &file("twice"),
            &"fifo-deleted",
            &file("fifo"),
            &"symlink-deleted",
            &file("symlink"),
            &"deleted-dir",
            &file("directory/file"),
            &"semaphore",
            &"one",
            &"child",
            &"deleted",
            &file("of child"),
            &"child",
            &"deleted",
            &file("of grandchild"),
            &"end",
            &"end",
        ]);
        assert_eq!(tree.real_pids().len(), 3);
        let picture = || host.snapshot(&[host.dir(), "/dev/shm".as_ref()]);
        let before = picture();
        criu.dump(&host, &tree, &host.dir().with_file_name("images"), &DumpOptions::default());
        let residue = before.difference(&picture());
        let links: Vec<_> = residue.iter().filter(|line| line.contains("+ link_remap.")).collect();
        let count = |text: &str| links.iter().filter(|line| line.contains(text)).count();
        assert_eq!((count(" fifo "), count(" symlink "), count("/dev/shm")), (1, 1, 1), "{residue:#?}");
        assert_eq!(links.len(), 10, "{residue:#?}");
    }
}

fn sockets() {
    for criu in Criu::all() {
        let host = TestHost::new();
        let server = host.start_workload(&[&"serve", &"127.0.0.1:0"]);
        let tree = host.start_workload(&[
            &"listen-connect",
            &"127.0.0.1:0",
            &"listen-connect",
            &"[::1]:0",
            &"listen-connect",
            &"[::ffff:127.0.0.1]:0",
            &"half-closed",
            &"127.0.0.1:0",
            &"listen",
            &"127.0.0.1:0",
            &"connect",
            &server.listeners()[0].to_string(),
        ]);
        assert_eq!((tree.connections().len(), tree.listeners().len()), (5, 5));
        let images = host.dir().join("images");
        criu.dump(&host, &tree, &images, &DumpOptions::default());
        let locked = host.snapshot(&[]).lines_with("DROP");
        let of = |program: &str| locked.iter().filter(|line| line.starts_with(program)).count();
        // Two rules a socket: two sockets a connection, but one of that with the server.
        assert_eq!((of("iptables-nft"), of("ip6tables-nft")), (14, 4), "{locked:#?}");
        let files = Crit::records(&criu, &images.join("files.img"));
        let states: Vec<_> = files.iter().filter_map(|file| file["isk"]["state"].as_u64()).collect();
        assert_eq!(states.iter().filter(|state| matches!(state, 5 | 8)).count(), 2, "{states:?}");
    }
}

fn a_process_can_be_process_1_of_a_host() {
    let host = TestHost::new();
    let container = testkit::Container::new(&host, "root");
    let launch = testkit::Launch::new(&[&"deleted", &"/tmp/data", &"child", &"deleted", &"/tmp/more", &"end"]);
    let tree = launch.container(&container).start(&host);
    assert_eq!(tree.real_pids().len(), 2);
    let images = host.dir().join("images");
    Criu::newest().dump(&host, &tree, &images, &DumpOptions::default());
    assert_eq!(host.snapshot(&[&container.root().join("tmp")]).lines_with("link_remap.").len(), 2);
}
