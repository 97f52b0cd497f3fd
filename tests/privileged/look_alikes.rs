// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules that differ from CRIU's in one thing: they are somebody else's.

use testkit::{Criu, DumpOptions, IptablesFlavour, TestHost};

use crate::case::{Case, Cases};
use crate::filters::Filters;
use crate::tool::Tool;
use crate::traffic::{Net, Outside};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "rules that differ from CRIU's in one thing survive, with order and counters", test: survive },
    Case { name: "rules of connections that are not in the images survive", test: of_other_connections },
]));

/// What is different in a rule of CRIU's for a connection of IPv4 or IPv6: a part of it, and what stands there instead.
const DIFFERENCES: [(&str, &str); 21] = [
    ("-j DROP", "-j ACCEPT"),
    ("-j DROP", "-j REJECT"),
    ("-j DROP", "-j mine"),
    ("-j DROP", "-m comment --comment mine -j DROP"),
    ("-j DROP", "-m comment --comment \"-j DROP\" -j DROP"),
    ("-m mark ! --mark 0xc114 ", ""),
    ("-m mark ! --mark", "-m mark --mark"),
    ("0xc114", "0xc115"),
    ("0xc114", "0xc114/0xffff"),
    ("-p tcp -m mark", "-i lo -p tcp -m mark"),
    ("-A INPUT", "-A OUTPUT"),
    ("-A INPUT", "-A FORWARD"),
    ("-A INPUT", "-A mine"),
    ("--sport PORT", "--sport PORT:65535"),
    ("--sport PORT", "! --sport PORT"),
    ("--sport PORT ", ""),
    ("-p tcp -m mark ! --mark 0xc114 -m tcp", "-p udp -m mark ! --mark 0xc114 -m udp"),
    ("-m tcp", "-m tcp --tcp-flags SYN SYN"),
    ("-s ", "! -s "),
    ("-s ADDRESS", "-s NETWORK"),
    ("-d ADDRESS ", ""),
];

/// Both rules of a connection of IPv4 and of one of IPv6 are removed; everything else stays where it is.
fn survive(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let filters = Filters::of_host(&host, flavour);
        let (v4, v6) =
            (Outside::listen(&Net::of_host(&host), "127.0.0.1:0"), Outside::listen(&Net::of_host(&host), "[::1]:0"));
        let tree = host.start_workload(&[&"connect", &v4.address(), &"connect", &v6.address()]);
        let _peers = (v4.accept(), v6.accept());
        let images = host.dir().with_file_name("images");
        criu.dump(&host, &tree, &images, &DumpOptions { flavour, ..DumpOptions::default() });
        let left = ["iptables", "ip6tables"].map(|program| plant(&filters, program));
        let removed = Tool::new(&host, &images).run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert_eq!(["iptables", "ip6tables"].map(|program| filters.lines(program)), left);
        Tool::new(&host, &images).assert_finds_nothing();
    }
}

/// Plants look-alikes before and behind CRIU's two rules; gives what has to be left of everything.
fn plant(filters: &Filters<'_>, program: &str) -> Vec<String> {
    let rules = filters.drops(program);
    let [input, _output] = &rules[..] else { panic!("void: {rules:?}") };
    let alike: Vec<String> = DIFFERENCES.iter().map(|difference| different(input, *difference)).collect();
    filters.add(program, &[":mine - [0:0]".to_owned()]);
    for verb in ["-A", "-I"] {
        let rules =
            alike.iter().enumerate().map(|(at, rule)| format!("[{at}:{}] {}", 100 + at, rule.replacen("-A", verb, 1)));
        filters.add(program, &rules.collect::<Vec<_>>());
    }
    let all = filters.lines(program);
    let is_left =
        |line: &String| !rules.iter().any(|rule| line.ends_with(rule) && line.starts_with(&format!("[0:0] {rule}")));
    let left: Vec<String> = all.iter().filter(|line| is_left(line)).cloned().collect();
    assert_eq!((all.len() - left.len(), left.len()), (2, 2 * DIFFERENCES.len() + 6), "{all:#?}");
    left
}

/// The rule with another part. `PORT` and `ADDRESS` are those of the rule; `NETWORK` is the smallest with the address.
fn different(rule: &str, (part, other): (&str, &str)) -> String {
    let word = |after: &str| rule.split_whitespace().skip_while(|word| *word != after).nth(1).expect("a word");
    let address = if part.starts_with("-d") { word("-d") } else { word("-s") };
    let network = address.replace("/32", "/31").replace("/128", "/127");
    let fill =
        |text: &str| text.replace("PORT", word("--sport")).replace("ADDRESS", address).replace("NETWORK", &network);
    let different = rule.replacen(&fill(part), &fill(other), 1);
    assert_ne!(different, rule, "{part}");
    different
}

/// The rules of another dump differ in the numbers only.
fn of_other_connections(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let filters = Filters::of_host(&host, flavour);
        let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0", &"listen-connect", &"[::1]:0"]);
        let images = host.dir().with_file_name("images");
        let connections = tree.connections();
        let others = ["iptables", "ip6tables"].map(|program| (program, of_others(&connections, program)));
        others.iter().for_each(|(program, rules)| filters.add(program, rules));
        let tool = Tool::new(&host, &images);
        let before = tool.snapshot();
        criu.dump(&host, &tree, &images, &DumpOptions { flavour, ..DumpOptions::default() });
        assert_eq!(filters.drops("iptables").len() + filters.drops("ip6tables").len(), 8 + 16, "void");
        tool.assert_removes_everything_since(&before);
    }
}

/// Rules of CRIU's shape: each with another port or another address than the tree's connection has.
fn of_others(connections: &[testkit::Connection], program: &str) -> Vec<String> {
    let (connection, other) = match program {
        "iptables" => (connections[0], "127.0.0.2"),
        _ => (connections[1], "::2"),
    };
    let (ip, port, peer) = (connection.local.ip().to_string(), connection.local.port(), connection.peer.port());
    let ends = [
        (other, ip.as_str(), port, peer),
        (ip.as_str(), other, port, peer),
        (ip.as_str(), ip.as_str(), port ^ 1, peer),
        (ip.as_str(), ip.as_str(), port, peer ^ 1),
    ];
    let rules = ends.iter().flat_map(|(from, to, sport, dport)| {
        ["INPUT", "OUTPUT"].map(|chain| {
            format!(
                "[0:0] -A {chain} -s {from} -d {to} -p tcp -m mark ! --mark 0xc114 -m tcp --sport {sport} --dport \
                 {dport} -j DROP"
            )
        })
    });
    rules.collect()
}
