// SPDX-License-Identifier: Apache-2.0 OR MIT
//! More attacks on time and memory (L6): processes that have a great many of everything, metadata without end, archives
//! that are no files or do not answer, and automounts that nobody serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::{Criu, DumpOptions, Finished, LockMethod, TestHost};

use crate::attack::{Holder, assert_cleans, assert_not_called_clean, has_link};
use crate::attack_laws::dump_with_link;
use crate::attack_mounts::Scene;
use crate::case::{Case, Cases};
use crate::container_links::directory;
use crate::links::images_of;
use crate::refusals::{start_tree_of_all, wait_until};
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: descriptors, mappings, threads and sockets without end cost little", test: crowded },
    Case { name: "attack: metadata without end or bottom beside the images cost little", test: endless_metadata },
    Case { name: "attack: what is no file in the place of an archive holds no run up", test: no_archives },
    Case { name: "attack: an archive on a filesystem that does not answer holds no run up", test: stuck_archive },
    Case { name: "attack: an automount that nobody serves is not set off by a look at others", test: automount },
    Case { name: "attack: a link behind an automount that nobody serves is not known", test: behind_automount },
]));

/// Half a GiB of addresses, and no run takes longer.
const LIMITS: [&str; 6] = ["prlimit", "--as=536870912", "timeout", "--kill-after=1", "40", "env"];

#[track_caller]
fn run(tool: &Tool<'_>, arguments: &[&str]) -> Finished {
    let start = Instant::now();
    let told = tool.run(arguments);
    assert!([0, 1, 2].contains(&told.code()), "GOT: it waits or grows: {told}");
    assert!(start.elapsed() < Duration::from_secs(30), "GOT: it takes {:?}: {told}", start.elapsed());
    told
}

/// A process of a user's, within the limits of one.
const CROWD: &str = "
import ctypes, mmap, os, resource, socket, sys, threading, time
most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 200000)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
file = os.open('/dev/null', os.O_RDONLY)
for number in range(most * 3 // 4):
    os.dup(file)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_ulong
area = libc.mmap(None, ctypes.c_ulong(4096 * 60000), 1, 0x22, -1, ctypes.c_long(0))
for page in range(0, 60000, 2):
    libc.mprotect(ctypes.c_ulong(area + 4096 * page), ctypes.c_ulong(4096), 3)
sockets = [socket.socket(socket.AF_UNIX) for _ in range(most // 5)]
for number, one in enumerate(sockets):
    one.bind(f'\\0{number:0>90}')
threading.stack_size(65536)
for number in range(500):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
libc.prctl(15, b'holds', 0, 0, 0)
time.sleep(1000)
";

/// The tmpfs of the tree is gone, for which every process has to be looked at.
fn crowded(criu: &Criu) {
    let host = TestHost::new();
    let (scene, ()) = Scene::new(criu, &host, |_| ());
    let script = host.dir().with_file_name("crowd.py");
    fs::write(&script, CROWD).expect("a new file");
    let crowd = Holder::start(&host, &format!("exec python3 {}", script.display()));
    let (tool, plain) = (scene.tool().under(&LIMITS), scene.tool());
    scene.holder.end();
    let told = run(&tool, &[]);
    assert!(told.code() == 0 && told.stdout.contains("(gone"), "NOT CLEAN: {told}");
    crowd.end();
    plain.assert_finds_nothing();
}

fn endless_metadata(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let images = host.dir().with_file_name("bundle").join("checkpoint");
    fs::create_dir_all(&images).expect("new directories");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    drop(tree);
    let bundle = images.parent().expect("a bundle");
    let many = |item: &str| format!("[{}]", vec![item; 7_000_000 / (item.len() + 1)].join(","));
    let deep = "[".repeat(7_000_000);
    let config = format!(r#"{{"linux":{{"namespaces":{}}},"mounts":{}}}"#, many(r#"{"type":"network"}"#), "[]");
    let texts = [deep, config, format!(r#"{{"mounts":{}}}"#, many("{}")), many("0"), "{\"a\":".repeat(1_400_000)];
    let tool = Tool::new(&host, &images).under(&LIMITS);
    for text in texts {
        for name in ["config.json", "spec.dump", "config.dump", "checkpoint/descriptors.json"] {
            fs::write(bundle.join(name), &text).expect("a file");
        }
        run(&tool, &["--show"]);
    }
    let removed = run(&tool, &[]);
    assert_eq!((removed.code(), tool.difference_to(&before)), (0, NOTHING.map(String::from).to_vec()), "{removed}");
}

/// What a name can be that a script has put together.
fn no_archives(criu: &Criu) {
    let host = TestHost::new();
    dump_with_link(criu, &host, &host.dir().join("data"));
    let place = directory(&host, "archives");
    let script = format!(
        "cd {} && mkfifo fifo fifo.tar && mknod zero.tar c 1 5 && mknod tty c 5 0 && ln -s loop loop && \
         ln -s fifo link.tar.gz && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'",
        place.display()
    );
    host.run("sh", &[&"-c", &script]);
    let tool = Tool::new(&host, &images_of(&host)).under(&LIMITS);
    for name in ["fifo", "fifo.tar", "zero.tar", "tty", "loop", "link.tar.gz", "socket"] {
        let name = place.join(name).display().to_string();
        for arguments in [&["--show", &name][..], &["--log-file", &name], &[&name]] {
            run(&tool, arguments);
        }
    }
    let images = images_of(&host);
    // In the place of images they are refused as well, and none of it is called clean.
    for name in ["fifo", "socket"] {
        fs::rename(images.join("files.img"), images.join("aside")).expect("an image");
        host.run("cp", &[&"-a", &place.join(name), &images.join("files.img")]);
        let told = run(&tool, &["--show", "--exit-code"]);
        assert!(told.code() != 0 && !told.stdout.contains("Nothing is left"), "GOT: clean: {told}");
        fs::rename(images.join("aside"), images.join("files.img")).expect("an image");
    }
}

fn stuck_archive(criu: &Criu) {
    let host = TestHost::new();
    dump_with_link(criu, &host, &host.dir().join("data"));
    let place = directory(&host, "archives");
    host.run("tar", &[&"-C", &images_of(&host), &"-cf", &place.join("dump.tar"), &"."]);
    let (server, control) = serve(&host, &place);
    let tool = Tool::new(&host, &place.join("dump.tar")).under(&LIMITS);
    fs::write(&control, "slow").expect("a file");
    let shown = run(&tool, &["--show"]);
    assert!(shown.stdout.contains("to be removed)"), "a slow one is not read: {shown}");
    fs::write(&control, "mute").expect("a file");
    for arguments in [&["--show"][..], &[]] {
        let told = run(&tool, arguments);
        assert!(told.code() == 2 && told.stderr.contains("does not answer"), "GOT: {told}");
    }
    assert!(has_link(host.dir()));
    server.end();
    host.run("umount", &[&"--lazy", &place]);
    assert_cleans(&tool, || has_link(host.dir()));
}

/// Serves the directory to the host itself; the manner is in the file.
fn serve<'a>(host: &'a TestHost, place: &Path) -> (Holder<'a>, PathBuf) {
    const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privileged/served.py");
    let control = host.dir().with_file_name("control");
    fs::write(&control, "").expect("a new file");
    let words = format!("exec python3 {SERVER} {0} {0} {1}", place.display(), control.display());
    let server = Holder::start_until(host, &words, Path::new("/"));
    let table = host.path("/proc/1/mounts");
    let is_served = || fs::read_to_string(&table).expect("a table").contains("fuse.served");
    wait_until(|| is_served().then_some(())).expect("void: nothing is served");
    (server, control)
}

/// An automount of the host, whose daemon notes what it is asked for and does nothing. It is mounted at once.
fn start_automounter<'a>(host: &'a TestHost, place: &Path) -> (Holder<'a>, PathBuf) {
    const SCRIPT: &str = "
import ctypes, os, sys
os.setpgid(0, 0)
libc = ctypes.CDLL(None, use_errno=True)
reading, writing = os.pipe()
options = f'fd={writing},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct'
if libc.mount(b'auto', sys.argv[1].encode(), b'autofs', 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
open(sys.argv[2] + '.ready', 'w')
libc.prctl(15, b'holds', 0, 0, 0)
os.read(reading, 1)
open(sys.argv[2], 'w')
os.read(reading, 1 << 20)
import time
time.sleep(1000)
";
    let (script, asked) = (host.dir().with_file_name("auto.py"), host.dir().with_file_name("asked"));
    fs::write(&script, SCRIPT).expect("a new file");
    let words = format!("exec python3 {} {} {}", script.display(), place.display(), asked.display());
    (Holder::start_until(host, &words, &asked.with_extension("ready")), asked)
}

/// Each host with systemd has one, and some have each user's home.
fn automount(criu: &Criu) {
    let host = TestHost::new();
    let place = directory(&host, "auto");
    let (tree, before) = start_tree_of_all(&host);
    let (daemon, asked) = start_automounter(&host, &place);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    drop(tree);
    assert!(!asked.exists(), "void: others have set it off");
    let tool = Tool::new(&host, &images_of(&host)).under(&LIMITS);
    for arguments in [&["--show"][..], &[]] {
        let told = run(&tool, arguments);
        assert_eq!(told.code(), 0, "NOT CLEANED: {told}");
        assert!(!asked.exists(), "GOT: it sets an automount off: {told}");
    }
    daemon.end();
    host.run("umount", &[&"--lazy", &place]);
    assert_eq!(tool.difference_to(&before), NOTHING);
}

/// The filesystem of the link has been unmounted since, as an automounter does after a while.
fn behind_automount(criu: &Criu) {
    let host = TestHost::new();
    let place = directory(&host, "auto");
    let tree = host.start_workload(&[&"deleted", &place.join("data")]);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    assert!(has_link(&place), "void");
    let (daemon, _) = start_automounter(&host, &place);
    let tool = Tool::new(&host, &images_of(&host)).under(&LIMITS);
    let start = Instant::now();
    assert_not_called_clean(&tool, || true);
    assert!(start.elapsed() < Duration::from_secs(60), "GOT: it takes {:?}", start.elapsed());
    daemon.end();
    host.run("umount", &[&"--lazy", &place]);
    assert_cleans(&tool, || has_link(&place));
}
