// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;
use crate::system::nft::{Expression, Family, Hook, Rule, Verdict};

const MARK: u32 = rule_shape::CRIU_MARK;

fn chain(name: &str, number: u32, policy: u32) -> Chain {
    let hook = Hook { number, priority: 0, policy, chain_type: "filter".to_owned(), devices: Vec::new() };
    Chain { name: name.to_owned(), handle: 1, flags: 1, use_count: 0, hook: Some(hook), rules: Vec::new() }
}

fn set(name: &str, key_length: u32) -> Set {
    let form = SetForm::Plain;
    Set { name: name.to_owned(), handle: 2, flags: 0, key_length, form, elements: Vec::new() }
}

fn rule(expressions: Vec<Expression>) -> Rule {
    Rule { handle: 9, expressions }
}

fn compare(op: u32, value: &[u8]) -> Expression {
    Expression::Compare { register: 1, op, value: value.to_vec() }
}

fn accept_marked() -> Rule {
    let mark = Expression::Meta { key: 3, register: 1 };
    rule(vec![mark, compare(0, &MARK.to_ne_bytes()), Expression::Verdict(Verdict::Accept)])
}

/// `ip saddr . tcp sport . ip daddr . tcp dport @SET drop`, or the same of `ip6`.
fn drop_set(set: &str, version: IpVersion) -> Rule {
    let (protocol, source, destination, length, registers) = match version {
        IpVersion::V4 => (2, 12, 16, 4, [1, 9, 10, 11]),
        IpVersion::V6 => (10, 8, 24, 16, [1, 2, 13, 17]),
    };
    let load = |base, offset, length, register| Expression::Payload { base, offset, length, register };
    rule(vec![
        Expression::Meta { key: 15, register: 1 },
        compare(0, &[protocol]),
        Expression::Meta { key: 16, register: 1 },
        compare(0, &[6]),
        load(1, source, length, registers[0]),
        load(2, 0, 2, registers[1]),
        load(1, destination, length, registers[2]),
        load(2, 2, 2, registers[3]),
        Expression::Lookup { set: set.to_owned(), register: 1, inverted: false },
        Expression::Verdict(Verdict::Drop),
    ])
}

fn key_v4() -> Vec<u8> {
    [&[10, 0, 0, 1][..], &[0, 80, 0, 0], &[10, 0, 0, 2], &[0x0f, 0xa0, 0, 0]].concat()
}

fn key_v6() -> Vec<u8> {
    let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
    [&loopback[..], &[0, 80, 0, 0], &loopback, &[0x0f, 0xa0, 0, 0]].concat()
}

fn empty() -> Table {
    Table {
        family: Family::Inet,
        name: "CRIU-1".to_owned(),
        handle: 5,
        flags: 0,
        chains: Vec::new(),
        sets: Vec::new(),
        other_objects: Vec::new(),
    }
}

type Step = fn(&mut Table);

/// The statements with which CRIU builds a table of connections, one transaction each.
const CONNECTIONS: [Step; 12] = [
    |table| table.chains.push(chain("output", LOCAL_OUT, ACCEPT)),
    |table| table.chains[0].rules.push(accept_marked()),
    |table| table.chains.push(chain("input", LOCAL_IN, ACCEPT)),
    |table| table.chains[1].rules.push(accept_marked()),
    |table| table.sets.push(set("conns4", 16)),
    |table| table.sets.push(set("conns6", 40)),
    |table| table.chains[0].rules.push(drop_set("conns4", IpVersion::V4)),
    |table| table.chains[0].rules.push(drop_set("conns6", IpVersion::V6)),
    |table| table.chains[1].rules.push(drop_set("conns4", IpVersion::V4)),
    |table| table.chains[1].rules.push(drop_set("conns6", IpVersion::V6)),
    |table| table.sets[0].elements.push(key_v4()),
    |table| table.sets[1].elements.push(key_v6()),
];

/// Those that close a network namespace.
const CLOSED: [Step; 4] = [
    |table| table.chains.push(chain("output", LOCAL_OUT, DROP)),
    |table| table.chains[0].rules.push(accept_marked()),
    |table| table.chains.push(chain("input", LOCAL_IN, DROP)),
    |table| table.chains[1].rules.push(accept_marked()),
];

fn built(steps: &[Step]) -> Table {
    let mut table = empty();
    steps.iter().for_each(|step| step(&mut table));
    table
}

#[track_caller]
fn check(table: &Table, form: TableForm, flows: usize, foreign: &[&str]) {
    let view = TableView::of(table);
    assert_eq!(
        (view.form, view.flows.len(), view.foreign),
        (form, flows, foreign.iter().map(|&text| text.into()).collect())
    );
}

/// A whole table of connections in which one thing is different.
#[track_caller]
fn check_changed(change: impl FnOnce(&mut Table), foreign: &str) {
    let mut table = built(&CONNECTIONS);
    change(&mut table);
    assert_eq!(TableView::of(&table).foreign, [foreign]);
}

#[test]
fn every_beginning_of_a_table_is_crius() {
    check(&empty(), TableForm::Either, 0, &[]);
    for end in 1..=CONNECTIONS.len() {
        check(&built(&CONNECTIONS[..end]), TableForm::Connections, end.saturating_sub(10), &[]);
    }
    for end in 1..=CLOSED.len() {
        check(&built(&CLOSED[..end]), TableForm::Closed, 0, &[]);
    }
}

#[test]
fn the_order_of_the_chains_makes_no_difference() {
    for steps in [&CONNECTIONS[..], &CLOSED] {
        let mut table = built(steps);
        let view = TableView::of(&table);
        table.chains.reverse();
        table.sets.reverse();
        assert_eq!(TableView::of(&table), view);
    }
}

#[test]
fn flows_are_read_from_the_keys() {
    let view = TableView::of(&built(&CONNECTIONS));
    let flow = |source: &str, destination: &str| Flow {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    assert_eq!(view.flows, HashSet::from([flow("10.0.0.1:80", "10.0.0.2:4000"), flow("[::1]:80", "[::1]:4000")]));
    assert_eq!((view.name.as_str(), view.handle), ("CRIU-1", 5));
}

#[test]
fn whatever_else_is_in_a_table_is_foreign() {
    check_changed(|table| table.flags = 1, "table flags 0x1");
    check_changed(|table| table.other_objects.push("counter mine".to_owned()), "counter mine");
    check_changed(|table| table.sets.push(set("mine", 16)), "set mine");
    check_changed(|table| table.chains.push(chain("mine", LOCAL_IN, ACCEPT)), "chain mine");
    let foreign = "rule with handle 9 in chain output";
    for rule in [rule(vec![Expression::Counter]), rule(vec![Expression::Verdict(Verdict::Drop)]), rule(Vec::new())] {
        check_changed(|table| table.chains[0].rules.push(rule), foreign);
    }
    for (set, version) in [("conns6", IpVersion::V4), ("conns4", IpVersion::V6), ("mine", IpVersion::V4)] {
        check_changed(|table| table.chains[0].rules.push(drop_set(set, version)), foreign);
    }
}

#[test]
fn a_set_that_is_more_than_a_list_of_connections_is_foreign() {
    check_changed(|table| table.sets[0].form = SetForm::Other("a map"), "set conns4 of another kind");
    check_changed(|table| table.sets[0].key_length = 12, "set conns4 of another kind");
    check_changed(|table| table.sets[1].key_length = 16, "set conns6 of another kind");
    for length in [0, 15, 17] {
        check_changed(|table| table.sets[0].elements.push(vec![0; length]), "set conns4 of another kind");
    }
}

#[test]
fn a_chain_that_is_hooked_elsewhere_is_foreign() {
    let hook = |table: &mut Table, change: fn(&mut Hook)| change(table.chains[1].hook.as_mut().unwrap());
    let elsewhere = "chain input on another hook";
    check_changed(|table| hook(table, |hook| hook.number = 2), elsewhere);
    check_changed(|table| hook(table, |hook| hook.number = LOCAL_OUT), elsewhere);
    check_changed(|table| hook(table, |hook| hook.priority = -1), elsewhere);
    check_changed(|table| hook(table, |hook| hook.chain_type = "nat".to_owned()), elsewhere);
    check_changed(|table| hook(table, |hook| hook.devices.push("eth0".to_owned())), elsewhere);
    check_changed(|table| hook(table, |hook| hook.policy = 7), "chain input with another policy");
    check_changed(|table| table.chains[1].hook = None, "chain input without a hook");
}

#[test]
fn both_forms_in_one_table_are_foreign() {
    let both = "both a policy to drop everything and sets of connections";
    for step in [CONNECTIONS[2], CONNECTIONS[4], CONNECTIONS[6]] {
        let mut table = built(&CLOSED[..2]);
        step(&mut table);
        assert_eq!(TableView::of(&table).foreign.first().map(String::as_str), Some(both));
    }
}
