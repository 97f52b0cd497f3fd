// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other laws, each attacked twice by what no script of the issue does: a path belongs to a namespace (L2), gone
//! needs a complete look (L3), absence is no evidence where others write (L5), nothing of others makes us wait (L6),
//! `--show` writes nothing (L7), and what cannot be removed is said and left (L8).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use testkit::{Criu, DumpOptions, Launch, LockMethod, Network, TestHost};

use crate::attack::{
    Holder, assert_cleans, assert_left_alone, assert_not_called_clean, assert_untouched, has_link, plant,
    raise_loopback,
};
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::links::images_of;
use crate::neighbours::link_in;
use crate::refusals::{start_tree_of_all, wait_until};
use crate::tool::{NOTHING, Tool, make_tables};
use crate::traffic::Net;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a directory that became a symbolic link is not followed", test: turned_directory },
    Case { name: "attack: a lock is not gone where the first thread of its process has ended", test: without_leader },
    Case { name: "attack: who owns the images' directory takes no sign of a restore away", test: owner_of_directory },
    Case { name: "attack: who may write the images' directory takes no sign of a restore away", test: open_directory },
    Case { name: "attack: a filesystem that answers nobody holds no run up", test: hung_filesystem },
    Case { name: "attack: a FIFO in the place of metadata or a log holds no run up", test: fifos },
    Case { name: "attack: a link that is a mount point is said to stay, and all else goes", test: mount_point },
    Case { name: "attack: an immutable link is said to stay, and all else goes", test: immutable },
]));

/// A tree of the host's with a link in its directory.
pub(crate) fn dump_with_link(criu: &Criu, host: &TestHost, file: &Path) {
    let tree = host.start_workload(&[&"deleted", &file]);
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
}

fn turned_directory(criu: &Criu) {
    let host = TestHost::new();
    let [own, other] = ["own", "other"].map(|name| directory(&host, name));
    plant(&other);
    dump_with_link(criu, &host, &own.join("data"));
    let aside = host.dir().join("aside");
    fs::rename(&own, &aside).and_then(|()| symlink(&other, &own)).expect("a turned directory");
    let tool = Tool::new(&host, &images_of(&host));
    let removed = tool.run(&[]);
    assert_untouched(&other, &removed);
    assert!(has_link(&aside));
    fs::remove_file(&own).and_then(|()| fs::rename(&aside, &own)).expect("the directory");
    assert_cleans(&tool, || has_link(&own));
}

/// Of such a process /proc shows the namespaces of its threads only.
fn without_leader(criu: &Criu) {
    let host = TestHost::new();
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Own).start(&host);
    raise_loopback(&host, &tree);
    let holder = Holder::go(&host, &format!("enter /proc/{}/ns/net leave thread", tree.pid()));
    let is_zombie = || {
        let status = fs::read_to_string(host.path(format!("/proc/{}/status", holder.pid))).ok()?;
        status.contains("State:\tZ").then_some(())
    };
    wait_until(is_zombie).expect("void: the first thread goes on");
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let tasks = fs::read_dir(host.path(format!("/proc/{}/task", holder.pid))).expect("threads").flatten();
    let mut others = tasks.map(|task| task.file_name()).filter(|name| **name != *holder.pid.to_string());
    let other = others.next().expect("void: no other thread");
    let namespace = Path::new("/proc").join(holder.pid.to_string()).join("task").join(other).join("ns/net");
    let tool = Tool::new(&host, &images_of(&host));
    assert_not_called_clean(&tool, || !Net::at(&host, &namespace).lets_packets_pass());
    holder.end();
    sleep(Duration::from_millis(300));
    tool.assert_finds_nothing();
}

fn owner_of_directory(criu: &Criu) {
    assert_left_alone_where_a_restore_is_hidden(criu, |_, images| {
        chown(images, Some(12345), Some(12345)).expect("a directory to give away")
    });
}

fn open_directory(criu: &Criu) {
    assert_left_alone_where_a_restore_is_hidden(criu, |_, images| {
        fs::set_permissions(images, Permissions::from_mode(0o777)).expect("a directory")
    });
}

/// The checkpoint was restored, and a newer dump locked the same connections. Who can write in the directory removes what
/// says so: the rules are the newer dump's.
pub(crate) fn assert_left_alone_where_a_restore_is_hidden(criu: &Criu, give: fn(&TestHost, &Path)) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let (images, newer) = (images_of(&host), host.dir().with_file_name("newer"));
    let options = DumpOptions::default();
    let dumped = criu.dump(&host, &tree, &images, &options);
    drop(tree);
    let restored = criu.restore(&host, &dumped, &options);
    criu.dump_again(&host, restored, &dumped, &newer, &options);
    assert_left_alone(&Tool::new(&host, &images));
    give(&host, &images);
    for sign in ["stats-restore", "restore.log"] {
        fs::remove_file(images.join(sign)).expect("void: there is no such sign");
    }
    assert_left_alone(&Tool::new(&host, &images));
    let tool = Tool::new(&host, &newer);
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "NOT CLEANED without an option: {removed}");
    tool.assert_finds_nothing();
}

/// Longer than any run of the tests takes.
const LIMIT: [&str; 4] = ["timeout", "--kill-after=1", "20", "env"];

/// A FUSE server that never answers, mounted here and in another namespace, and open in a process.
fn hung_filesystem(criu: &Criu) {
    const SCRIPT: &str = "
import ctypes, os, time
libc = ctypes.CDLL(None)
fuse = os.open('/dev/fuse', os.O_RDWR)
options = f'fd={fuse},rootmode=40000,user_id=0,group_id=0'
assert libc.mount(b'hung', b'/run/hung', b'fuse.hung', 0, options.encode()) == 0
os.open('/run/hung', os.O_PATH)
libc.prctl(15, b'holds', 0, 0, 0)
time.sleep(1000)
";
    let host = TestHost::new();
    let file = host.dir().with_file_name("hung.py");
    fs::write(&file, SCRIPT).expect("a new file");
    host.run("mkdir", &[&"/run/hung"]);
    let (tree, before) = start_tree_of_all(&host);
    let server = Holder::start(&host, &format!("exec python3 {}", file.display()));
    let other = Holder::start(&host, "exec unshare --mount --propagation private sleep 1000");
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let tool = Tool::new(&host, &images_of(&host)).under(&LIMIT);
    let start = std::time::Instant::now();
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "GOT: it waits or does not know: {removed}");
    assert!(start.elapsed() < Duration::from_secs(10), "GOT: it waits for {:?}", start.elapsed());
    assert_eq!(tool.difference_to(&before), NOTHING);
    server.end();
    other.end();
}

fn fifos(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let images = host.dir().with_file_name("bundle").join("checkpoint");
    fs::create_dir_all(&images).expect("new directories");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    for name in ["../config.json", "../spec.dump", "../config.dump", "stats-restore", "restore.log", "descriptors.json"]
    {
        host.run("mkfifo", &[&images.join(name)]);
    }
    fs::remove_file(images.join("dump.log")).expect("a log");
    host.run("mkfifo", &[&images.join("dump.log")]);
    let tool = Tool::new(&host, &images).under(&LIMIT);
    for arguments in [&["--show"][..], &[]] {
        let run = tool.run(arguments);
        assert!([0, 1, 2].contains(&run.code()), "GOT: it waits: {run}");
    }
    for name in ["stats-restore", "restore.log", "dump.log"] {
        fs::remove_file(images.join(name)).expect("a FIFO");
    }
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), tool.difference_to(&before)), (0, NOTHING.map(String::from).to_vec()), "{removed}");
}

fn mount_point(criu: &Criu) {
    assert_told_until_removable(
        criu,
        |host, link| drop(host.run("mount", &[&"--bind", &"/dev/null", &link])),
        |host, link| drop(host.run("umount", &[&link])),
    );
}

fn immutable(criu: &Criu) {
    assert_told_until_removable(
        criu,
        |host, link| drop(host.run("chattr", &[&"+i", &link])),
        |host, link| drop(host.run("chattr", &[&"-i", &link])),
    );
}

/// Of two links one cannot be removed.
pub(crate) fn assert_told_until_removable(criu: &Criu, hold: fn(&TestHost, &Path), release: fn(&TestHost, &Path)) {
    let host = TestHost::new();
    let [one, other] = ["one", "other"].map(|name| directory(&host, name));
    let tree = host.start_workload(&[&"deleted", &one.join("data"), &"deleted", &other.join("data")]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let link = link_in(&one);
    hold(&host, &link);
    let tool = Tool::new(&host, &images_of(&host));
    let removed = tool.run(&[]);
    release(&host, &link);
    assert!(link.exists(), "void: {removed}");
    let name = link.file_name().expect("a name").to_string_lossy().into_owned();
    let is_told = |line: &str| line.contains(&name) && !line.contains("; removed)") && !line.contains("(gone");
    assert!(removed.code() == 1 && removed.stdout.lines().any(is_told), "GOT: clean: {removed}");
    assert!(!has_link(&other), "the other link stays too: {removed}");
    assert_cleans(&tool, || has_link(&one));
}
