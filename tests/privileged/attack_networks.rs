// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces: kept without a process that shows them (L3), and made anew with the same devices (L1).

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use testkit::{CommandExt, Criu, DumpOptions, IptablesFlavour, Launch, LockMethod, NetNamespace, Network, TestHost};

use crate::attack::{Holder, assert_not_called_clean, raise_loopback};
use crate::case::{Case, Cases};
use crate::filters::make_tables;
use crate::links::images_of;
use crate::pod::LOCKS;
use crate::tool::Tool;
use crate::traffic::Net;

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "attack: a lock whose namespace a mount elsewhere keeps is not gone", test: bound_elsewhere },
    Case { name: "attack: a lock whose namespace only a descriptor keeps is not gone", test: opened },
    Case { name: "attack: a lock whose namespace only a thread has is not gone", test: threaded },
    Case { name: "attack: a namespace made anew with the same devices is another", test: made_anew },
    Case { name: "attack: what cannot be read does not matter to a dump that locked nothing", test: locked_nothing },
]));

/// A tree in a network namespace of its own, which `keep` keeps after the dump; it is given the namespace's path.
fn assert_not_gone<'a>(criu: &Criu, host: &'a TestHost, keep: impl Fn(&Path) -> Kept<'a>) {
    for (number, (lock, flavour)) in LOCKS.into_iter().enumerate() {
        let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Own).start(host);
        raise_loopback(host, &tree);
        let kept = keep(format!("/proc/{}/ns/net", tree.pid()).as_ref());
        let images = host.dir().with_file_name(format!("images.{number}"));
        criu.dump(host, &tree, &images, &DumpOptions { lock, flavour, ..DumpOptions::default() });
        let tool = Tool::new(host, &images);
        let is_locked = || !Net::at(host, &kept.path).lets_packets_pass();
        assert_not_called_clean(&tool, is_locked);
        kept.release(host);
        tool.assert_finds_nothing();
    }
}

/// What keeps a namespace.
struct Kept<'a> {
    holder: Holder<'a>,
    /// The namespace.
    path: PathBuf,
}

impl Kept<'_> {
    fn release(self, _: &TestHost) {
        self.holder.end();
        // Namespaces are taken down a moment after their last user.
        sleep(Duration::from_millis(300));
    }
}

/// As an engine with private mounts, snap, or an engine in a container.
fn bound_elsewhere(criu: &Criu) {
    let host = TestHost::new();
    assert_not_gone(criu, &host, |namespace| {
        let script = format!(
            "exec unshare --mount --propagation private sh -e -c 'mount -t tmpfs own /mnt; touch /mnt/net; \
             mount --bind {} /mnt/net; exec sleep 1000'",
            namespace.display()
        );
        let holder = Holder::start(&host, &script);
        let path = format!("/proc/{}/root/mnt/net", holder.pid).into();
        Kept { holder, path }
    });
}

fn opened(criu: &Criu) {
    let host = TestHost::new();
    assert_not_gone(criu, &host, |namespace| {
        let holder = Holder::go(&host, &format!("open {}", namespace.display()));
        let path = format!("/proc/{}/fd/3", holder.pid).into();
        Kept { holder, path }
    });
}

fn threaded(criu: &Criu) {
    let host = TestHost::new();
    assert_not_gone(criu, &host, |namespace| {
        let holder = Holder::go(&host, &format!("thread enter {}", namespace.display()));
        let own = host.run("readlink", &[&"/proc/self/ns/net"]).stdout;
        let script = format!(
            "for task in /proc/{}/task/*; do [ \"$(readlink $task/ns/net)\" = '{}' ] || echo $task/ns/net; done",
            holder.pid,
            own.trim()
        );
        let path = host.run("sh", &[&"-c", &script]).stdout.trim().into();
        Kept { holder, path }
    });
}

/// A pod with fixed addresses, and the same once more: B's lock is not A's.
fn made_anew(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        make_tables(&host, None, flavour);
        let dump = |images: &str| {
            let blue = make_namespace_with_fixed_device(&host);
            make_tables(&host, Some(&blue.path()), flavour);
            let network = Network::Named(blue);
            let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(network).start(&host);
            let options = DumpOptions { flavour, ..DumpOptions::default() };
            criu.dump(&host, &tree, &host.dir().with_file_name(images), &options);
        };
        dump("one");
        host.run("ip", &[&"netns", &"delete", &"blue"]);
        sleep(Duration::from_millis(1200));
        dump("other");
        let net = Net::at(&host, "/run/netns/blue".as_ref());
        assert!(!net.lets_packets_pass(), "void");
        let removed = Tool::new(&host, &host.dir().with_file_name("one")).run(&[]);
        assert!(!net.lets_packets_pass(), "GOT: the newer dump's lock was opened: {removed}");
        assert!(!removed.stdout.contains("removed)"), "{removed}");
        let removed = Tool::new(&host, &host.dir().with_file_name("other")).run(&[]);
        assert!(removed.code() == 0 && net.lets_packets_pass(), "NOT CLEANED without an option: {removed}");
    }
}

/// A namespace whose device has always the same number, name and addresses.
fn make_namespace_with_fixed_device(host: &TestHost) -> NetNamespace {
    let blue = host.make_net_namespace("blue");
    host.command("ip").args(["link", "delete", "fixed"]).finish();
    let link = "link add fixed type veth peer name eth0 index 7 address 02:00:00:00:00:07 netns blue";
    host.command("ip").args(link.split(' ')).succeed();
    for words in ["address add 10.9.9.2/24 dev eth0", "address add fd00:9::2/64 dev eth0 nodad", "link set eth0 up"] {
        host.command("ip").args(["-n", "blue"]).args(words.split(' ')).succeed();
    }
    host.command("ip").args(["link", "set", "fixed", "up"]).succeed();
    blue
}

/// Another tree's namespaces cannot be read; the dump has a link in the host's own mount namespace, and no lock.
fn locked_nothing(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let other = Holder::start(&host, "exec unshare --net sleep 1000");
    let weak = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    let tool = Tool::new(&host, &images_of(&host)).under(&weak);
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "GOT: not known, though nothing could be there: {removed}");
    assert!(!removed.stderr.contains("as root") && !removed.stdout.contains("as root"), "{removed}");
    tool.assert_finds_nothing();
    other.end();
}
