// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies where no process leads to: namespaces that only a mount elsewhere, a descriptor or a thread keeps, and
//! mount namespaces whose processes do not see all of them. It is found; and what cannot be looked at is not gone.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{
    Access, CommandExt, Container, Criu, DumpOptions, Launch, LockMethod, NetNamespace, Network, Snapshot, TestHost,
    wait_until,
};

use crate::attack::{Holder, assert_not_called_clean};
use crate::case::{Case, Cases};
use crate::container_links::mount_tmpfs;
use crate::filters::tables;
use crate::places::{images_of, make_directory};
use crate::tool::{Tool, binary};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a table in a namespace that only a mount elsewhere keeps is removed", test: mounted_elsewhere },
    Case { name: "a table in a namespace that only a descriptor keeps is removed", test: held_open },
    Case { name: "a table in a namespace that only a socket keeps is not known until the socket ends", test: socket },
    Case { name: "sockets in namespaces that are known hide nothing", test: known_sockets },
    Case { name: "a socket in an unknown namespace does not matter to a dump that locked nothing", test: no_lock },
    Case { name: "a link on a tmpfs is found although the first process of its namespace is chrooted", test: chrooted },
    Case { name: "a link on a tmpfs that may be where a user cannot look is not known", test: of_a_user },
    Case { name: "a link on a tmpfs is found although a descriptor in flight keeps its namespace", test: in_flight },
]));

/// A dump whose table is in a namespace that has a name.
fn dump_closed(criu: &Criu, host: &TestHost) -> (NetNamespace, Snapshot) {
    let namespace = host.make_net_namespace("blue");
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(namespace.clone())).start(host);
    let before = Tool::on(host).snapshot();
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(host, &tree, &images_of(host), &options);
    assert_eq!(tables(host, Some(&namespace.path())).len(), 1, "void");
    (namespace, before)
}

/// Runs a script that goes on in the background, and gives the pid that it prints.
fn start_in_background(host: &TestHost, script: &str) -> String {
    host.command("bash").args(["-c", script]).succeed().stdout.trim().to_owned()
}

/// The namespace loses its name; what else keeps it shows the table, and then no more.
fn assert_removed_without_name(host: &TestHost, place: &Path) {
    host.run("ip", &[&"netns", &"delete", &"blue"]);
    assert_eq!(tables(host, Some(place)).len(), 1, "void: nothing keeps the namespace");
    let tool = Tool::on(host);
    assert!(tool.show()[0].ends_with("to be removed)"), "{:#?}", tool.show());
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), tables(host, Some(place)).len()), (0, 0), "{removed}");
    tool.assert_finds_nothing();
}

/// Nothing below `/proc` shows a descriptor between two sockets. The kernel's own list of mount namespaces does, to
/// whoever is in the machine's first pid namespace.
fn in_flight(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").tmpfs("/dev/shm".as_ref());
    let tree = Launch::new(&[&"semaphore", &"name"]).container(&container).start(&host);
    let holder = Holder::go(&host, &format!("fly /proc/{}/ns/mnt", tree.pid()));
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    drop(tree);
    let shown = std::process::Command::new(binary()).arg("-D").arg(images_of(&host)).arg("--show").finish();
    if lists_all_mount_namespaces() {
        assert!(shown.stdout.contains("link_remap.") && !shown.stdout.contains("(gone"), "{shown}");
        assert!(shown.stdout.contains("mnt:["), "{shown}");
    }
    holder.end();
    // From the machine's own namespaces the answer depends on what its process 1 lets be seen.
    Tool::on(&host).assert_finds_nothing();
}

/// Whether this machine's kernel can (Linux 6.12), and this is its first pid namespace.
fn lists_all_mount_namespaces() -> bool {
    let is_first = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]");
    is_first && criu_gc_sys::mount_namespaces().is_ok()
}

fn mounted_elsewhere(criu: &Criu) {
    let host = TestHost::new();
    dump_closed(criu, &host);
    let place = make_directory(&host, "elsewhere").join("net");
    let script = format!(
        "touch {0}; unshare --mount --propagation private sh -c 'mount --bind /run/netns/blue {0}; \
         exec sleep 1000' >/dev/null 2>&1 & echo $!",
        place.display()
    );
    let pid = start_in_background(&host, &script);
    let seen = PathBuf::from(format!("/proc/{pid}/root{}", place.display()));
    wait_until(|| is_sleeping(&host, &pid).then_some(())).expect("a copy of the mounts");
    // Those mounts of the host that the copy has keep the name, too.
    host.run("nsenter", &[&"--target", &pid, &"--mount", &"umount", &"/run/netns/blue"]);
    assert_removed_without_name(&host, &seen);
}

fn held_open(criu: &Criu) {
    let host = TestHost::new();
    dump_closed(criu, &host);
    let script = "nsenter --net=/run/netns/blue sleep 1000 >/dev/null 2>&1 & inside=$!; \
        until [ $(stat -Lc %i /proc/$inside/ns/net) = $(stat -Lc %i /run/netns/blue) ]; do :; done; \
        bash -c 'exec 9</proc/'$inside'/ns/net; exec sleep 1000' >/dev/null 2>&1 & holder=$!; \
        until [ -e /proc/$holder/fd/9 ]; do :; done; kill $inside; echo $holder";
    let pid = start_in_background(&host, script);
    assert_removed_without_name(&host, format!("/proc/{pid}/fd/9").as_ref());
}

/// A process that made a socket in the namespace of the tree and left it again. The socket is bound to nothing: it is in
/// no list of the kernel's.
fn make_socket<'a>(host: &'a TestHost, namespace: &str) -> Holder<'a> {
    Holder::go(host, &format!("enter {namespace} socket enter /proc/1/ns/net"))
}

fn socket(criu: &Criu) {
    let host = TestHost::new();
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Own).start(&host);
    let holder = make_socket(&host, &format!("/proc/{}/ns/net", tree.pid()));
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let tool = Tool::on(&host);
    assert_not_called_clean(&tool, || true);
    let shown = tool.run(&["--show"]);
    let holds = format!("only a socket of process {} (holds)", holder.pid);
    assert!(shown.stdout.contains(&holds), "{shown}");
    holder.end();
    // A namespace is taken down a moment after its last user.
    wait_until(|| (tool.run(&["--show", "--exit-code"]).code() == 0).then_some(())).expect("a clean host");
    tool.assert_finds_nothing();
}

/// Sockets that are bound to nothing, of the host's namespace and of one with a name, beside a lock that is removed.
fn known_sockets(criu: &Criu) {
    let host = TestHost::new();
    let red = host.make_net_namespace("red");
    make_socket(&host, "/proc/1/ns/net");
    make_socket(&host, &red.path().display().to_string());
    let (_, before) = dump_closed(criu, &host);
    let tool = Tool::on(&host);
    tool.assert_removes_everything_since(&before);
    tool.assert_finds_nothing();
}

fn no_lock(criu: &Criu) {
    let host = TestHost::new();
    let blue = host.make_net_namespace("blue");
    make_socket(&host, &blue.path().display().to_string());
    host.run("ip", &[&"netns", &"delete", &"blue"]);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let tool = Tool::on(&host);
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    tool.assert_finds_nothing();
}

fn is_sleeping(host: &TestHost, pid: &str) -> bool {
    fs::read_to_string(host.path(format!("/proc/{pid}/comm"))).is_ok_and(|name| name == "sleep\n")
}

/// A dump of a tree with a tmpfs as its volume, which then only another mount namespace shows.
struct Volume<'a> {
    host: &'a TestHost,
    place: PathBuf,
    /// The process that is in the namespace.
    holder: String,
}

impl<'a> Volume<'a> {
    /// `enter` starts what keeps the copy of the host's mounts, and prints the pid of a process in it.
    fn dump(criu: &Criu, host: &'a TestHost, enter: &str) -> Self {
        let place = make_directory(host, "volume");
        mount_tmpfs(host, &place);
        let container = Container::new(host, "root").bind(&place, "/data".as_ref(), Access::ReadWrite);
        let tree = Launch::new(&[&"deleted", &"/data/one"]).container(&container).start(host);
        let holder = start_in_background(host, enter);
        wait_until(|| is_sleeping(host, &holder).then_some(())).expect("a process in a copy of the mounts");
        criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
        host.run("umount", &[&place]);
        Volume { host, place, holder }
    }

    fn links(&self, root: &str) -> usize {
        let volume = self.host.path(format!("{root}{}", self.place.display()));
        let names = fs::read_dir(volume).expect("the volume").flatten();
        names.filter(|name| name.file_name().to_string_lossy().starts_with("link_remap.")).count()
    }
}

const COPY: &str = "unshare --mount --propagation private sleep 1000 >/dev/null 2>&1 & echo $!";

/// The table of mounts that a chrooted process shows begins at its root.
fn chrooted(criu: &Criu) {
    let host = TestHost::new();
    let jail = make_directory(&host, "jail");
    let busybox = jail.join("busybox");
    fs::copy("/usr/bin/busybox", &busybox).expect("busybox");
    let script = format!(
        "unshare --mount --propagation private chroot {} /busybox sleep 1000 >/dev/null 2>&1 & first=$!; \
         until [ \"$(readlink /proc/$first/exe)\" = {} ]; do :; done; \
         nsenter --target $first --mount sleep 1000 >/dev/null 2>&1 & echo $!",
        jail.display(),
        busybox.display()
    );
    let volume = Volume::dump(criu, &host, &script);
    let root = format!("/proc/{}/root", volume.holder);
    assert_eq!(volume.links(&root), 1, "void");
    let tool = Tool::on(&host);
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), volume.links(&root)), (0, 0), "{removed}");
    tool.assert_finds_nothing();
}

fn of_a_user(criu: &Criu) {
    let host = TestHost::new();
    let volume = Volume::dump(criu, &host, COPY);
    let tool = Tool::on(&host);
    let as_user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let shown = Tool::on(&host).under(&as_user).run(&["--show", "--exit-code"]);
    assert!(shown.code() == 1 && shown.stdout.contains("may still exist where criu-gc cannot look"), "{shown}");
    assert!(!shown.stdout.contains("Nothing is left"), "{shown}");
    let removed = tool.run(&[]);
    assert_eq!((removed.code(), volume.links(&format!("/proc/{}/root", volume.holder))), (0, 0), "{removed}");
    tool.assert_finds_nothing();
}
