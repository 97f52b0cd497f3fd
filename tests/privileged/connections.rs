// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Locked connections: what a dump of a tree in the host's own network leaves for each of its TCP sockets.

use std::net::SocketAddr;

use testkit::{Connection, Criu, DumpOptions, IptablesFlavour, LockMethod, Snapshot, TestHost, Workload};

use crate::case::{Case, Cases};
use crate::filters::{Filters, tables};
use crate::tool::Tool;
use crate::traffic::{Net, Outside, Peer};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "the iptables rules of every kind of TCP socket are shown and removed", test: every_kind },
    Case { name: "the nftables lock of every kind of TCP socket is shown and removed", test: every_kind_in_a_table },
    Case { name: "rules that are there twice are removed both times", test: doubled },
    Case { name: "one rule that is left of a pair is removed", test: half_a_pair },
    Case { name: "rules are removed from the iptables that CRIU did not use as well", test: in_both_backends },
    Case { name: "rules are removed from an iptables that CRIU did not use", test: in_the_other_backend },
    Case { name: "the peer of a connection is reset after the removal of its rules", test: peer_behind_rules },
    Case { name: "the peer of a connection is reset after the removal of its table", test: peer_behind_table },
]));

/// Both ends are in the tree.
const SOCKETS: [(&str, &str); 4] = [
    ("listen-connect", "127.0.0.1:0"),
    ("listen-connect", "[::1]:0"),
    ("listen-connect", "[::ffff:127.0.0.1]:0"),
    ("half-closed", "127.0.0.1:0"),
];

/// A host with a tree that has a socket of every kind that CRIU locks, one of them connected to the peer.
fn start_tree(host: &TestHost) -> (Workload, Peer) {
    let outside = Outside::listen(&Net::of_host(host), "127.0.0.1:0");
    let address = outside.address();
    let mut words: Vec<&str> = SOCKETS.iter().flat_map(|(keyword, address)| [*keyword, *address]).collect();
    words.extend(["listen", "127.0.0.1:0", "connect", &address]);
    let words: Vec<testkit::Word<'_>> = words.iter().map(|word| word as testkit::Word<'_>).collect();
    let tree = host.start_workload(&words);
    (tree, outside.accept())
}

/// The lines that the tree's connections must have: one for each socket of it, in any order.
fn expected(tree: &Workload, fate: impl Fn(bool) -> String) -> Vec<String> {
    let connections = tree.connections();
    let (to_peer, own) = connections.split_last().expect("connections");
    let lines = both_ends(own).chain([(to_peer.local, to_peer.peer)]).map(|(from, to)| {
        let is_ipv4 = from.ip().to_canonical().is_ipv4();
        format!("{} ({}; to be removed)", line_of_2016(from, to), fate(is_ipv4))
    });
    sorted(lines)
}

fn both_ends(connections: &[Connection]) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
    connections.iter().flat_map(|each| [(each.local, each.peer), (each.peer, each.local)])
}

/// IPv6 addresses had no brackets.
fn line_of_2016(from: SocketAddr, to: SocketAddr) -> String {
    let [from, to] = [from, to].map(|end| format!("{}:{}", end.ip(), end.port()));
    format!("Locked tcp connection: {from} -> {to}")
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn connections_of(lines: &[String]) -> Vec<String> {
    sorted(lines.iter().filter(|line| line.starts_with("Locked tcp connection: ")).cloned())
}

fn every_kind(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let filters = Filters::of_host(&host, flavour);
        let (tree, _peer) = start_tree(&host);
        let images = host.dir().with_file_name("images");
        let tool = Tool::new(&host, &images);
        let before = tool.snapshot();
        criu.dump(&host, &tree, &images, &DumpOptions { flavour, ..DumpOptions::default() });
        assert_eq!((filters.drops("iptables").len(), filters.drops("ip6tables").len()), (14, 4));
        let lines = tool.assert_removes_everything_since(&before);
        let fate = |is_ipv4| match is_ipv4 {
            true => format!("2 rules of {}", filters.command("iptables")),
            false => format!("2 rules of {}", filters.command("ip6tables")),
        };
        assert_eq!(connections_of(&lines), expected(&tree, fate));
        assert_eq!(lines.last().map(String::as_str), Some("9 objects: 9 to be removed."));
    }
}

fn every_kind_in_a_table(criu: &Criu) {
    let host = TestHost::new();
    let (tree, _peer) = start_tree(&host);
    let images = host.dir().with_file_name("images");
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() });
    let names = tables(&host, None);
    let [name] = &names[..] else { panic!("void: {names:?}") };
    let lines = tool.assert_removes_everything_since(&before);
    assert_eq!(connections_of(&lines), expected(&tree, |_| "by the network lock table".to_owned()));
    // Both ends of a connection share the elements: the four of the tree's own, and that to the peer.
    let table = format!("Network lock table: inet {name} -> ");
    let is_table = |line: &&String| line.starts_with(&table) && line.ends_with(" (drops 10 flows; to be removed)");
    assert_eq!(lines.iter().filter(is_table).count(), 1, "{lines:#?}");
}

/// Dumps a tree with connections of IPv4 and IPv6, changes its rules, and has all of them removed.
fn assert_removes_changed_rules(criu: &Criu, flavour: IptablesFlavour, change: impl Fn(&Filters<'_>, &Filters<'_>)) {
    let host = TestHost::new();
    let other = IptablesFlavour::ALL.into_iter().find(|other| *other != flavour).expect("two flavours");
    let (filters, others) = (Filters::of_host(&host, flavour), Filters::of_host(&host, other));
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0", &"listen-connect", &"[::1]:0"]);
    let images = host.dir().with_file_name("images");
    let tool = Tool::new(&host, &images);
    let before: Snapshot = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions { flavour, ..DumpOptions::default() });
    assert_eq!((filters.drops("iptables").len(), filters.drops("ip6tables").len()), (4, 4), "void");
    change(&filters, &others);
    let lines = tool.assert_removes_everything_since(&before);
    let head = |line: String| line.split(" (").next().map(str::to_owned).expect("a line");
    let heads: Vec<String> = connections_of(&lines).into_iter().map(head).collect();
    assert_eq!(heads, sorted(both_ends(&tree.connections()).map(|(from, to)| line_of_2016(from, to))));
}

const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];

fn doubled(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        assert_removes_changed_rules(criu, flavour, |filters, _| {
            for program in PROGRAMS {
                filters.drops(program).iter().for_each(|rule| filters.insert(program, rule));
                assert_eq!(filters.drops(program).len(), 8);
            }
        });
    }
}

fn half_a_pair(criu: &Criu) {
    for (flavour, gone) in [(IptablesFlavour::Nft, "-A INPUT"), (IptablesFlavour::Legacy, "-A OUTPUT")] {
        assert_removes_changed_rules(criu, flavour, |filters, _| {
            for program in PROGRAMS {
                let rules = filters.drops(program);
                rules.iter().filter(|rule| rule.starts_with(gone)).for_each(|rule| filters.delete(program, rule));
                assert_eq!(filters.drops(program).len(), 2);
            }
        });
    }
}

fn in_both_backends(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        assert_removes_changed_rules(criu, flavour, |filters, others| {
            for program in PROGRAMS {
                filters.drops(program).iter().for_each(|rule| others.insert(program, rule));
            }
        });
    }
}

fn in_the_other_backend(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        assert_removes_changed_rules(criu, flavour, |filters, others| {
            for program in PROGRAMS {
                for rule in filters.drops(program) {
                    others.insert(program, &rule);
                    filters.delete(program, &rule);
                }
                assert_eq!((filters.drops(program).len(), others.drops(program).len()), (0, 4));
            }
        });
    }
}

fn peer_behind_rules(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        assert_peer_is_cut_off_until_removal(criu, &DumpOptions { flavour, ..DumpOptions::default() });
    }
}

fn peer_behind_table(criu: &Criu) {
    assert_peer_is_cut_off_until_removal(criu, &DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() });
}

/// While the lock is on, nobody answers the peer; when it is off, the kernel says that the connection is no more. The
/// peer is behind a device: the table would stop its packets before they have left it otherwise.
fn assert_peer_is_cut_off_until_removal(criu: &Criu, options: &DumpOptions) {
    let host = TestHost::new();
    let elsewhere = host.make_net_namespace("elsewhere");
    host.connect(&elsewhere, "10.9.0.1/24", "10.9.0.2/24");
    let outside = Outside::listen(&Net::at(&host, &elsewhere.path()), "10.9.0.2:0");
    let tree = host.start_workload(&[&"connect", &outside.address()]);
    let mut peer = outside.accept();
    let images = host.dir().with_file_name("images");
    criu.dump(&host, &tree, &images, options);
    peer.send();
    peer.assert_gets_no_answer();
    let tool = Tool::new(&host, &images);
    assert_eq!(connections_of(&tool.show()).len(), 1);
    peer.assert_gets_no_answer();
    assert_eq!(tool.run(&[]).code(), 0);
    peer.assert_reset();
    tool.assert_finds_nothing();
}
