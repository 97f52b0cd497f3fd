// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules as iptables 1.8.2 to 1.8.7 wrote them into nf_tables: with matches of x_tables instead of comparisons.
//! No such iptables is in Debian any more, so the test speaks to the kernel itself.

use std::path::PathBuf;

use criu_gc::internals::system::netlink::{Messages, NLM_F_ACK, Protocol, Request, Socket, outcome};
use criu_gc::internals::system::netns;
use testkit::{Connection, Criu, DumpOptions, TestHost};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::tool::{Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[Case {
    name: "rules with matches of x_tables, of older versions of iptables-nft, are removed",
    test: removed
}]));

fn removed(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let connections = tree.connections();
    let images = images_of(&host);
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let saved = || host.run("iptables-nft-save", &[]).stdout;
    let rules = |text: &str| -> Vec<String> {
        let mut rules: Vec<_> = text.lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect();
        rules.sort();
        rules
    };
    let native = rules(&saved());
    for chain in ["INPUT", "OUTPUT"] {
        host.run("iptables-nft", &[&"-F", &chain]);
    }
    let namespace = netns::open(&PathBuf::from(format!("/proc/{}/ns/net", host.init()))).unwrap();
    netns::within(&namespace, || connections.iter().for_each(insert_rules)).unwrap();
    assert_eq!(rules(&saved()), native, "iptables takes these rules for other ones");
    tool.assert_removes_everything_since(&before);
}

/// Both ends were dumped, so each has its two rules.
fn insert_rules(connection: &Connection) {
    let (client, server) = (connection.local, connection.peer);
    for (local, peer) in [(client, server), (server, client)] {
        insert("INPUT", peer, local);
        insert("OUTPUT", local, peer);
    }
}

fn insert(chain: &str, source: std::net::SocketAddr, destination: std::net::SocketAddr) {
    let octets = |address: std::net::SocketAddr| match address.ip() {
        std::net::IpAddr::V4(address) => address.octets(),
        std::net::IpAddr::V6(_) => panic!("an IPv4 connection was asked for"),
    };
    let mark = [&0xc114_u32.to_ne_bytes()[..], &[0xff; 4], &[1], &[0; 7]].concat();
    let (from, to) = (source.port().to_ne_bytes(), destination.port().to_ne_bytes());
    let ports = [&from[..], &from, &to, &to, &[0; 8]].concat();
    let expressions = [
        meta_protocol(),
        equals(&[6]),
        address_at(12),
        equals(&octets(source)),
        address_at(16),
        equals(&octets(destination)),
        xt_match("mark", 1, &mark),
        xt_match("tcp", 0, &ports),
        expression("counter", &Attributes::default()),
        drop_packet(),
    ];
    let compat = Attributes::default().be32(1, 6).be32(2, 0);
    let rule = Request::new(NEW_RULE, &[2, 0, 0, 0])
        .flags(CREATE | APPEND | NLM_F_ACK)
        .text(1, "filter")
        .text(2, chain)
        .attribute(4 | NESTED, &expressions.concat())
        .attribute(5 | NESTED, &compat.0);
    send(&rule);
}

// From linux/netfilter/nfnetlink.h and nf_tables.h.
const NEW_RULE: u16 = 10 << 8 | 6;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;

#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }
}

fn expression(name: &str, data: &Attributes) -> Vec<u8> {
    let name = [name.as_bytes(), &[0]].concat();
    let inner = Attributes::default().bytes(1, &name).bytes(2 | NESTED, &data.0);
    Attributes::default().bytes(1 | NESTED, &inner.0).0
}

fn meta_protocol() -> Vec<u8> {
    expression("meta", &Attributes::default().be32(1, 1).be32(2, 16))
}

fn address_at(offset: u32) -> Vec<u8> {
    expression("payload", &Attributes::default().be32(1, 1).be32(2, 1).be32(3, offset).be32(4, 4))
}

fn equals(value: &[u8]) -> Vec<u8> {
    let data = Attributes::default().bytes(1, value);
    expression("cmp", &Attributes::default().be32(1, 1).be32(2, 0).bytes(3 | NESTED, &data.0))
}

fn xt_match(name: &str, revision: u32, info: &[u8]) -> Vec<u8> {
    let name = [name.as_bytes(), &[0]].concat();
    expression("match", &Attributes::default().bytes(1, &name).be32(2, revision).bytes(3, info))
}

fn drop_packet() -> Vec<u8> {
    let verdict = Attributes::default().be32(1, 0);
    let data = Attributes::default().bytes(2 | NESTED, &verdict.0);
    expression("immediate", &Attributes::default().be32(1, 0).bytes(2 | NESTED, &data.0))
}

fn send(rule: &Request) {
    let socket = Socket::open(Protocol::Netfilter).unwrap();
    let first = socket.take_sequence(3);
    let edge = |kind| Request::new(kind, &[0, 0, 0, 10]);
    let mut batch = Vec::new();
    for (at, request) in [&edge(BATCH_BEGIN), rule, &edge(BATCH_END)].into_iter().enumerate() {
        request.append_to(&mut batch, first + u32::try_from(at).unwrap());
    }
    socket.send("insert a rule", &batch).unwrap();
    let answer = socket.receive_now().unwrap().expect("an answer");
    for message in Messages::new(&answer) {
        assert_eq!(outcome(&message.unwrap()), Some(Ok(())), "the kernel refuses the rule");
    }
}
