// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looking changes nothing, not even in the kernel; and what cannot be looked at is never said to be clean.

use std::path::PathBuf;

use testkit::{Criu, DumpOptions, IptablesFlavour, Launch, LockMethod, Network, TestHost};

use crate::case::{Case, Cases};
use crate::filters::{Filters, make_tables};
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "neither looking nor removing makes a legacy table", test: makes_no_table },
    Case { name: "neither nft nor iptables-nft is needed to remove what they made", test: without_nft },
    Case { name: "without legacy rules nobody needs the legacy programs", test: without_programs },
    Case { name: "legacy rules that cannot be read are said, and the status is 1", test: unreadable },
    Case { name: "what is known is removed beside legacy rules that cannot be read", test: partly_unreadable },
    Case { name: "a closed namespace whose legacy rules cannot be read is not clean", test: unreadable_chain },
]));

fn images(host: &TestHost) -> PathBuf {
    host.dir().with_file_name("images")
}

fn legacy() -> DumpOptions {
    DumpOptions { flavour: IptablesFlavour::Legacy, ..DumpOptions::default() }
}

/// The legacy tables of the host and of the namespace. There is no list where the kernel has no legacy iptables.
fn legacy_tables(host: &TestHost) -> String {
    let cat = "cat /proc/self/net/ip_tables_names /proc/self/net/ip6_tables_names";
    let script = format!("{cat}; nsenter --net=/run/netns/blue {cat}; true");
    host.run("sh", &[&"-c", &script]).stdout
}

fn makes_no_table(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        for is_closed in [false, true] {
            let host = TestHost::new();
            let blue = host.make_net_namespace("blue");
            let none = legacy_tables(&host);
            assert_eq!(none, "", "void");
            let network = if is_closed { Network::Named(blue.clone()) } else { Network::Host };
            let tree = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).network(network).start(&host);
            criu.dump(&host, &tree, &images(&host), &DumpOptions { lock, ..DumpOptions::default() });
            assert_eq!(legacy_tables(&host), none, "void: the dump made a table");
            let path = if is_closed { blue.path() } else { PathBuf::from("/proc/self/ns/net") };
            let tool = Tool::new(&host, &images(&host)).option("--netns", path);
            assert!(tool.show().iter().any(|line| line.ends_with("; to be removed)")), "{:#?}", tool.show());
            assert_eq!(legacy_tables(&host), none);
            let removed = tool.run(&[]);
            assert_eq!((removed.code(), legacy_tables(&host)), (0, none), "{removed}");
            assert!(removed.stdout.contains("; removed)"), "{removed}");
        }
    }
}

/// All names of the legacy programs lead to the first of these.
const LEGACY: &str = "/usr/sbin/xtables-legacy-multi";
const OTHERS: [&str; 2] = ["/usr/sbin/xtables-nft-multi", "/usr/sbin/nft"];

/// A program out of reach of the host, until this goes out of scope.
struct Hidden<'a> {
    host: &'a TestHost,
    program: &'static str,
}

impl<'a> Hidden<'a> {
    /// What is no file is not found; what is an empty one cannot be run.
    fn behind(host: &'a TestHost, program: &'static str, file: &str) -> Self {
        host.run("mount", &[&"--bind", &file, &program]);
        Hidden { host, program }
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        self.host.run("umount", &[&self.program]);
    }
}

fn without_nft(criu: &Criu) {
    for (lock, is_closed) in
        [(LockMethod::Iptables, false), (LockMethod::Iptables, true), (LockMethod::Nftables, false)]
    {
        let host = TestHost::new();
        let blue = host.make_net_namespace("blue");
        let path = if is_closed { blue.path() } else { PathBuf::from("/proc/self/ns/net") };
        make_tables(&host, None, IptablesFlavour::Nft);
        make_tables(&host, Some(&blue.path()), IptablesFlavour::Nft);
        let tool = Tool::new(&host, &images(&host)).option("--netns", path);
        let before = tool.snapshot();
        let network = if is_closed { Network::Named(blue) } else { Network::Host };
        let tree = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).network(network).start(&host);
        criu.dump(&host, &tree, &images(&host), &DumpOptions { lock, ..DumpOptions::default() });
        assert_ne!(tool.difference_to(&before), NOTHING, "void");
        let hidden = OTHERS.map(|program| Hidden::behind(&host, program, "/dev/null"));
        let removed = tool.run(&[]);
        drop(hidden);
        assert_eq!((removed.code(), tool.difference_to(&before)), (0, NOTHING.map(String::from).to_vec()), "{removed}");
    }
}

fn without_programs(criu: &Criu) {
    let host = TestHost::new();
    let _hidden = Hidden::behind(&host, LEGACY, "/dev/null");
    make_tables(&host, None, IptablesFlavour::Nft);
    let tool = Tool::new(&host, &images(&host));
    let before = tool.snapshot();
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0", &"listen-connect", &"[::1]:0"]);
    criu.dump(&host, &tree, &images(&host), &DumpOptions::default());
    let lines = tool.assert_removes_everything_since(&before);
    let of = |program: &str| lines.iter().filter(|line| line.contains(&format!("(2 rules of {program}-nft; "))).count();
    assert_eq!((of("iptables"), of("ip6tables")), (2, 2), "{lines:#?}");
}

fn unreadable(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Legacy);
    let tool = Tool::new(&host, &images(&host));
    let before = tool.snapshot();
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    criu.dump(&host, &tree, &images(&host), &legacy());
    let dumped = tool.snapshot();
    host.run("touch", &[&"/run/empty"]);
    for (file, what) in
        [("/dev/null", "iptables-legacy-save is not installed"), ("/run/empty", "cannot run iptables-legacy-save")]
    {
        let hidden = Hidden::behind(&host, LEGACY, file);
        let (shown, removed) = (tool.run(&["--show", "--exit-code"]), tool.run(&[]));
        drop(hidden);
        for run in [&shown, &removed] {
            assert_eq!(run.code(), 1, "{run}");
            let said =
                |start: &str, text: &str| run.stdout.lines().any(|line| line.starts_with(start) && line.contains(text));
            assert!(said("Locked tcp connection: ", "(not known: "), "{run}");
            assert!(said("Not known: cannot look at the legacy iptables rules in ", what), "{run}");
            assert!(!run.stdout.contains("Nothing is left"), "{run}");
        }
        assert_eq!(tool.difference_to(&dumped), NOTHING);
    }
    tool.assert_removes_everything_since(&before);
}

/// Somebody's legacy rules may hold CRIU's as well: even when all that is known is gone, it is not said to be clean.
fn partly_unreadable(criu: &Criu) {
    let host = TestHost::new();
    let filters = Filters::of_host(&host, IptablesFlavour::Nft);
    Filters::of_host(&host, IptablesFlavour::Legacy).run("iptables", "-A INPUT -p icmp -j ACCEPT");
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    criu.dump(&host, &tree, &images(&host), &DumpOptions::default());
    assert_eq!(filters.drops("iptables").len(), 4, "void");
    let tool = Tool::new(&host, &images(&host));
    let hidden = Hidden::behind(&host, LEGACY, "/dev/null");
    let (removed, again) = (tool.run(&[]), tool.run(&[]));
    drop(hidden);
    assert_eq!(filters.drops("iptables"), NOTHING, "{removed}");
    for run in [removed, again] {
        assert_eq!(run.code(), 1, "{run}");
        assert!(run.stdout.contains("Not known: cannot look at the legacy iptables rules in "), "{run}");
        assert!(!run.stdout.contains("Nothing is left"), "{run}");
    }
    tool.assert_finds_nothing();
}

fn unreadable_chain(criu: &Criu) {
    let host = TestHost::new();
    let blue = host.make_net_namespace("blue");
    let path = blue.path();
    make_tables(&host, None, IptablesFlavour::Legacy);
    make_tables(&host, Some(&path), IptablesFlavour::Legacy);
    let tool = Tool::new(&host, &images(&host)).option("--netns", &path);
    let before = tool.snapshot();
    let tree = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]).network(Network::Named(blue)).start(&host);
    criu.dump(&host, &tree, &images(&host), &legacy());
    let hidden = Hidden::behind(&host, LEGACY, "/dev/null");
    let removed = tool.run(&[]);
    drop(hidden);
    assert_eq!(removed.code(), 1, "{removed}");
    assert!(
        removed.stdout.contains("Not known: cannot look at the legacy iptables rules in /run/netns/blue: "),
        "{removed}"
    );
    assert!(!removed.stdout.contains("Nothing is left"), "{removed}");
    tool.assert_removes_everything_since(&before);
}
