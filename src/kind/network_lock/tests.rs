// SPDX-License-Identifier: Apache-2.0 OR MIT

use crate::carrier::filter::TableName;
use crate::checkpoint::example::{RUN_ID, checkpoint};
use crate::checkpoint::{Checkpoint, Layout, NetworkScope};
use crate::connection::TableForm;
use crate::kind::locked_connection::ConnectionLock;
use crate::kind::{Residue, Unknown, named_by_images};

const IPTABLES: Option<u32> = Some(0);
const NFTABLES: Option<u32> = Some(1);
const SKIP: Option<u32> = Some(2);

const RULES: &str = "rules Marked: 10.0.0.1:80 -> 10.0.0.2:4000, by files.img 50";
const IN_TABLE: &str = "in table: 10.0.0.1:80 -> 10.0.0.2:4000, by files.img 50";
const CHAIN: &str = "chain, by inventory.img 0";
const UNKNOWN_METHOD: &str = "unknown: the network was locked with method 9, which this criu-gc does not support";
const TABLE: &str = "table CRIU-01234567-89ab-cdef-0123-456789abcdef or CRIU-01234567-89ab-cdef-01: \
                     Connections, 2 flows, by inventory.img 0";

/// A checkpoint with one connection, locked in this way.
fn example(scope: NetworkScope, method: Option<u32>) -> Checkpoint {
    let mut checkpoint = checkpoint();
    checkpoint.add_socket("10.0.0.1:80", "10.0.0.2:4000");
    checkpoint.inventory_mut().network_lock_method = method;
    match scope {
        NetworkScope::Criu => {}
        NetworkScope::Own => checkpoint.ids_mut().net_ns_id = Some(12),
        NetworkScope::Unknown => {
            checkpoint.inventory_mut().root_ids = None;
            checkpoint.ids_mut().net_ns_id = Some(12);
        }
    }
    checkpoint
}

fn text(residue: &Residue) -> String {
    let text = match residue {
        Residue::LockedConnection(locked) => match locked.lock {
            ConnectionLock::Rules(forms) => format!("rules {forms:?}: {}", locked.connection),
            ConnectionLock::Table => format!("in table: {}", locked.connection),
        },
        Residue::LockTable(table) => {
            let names: Vec<&str> = table.names.iter().map(TableName::as_str).collect();
            format!("table {}: {:?}, {} flows", names.join(" or "), table.form, table.flows.len())
        }
        Residue::LockChain(_) => "chain".to_owned(),
        other => panic!("{other:?}"),
    };
    let evidence = residue.evidence().iter().map(|entry| format!("{} {}", entry.image, entry.record));
    format!("{text}, by {}", evidence.collect::<Vec<_>>().join(", "))
}

#[track_caller]
fn check(checkpoint: &Checkpoint, expected: &[&str]) {
    let claims = named_by_images(checkpoint);
    let unknown = claims.unknown.iter().map(|Unknown { sentence, .. }| format!("unknown: {sentence}"));
    let lines: Vec<String> = claims.residues.iter().map(text).chain(unknown).collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_scope_and_the_method_tell_what_was_locked() {
    use NetworkScope::{Criu, Own, Unknown};
    let closed = TABLE.replace("Connections", "Closed");
    let either = TABLE.replace("Connections", "Either");
    for (scope, method, expected) in [
        (Criu, IPTABLES, &[RULES][..]),
        (Criu, None, &[RULES]),
        (Criu, NFTABLES, &[IN_TABLE, TABLE]),
        (Criu, SKIP, &[]),
        (Criu, Some(9), &[UNKNOWN_METHOD]),
        (Own, IPTABLES, &[CHAIN]),
        (Own, None, &[CHAIN]),
        (Own, NFTABLES, &[&closed]),
        (Own, SKIP, &[]),
        (Own, Some(9), &[UNKNOWN_METHOD]),
        (Unknown, IPTABLES, &[RULES, CHAIN]),
        (Unknown, None, &[RULES, CHAIN]),
        (Unknown, NFTABLES, &[IN_TABLE, &either]),
        (Unknown, SKIP, &[]),
        (Unknown, Some(9), &[UNKNOWN_METHOD]),
    ] {
        check(&example(scope, method), expected);
    }
}

#[test]
fn without_an_inventory_every_possibility_is_derived() {
    let mut checkpoint = example(NetworkScope::Own, None);
    checkpoint.inventory = None;
    let (rules, chain) = (RULES, "chain, by ");
    check(&checkpoint, &[rules, chain]);
    checkpoint.log.root_pid = Some(77);
    check(&checkpoint, &[rules, chain, "table CRIU-77: Either, 2 flows, by "]);
    checkpoint.log.run_id = crate::checkpoint::RunId::new(RUN_ID.as_bytes());
    let by_log = TABLE.replace("Connections", "Either").replace("inventory.img 0", "");
    check(&checkpoint, &[rules, chain, &by_log]);
    checkpoint.tasks.clear();
    check(&checkpoint, &[rules, "chain, by ", &by_log]);
}

#[test]
fn only_images_before_3_4_may_have_rules_without_the_mark() {
    let mut checkpoint = example(NetworkScope::Criu, None);
    checkpoint.layout = Layout::OnePerKind;
    check(&checkpoint, &[&RULES.replace("Marked", "MarkedOrNot")]);
}

#[test]
fn a_connection_that_was_dumped_as_closed_was_not_locked() {
    for (method, expected) in [(IPTABLES, &[][..]), (NFTABLES, &[&*TABLE.replace("2 flows", "0 flows")])] {
        let mut checkpoint = example(NetworkScope::Criu, method);
        checkpoint.inventory_mut().tcp_close = Some(true);
        check(&checkpoint, expected);
    }
}

#[test]
fn a_table_is_made_even_without_connections() {
    let mut checkpoint = example(NetworkScope::Criu, NFTABLES);
    checkpoint.sockets.clear();
    check(&checkpoint, &[&TABLE.replace("2 flows", "0 flows")]);
}

#[test]
fn without_a_run_id_a_table_is_named_by_the_root_pid_as_criu_saw_it() {
    let mut checkpoint = example(NetworkScope::Criu, NFTABLES);
    checkpoint.inventory_mut().dump_criu_run_id = None;
    let named = |pid: u32| format!("table CRIU-{pid}: Connections, 2 flows, by inventory.img 0");
    check(&checkpoint, &[IN_TABLE, &named(100)]);
    // Then the images have the inner pid, which is none of the name's.
    checkpoint.ids_mut().pid_ns_id = Some(90);
    check(
        &checkpoint,
        &[IN_TABLE, "unknown: the network was locked with nftables, but the images do not give the table's name"],
    );
    checkpoint.log.root_pid = Some(4242);
    check(&checkpoint, &[IN_TABLE, &named(4242)]);
}

#[test]
fn a_run_id_that_is_no_uuid_names_no_table() {
    for id in [
        "",
        "/",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdefg",
        "g1234567-89ab-cdef-0123-456789abcdef",
    ] {
        let mut checkpoint = example(NetworkScope::Criu, NFTABLES);
        checkpoint.inventory_mut().dump_criu_run_id = Some(id.into());
        const ODD: &str = "unknown: inventory.img has a run id that CRIU would not have written so; the table that it names, \
                           if any, is kept";
        check(&checkpoint, &[IN_TABLE, ODD]);
    }
}

#[test]
fn only_a_name_with_the_run_id_is_signed() {
    let name = |of: fn(String) -> TableName| of("CRIU-1".to_owned()).is_signed();
    assert_eq!([name(TableName::RunId), name(TableName::CutRunId), name(TableName::RootPid)], [true, true, false]);
}

#[test]
fn a_form_admits_itself_and_what_is_not_known() {
    use TableForm::{Closed, Connections, Either};
    for one in [Closed, Connections, Either] {
        assert!(one.admits(one) && one.admits(Either) && Either.admits(one));
    }
    assert!(!Closed.admits(Connections) && !Connections.admits(Closed));
}
