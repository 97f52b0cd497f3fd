// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The images of real dumps, read by criu-images and by CRIU's own Python modules: both must say the same.
//!
//! A field that no dump here sets would be compared with nothing, so each case tells the fields that it has to see.

mod addresses;
mod compare;
mod fields;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use criu_images::FileEntry;
use testkit::{Access, Container, Criu, DumpOptions, Launch, Network, TableNames, TcpMode, TestHost, Word, Workload};

use crate::case::{Case, Cases};
use crate::places::images_of;
use compare::{compare_images, records};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "both readers agree on a tree of the host", test: host_tree },
    Case { name: "both readers agree on a container with namespaces of its own", test: container },
    Case { name: "both readers agree on an external network namespace", test: external_network },
    Case { name: "the addresses of a network namespace are those that ip shows", test: addresses::as_ip_shows_them },
]));

/// Fields that every dump sets.
const ALWAYS: &[&str] = &[
    "Inventory.img_version",
    "Inventory.ns_per_id",
    "Inventory.root_ids.cgroup_ns_id",
    "Inventory.root_ids.ipc_ns_id",
    "Inventory.root_ids.mnt_ns_id",
    "Inventory.root_ids.net_ns_id",
    "Inventory.root_ids.pid_ns_id",
    "Inventory.root_ids.user_ns_id",
    "Inventory.root_ids.uts_ns_id",
    "Pstree.pid",
    "Pstree.pgid",
    "Pstree.sid",
    "Pstree.threads",
    "Ids.mnt_ns_id",
    "Ids.net_ns_id",
    "Ids.pid_ns_id",
    "Core.tc.comm",
    "Core.tc.task_state",
    "Mm.exe_file_id",
    "Files.id",
    "Files.type",
    "Files.reg.flags",
    "Files.reg.id",
    "Files.reg.mode",
    "Files.reg.name",
    "Files.reg.size",
    "Stats.dump.frozen_time",
];

/// What every dump sets whose CRIU gives it a run id.
const RUN_ID: &str = "Inventory.dump_criu_run_id";

const CHILDREN: &[&str] = &["Pstree.ppid"];

/// Fields of files whose names are gone.
const REMAPS: &[&str] = &[
    "RemapFilePath.orig_id",
    "RemapFilePath.remap_id",
    "RemapFilePath.remap_type",
    "GhostFile.dev",
    "GhostFile.ino",
    "GhostFile.mode",
    "GhostFile.mtim.tv_sec",
    "GhostFile.mtim.tv_usec",
];

const SOCKETS: &[&str] = &[
    "Files.isk.dst_addr",
    "Files.isk.dst_port",
    "Files.isk.family",
    "Files.isk.id",
    "Files.isk.ino",
    "Files.isk.ns_id",
    "Files.isk.opts.reuseaddr",
    "Files.isk.proto",
    "Files.isk.src_addr",
    "Files.isk.src_port",
    "Files.isk.state",
    "Files.isk.type",
    "TcpStream.inq_seq",
    "TcpStream.outq_seq",
];

const UNIX_SOCKETS: &[&str] = &["Files.usk.deleted", "Files.usk.id", "Files.usk.ino", "Files.usk.name"];

const MOUNTS: &[&str] = &[
    "Files.reg.mnt_id",
    "Mountpoints.ext_key",
    "Mountpoints.flags",
    "Mountpoints.fstype",
    "Mountpoints.mnt_id",
    "Mountpoints.mountpoint",
    "Mountpoints.options",
    "Mountpoints.parent_mnt_id",
    "Mountpoints.root",
    "Mountpoints.root_dev",
    "Mountpoints.source",
];

const DEVICES: &[&str] = &["NetDevices.address", "NetDevices.ifindex", "NetDevices.name", "NetDevices.type"];

fn host_tree(criu: &Criu) {
    let host = TestHost::new();
    let file = |name: &str| host.dir().join(name);
    let tree = host.start_workload(&[
        &"deleted",
        &file("one"),
        &"deleted-twice",
        &file("twice"),
        &"fifo-deleted",
        &file("fifo"),
        &"symlink-deleted",
        &file("symlink"),
        &"deleted-dir",
        &file("directory/file"),
        &"semaphore",
        &"semaphore",
        &"deleted",
        &file("ghost"),
        &"symlink-deleted",
        &file("ghost link"),
        &"remove",
        &file("ghost link.keep"),
        &"listen-connect",
        &"127.0.0.1:0",
        &"listen-connect",
        &"[::1]:0",
        &"half-closed",
        &"[::ffff:127.0.0.1]:0",
        &"socket-deleted",
        &file("socket"),
        &"child",
        &"deleted",
        &file("of child"),
        &"child",
        &"listen",
        &"127.0.0.1:0",
        &"end",
        &"end",
    ]);
    make_sparse(&file("ghost.keep"));
    std::fs::remove_file(file("ghost.keep")).expect("the other name of the file");
    // CRIU keeps the name of a deleted socket only if something else has it.
    std::fs::write(file("socket"), "").expect("a new file");
    let images = dump(criu, &host, &tree);
    let extra = ["GhostFile.chunks", "GhostFile.size", "GhostFile.symlnk_target"];
    assert_readers_agree(criu, &images, &[ALWAYS, CHILDREN, REMAPS, SOCKETS, UNIX_SOCKETS, &extra]);
    assert_connections(&images, &tree);
}

fn container(criu: &Criu) {
    let host = TestHost::new();
    let namespace = host.make_net_namespace("blue");
    host.connect(&namespace, "10.1.2.1/24", "10.1.2.3/24");
    let volume = host.dir().join("volume");
    std::fs::create_dir(&volume).expect("an empty directory");
    let container = Container::new(&host, "root")
        .bind(&volume, "/data".as_ref(), Access::ReadWrite)
        .bind(&volume, "/read only".as_ref(), Access::ReadOnly)
        .tmpfs("/dev/shm".as_ref());
    let words: [Word<'_>; 24] = [
        &"deleted",
        &"/tmp/one",
        &"deleted",
        &"/data/two",
        &"fifo-deleted",
        &"/tmp/fifo",
        &"semaphore",
        &"semaphore",
        &"deleted",
        &"/tmp/ghost",
        &"remove",
        &"/tmp/ghost.keep",
        &"listen-connect",
        &"10.1.2.3:0",
        &"listen-connect",
        &"[::1]:0",
        &"listen-connect",
        &"[::ffff:10.1.2.3]:0",
        &"child",
        &"deleted",
        &"/dev/shm/three",
        &"child",
        &"end",
        &"end",
    ];
    let launch = Launch::new(&words).network(Network::Named(namespace)).container(&container);
    let tree = launch.start(&host);
    let images = dump(criu, &host, &tree);
    assert_readers_agree(criu, &images, &[ALWAYS, CHILDREN, REMAPS, SOCKETS, MOUNTS, DEVICES]);
    assert_connections(&images, &tree);
}

fn external_network(criu: &Criu) {
    let host = TestHost::new();
    let namespace = host.make_net_namespace("pod");
    let inode = host.run("stat", &[&"--dereference", &"--format=%i", &namespace.path()]).stdout;
    let network = Network::Named(namespace);
    let tree = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).network(network).start(&host);
    let key = format!("net[{}]:the key", inode.trim());
    let options = DumpOptions {
        tcp: TcpMode::Close,
        extra: vec!["--external".into(), OsString::from(key)],
        ..DumpOptions::default()
    };
    let images = images_of(&host);
    criu.dump(&host, &tree, &images, &options);
    assert_readers_agree(criu, &images, &[ALWAYS, &["NetNs.ext_key", "Inventory.tcp_close"]]);
}

fn dump(criu: &Criu, host: &TestHost, tree: &Workload) -> PathBuf {
    let images = images_of(host);
    criu.dump(host, tree, &images, &DumpOptions::default());
    images
}

/// Gives the file a hole, without which CRIU records no size.
fn make_sparse(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).expect("a file of the tree");
    file.set_len(1 << 20).expect("a longer file");
}

/// Both readers say the same, and all the fields that the dump is meant to show are among it.
fn assert_readers_agree(criu: &Criu, images: &Path, expected: &[&[&str]]) {
    let compared = compare_images(criu, images);
    assert!(compared.differences.is_empty(), "{:#?}", compared.differences);
    let run_id = (criu.table_names() == TableNames::RunId).then_some(&RUN_ID);
    let expected = expected.iter().copied().flatten().chain(run_id);
    let unseen: Vec<&&str> = expected.filter(|field| !compared.seen.contains(**field)).collect();
    assert!(unseen.is_empty(), "void: this dump has nothing in {unseen:?}, only in {:#?}", compared.seen);
}

/// The addresses of our sockets are those that the tree itself tells.
fn assert_connections(images: &Path, tree: &Workload) {
    let (order, files) = records::<FileEntry>(&images.join("files.img"));
    let sockets = files.iter().filter_map(|file| file.isk.as_deref()).filter(|socket| socket.is_tcp_connection());
    let found: BTreeSet<(SocketAddr, SocketAddr)> =
        sockets.map(|socket| (socket.local(order).expect("an address"), socket.peer(order).expect("a peer"))).collect();
    let ends = tree.connections().into_iter().map(|connection| (connection.local, connection.peer));
    let expected: BTreeSet<_> = ends.flat_map(|(local, peer)| [(local, peer), (peer, local)]).collect();
    assert_eq!(found, expected);
}
