// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Locks in all network namespaces: tables, chains, and single rules that except CRIU's mark.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::Limit;
use super::files::holders;
use super::object::{Class, Object, Thing};
use crate::carrier::filter::{FoundChain, FoundRule, FoundRules, FoundTable, TableName};
use crate::causes::with_causes;
use crate::connection::{Connection, Direction, Flow, TableForm};
use crate::firewall::{self, Filters, NetworkView, Parts};
use crate::host::{self, DumpTrace, Host};
use crate::system::netns::NetNamespace;

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(super) struct Locks {
    pub(super) objects: Vec<Object>,
    pub(super) unseen: Vec<String>,
    /// How many network namespaces were looked at.
    pub(super) namespaces: usize,
}

/// Looks into every network namespace.
pub(super) fn look(host: &Host, limit: Limit) -> Locks {
    let mut networks = host.named_networks(Vec::new());
    host.add_networks(&mut networks);
    // What shows here is looked at; what a pid namespace hides is said for the whole scan.
    let here = DumpTrace { recorded: host::own_pid_namespace(), ..DumpTrace::default() };
    host.add_hidden_networks(&mut networks, &here);
    let visited = host::visit(&networks, |namespace, _| look_at(namespace, limit));
    let mut locks = Locks { namespaces: visited.answers.len(), ..Locks::default() };
    locks.unseen.extend(visited.unseen.into_iter().map(|unseen| unseen.why));
    let inhabitants = host.inhabitants();
    for (namespace, answer) in visited.answers {
        match answer {
            Ok(view) => locks.add(host, &view, inhabitants.get(&namespace.id().inode)),
            Err(why) => locks.unseen.push(format!("network namespace {namespace}: {why}")),
        }
    }
    locks
}

fn look_at(namespace: &NetNamespace, limit: Limit) -> Result<NetworkView, String> {
    if limit.is_over() {
        return Err("the time was over before it was reached".to_owned());
    }
    let tables = firewall::table_names().map_err(|error| with_causes(&error))?;
    Ok(firewall::look(&namespace.name, &Parts { tables, filters: Filters::Marked }))
}

impl Locks {
    fn add(&mut self, host: &Host, view: &NetworkView, inhabitants: Option<&Vec<u32>>) {
        self.unseen.extend(
            view.failures
                .iter()
                .map(|failure| format!("network namespace {}: {}: {}", failure.namespace, failure.part, failure.error)),
        );
        let closed = || holders(host, inhabitants.into_iter().flatten().copied());
        for table in &view.tables {
            let name = TableName::RunId(table.name.clone());
            let found = FoundTable { namespace: Arc::clone(&view.namespace), name, view: table.clone(), tie: None };
            let mut object = Object::new(Thing::Table(found), class(&table.foreign));
            object.remarks.extend(foreign(&table.foreign));
            if table.form == TableForm::Closed {
                object.holders = closed();
            }
            self.objects.push(object);
        }
        for filter in &view.filters {
            let Some(chain) = &filter.lock_chain else { continue };
            let namespace = Arc::clone(&view.namespace);
            let found = FoundChain { namespace, place: filter.place, view: chain.clone(), tie: None };
            let mut object = Object::new(Thing::Chain(found), class(&chain.foreign));
            object.remarks.extend(foreign(&chain.foreign));
            object.holders = closed();
            self.objects.push(object);
        }
        for (connection, rules) in connections(view) {
            let found = FoundRules { namespace: Arc::clone(&view.namespace), rules, readings: Vec::new(), tie: None };
            self.objects.push(Object::new(Thing::Rules { connection, found }, Class::Orphan));
        }
    }
}

fn class(foreign: &[String]) -> Class {
    if foreign.is_empty() { Class::Orphan } else { Class::LookAlike }
}

fn foreign(foreign: &[String]) -> Option<String> {
    (!foreign.is_empty()).then(|| format!("CRIU did not write {}", foreign.join(", ")))
}

/// The rules by the connection that they drop: a rule of `INPUT` is about packets of the peer.
fn connections(view: &NetworkView) -> Vec<(Connection, Vec<FoundRule>)> {
    let mut connections: BTreeMap<Key, (Connection, Vec<FoundRule>)> = BTreeMap::new();
    for filter in &view.filters {
        for (key, rules) in &filter.drops {
            let Flow { source, destination } = key.flow;
            let connection = match key.direction {
                Direction::Input => Connection { local: destination, peer: source },
                Direction::Output => Connection { local: source, peer: destination },
            };
            let place = connections.entry((connection.local, connection.peer)).or_insert((connection, Vec::new()));
            let rule = |rule: &firewall::PlacedRule| FoundRule {
                place: filter.place,
                table: filter.table,
                key: *key,
                id: rule.id.clone(),
            };
            place.1.extend(rules.iter().map(rule));
        }
    }
    connections.into_values().collect()
}

type Key = (std::net::SocketAddr, std::net::SocketAddr);
