// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The locks that drop the packets of the processes: rules of their own connections, tables and chains of their network
//! namespaces.
//!
//! A rule is theirs by its two addresses and its direction: the other end of a connection on this host has the same
//! addresses, and other rules. A table of connections has no directions, so one of its connections must be in repair mode.
//! What closes a whole namespace has no owner: other signs of a killed dump must show that it is this tree's.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::damage::{Damage, Finding, Found, Lock, Socket, Verdict, Why};
use crate::carrier::filter::{FoundChain, FoundRule, FoundRules, FoundTable, TableName};
use crate::causes::with_causes;
use crate::checkpoint::RunId;
use crate::connection::{Connection, Direction, Flow, TableForm};
use crate::firewall::{self, Filters, NetworkView, Parts, RuleKey, TableView};
use crate::host::{Host, living};
use crate::session::living::Clues;
use crate::system::netns::{self, NetNamespace};

/// Adds the locks of all network namespaces that the processes or their sockets are in.
pub(super) fn add(host: &Host, clues: &Clues, found: &mut Found, sockets: &[(Socket, living::Socket)], has_sign: bool) {
    for (number, namespace) in namespaces(found, sockets) {
        let own: Vec<&(Socket, living::Socket)> =
            sockets.iter().filter(|(socket, _)| socket.network == Some(number)).collect();
        let scene = Scene { evidence: Evidence::new(host, clues, found, number, has_sign), sockets: own };
        let flows = scene.flows(|_| true);
        match netns::within(&namespace, || look(&namespace, flows)) {
            Ok(Ok(view)) => {
                let failures = view.failures.iter();
                found.unknown.extend(failures.map(|failure| {
                    format!("cannot look at {} in {}: {}", failure.part, failure.namespace, failure.error)
                }));
                scene.add(&view, &mut found.findings);
            }
            Ok(Err(why)) => found.unknown.push(why),
            Err(error) => found.unknown.push(with_causes(&error)),
        }
    }
}

fn look(namespace: &NetNamespace, flows: HashSet<Flow>) -> Result<NetworkView, String> {
    let tables = firewall::table_names().map_err(|error| with_causes(&error))?;
    Ok(firewall::look(&namespace.name, &Parts { tables, filters: Filters::All(flows) }))
}

fn namespaces(found: &mut Found, sockets: &[(Socket, living::Socket)]) -> BTreeMap<u64, NetNamespace> {
    let mut namespaces = BTreeMap::new();
    for member in &found.members {
        match living::network_of_process(member.pid) {
            Ok(namespace) => drop(namespaces.entry(namespace.id().inode).or_insert(namespace)),
            Err(_) if living::started(member.pid).is_none() => {}
            Err(error) => found.unknown.push(with_causes(&error)),
        }
    }
    for (socket, same) in sockets {
        if socket.network.is_some_and(|number| !namespaces.contains_key(&number)) {
            match living::network_of(&same.socket) {
                Ok(namespace) => drop(namespaces.insert(namespace.id().inode, namespace)),
                Err(error) => found.unknown.push(with_causes(&error)),
            }
        }
    }
    namespaces
}

/// What says that a lock is that of the dump which was killed.
struct Evidence {
    /// CRIU was inside one of the processes, after it had locked the network.
    has_sign: bool,
    /// The images are those of a dump that did not end, and its run id if the log has it.
    is_unfinished: bool,
    run_id: Option<RunId>,
    /// Nobody else is in the network namespace.
    is_alone: bool,
}

impl Evidence {
    fn new(host: &Host, clues: &Clues, found: &Found, network: u64, has_sign: bool) -> Self {
        let (is_unfinished, run_id) = match clues {
            Clues::Images(images) => {
                let checkpoint = &images.checkpoint;
                let is_unfinished =
                    images.is_trusted() && checkpoint.inventory.is_none() && checkpoint.rolled_back.is_none();
                (is_unfinished && !found.members.is_empty(), checkpoint.run_id())
            }
            Clues::Process(_) => (false, None),
        };
        Evidence { has_sign, is_unfinished, run_id, is_alone: is_alone(host, found, network) }
    }

    /// Whether what closes the namespace is this dump's.
    fn closed(&self) -> Verdict {
        match self.has_sign || self.is_unfinished && self.is_alone {
            true => Verdict::Heal,
            false => Verdict::Keep(Why::PerhapsOthers),
        }
    }

    fn is_named(&self, table: &str) -> bool {
        let names = self.run_id.iter().flat_map(|id| [format!("CRIU-{}", id.text), format!("CRIU-{:.21}", id.text)]);
        self.is_unfinished && names.into_iter().any(|name| name == table)
    }
}

/// Whether only the processes, and others of a pid namespace of their own, are in a network namespace.
fn is_alone(host: &Host, found: &Found, network: u64) -> bool {
    let is_member = |pid: u32| found.members.iter().any(|member| member.pid == pid);
    let root = found.members.first().and_then(|member| living::namespaces(member.pid)).map(|(pids, _)| pids);
    let inner = root.filter(|number| Some(*number) != crate::host::own_pid_namespace());
    let others = host.processes().list.iter().filter(|process| !process.is_kernel_thread && !is_member(process.pid));
    others.map(|process| living::namespaces(process.pid)).all(|numbers| match numbers {
        Some((pids, net)) => net != network || Some(pids) == inner,
        None => false,
    })
}

struct Scene<'a> {
    evidence: Evidence,
    sockets: Vec<&'a (Socket, living::Socket)>,
}

impl Scene<'_> {
    fn flows(&self, is_meant: impl Fn(&living::Socket) -> bool) -> HashSet<Flow> {
        let meant = self.sockets.iter().filter(|(_, how)| is_meant(how));
        let connections = meant.filter_map(|(socket, _)| socket.connection);
        connections.flat_map(|connection| Direction::BOTH.map(|direction| connection.flow(direction))).collect()
    }

    fn add(&self, view: &NetworkView, findings: &mut Vec<Finding>) {
        let mut add = |lock: Lock, verdict: Verdict| findings.push(Finding::new(Damage::Lock(lock), verdict));
        for (socket, how) in &self.sockets {
            let Some(connection) = socket.connection else { continue };
            let rules = rules_of(view, connection);
            if !rules.is_empty() {
                let is_certain = how.is_in_repair || self.evidence.has_sign || self.evidence.is_unfinished;
                let verdict = if is_certain { Verdict::Heal } else { Verdict::Keep(Why::PerhapsOthers) };
                let found =
                    FoundRules { namespace: Arc::clone(&view.namespace), rules, readings: Vec::new(), tie: None };
                add(Lock::Rules { connection, found }, verdict);
            }
        }
        for table in &view.tables {
            if let Some(verdict) = self.judge_table(table) {
                let name = TableName::RunId(table.name.clone());
                let namespace = Arc::clone(&view.namespace);
                add(Lock::Table(FoundTable { namespace, name, view: table.clone(), tie: None }), verdict);
            }
        }
        for filter in &view.filters {
            let Some(chain) = &filter.lock_chain else { continue };
            let verdict = match (chain.foreign.is_empty(), chain.times_closed()) {
                (false, _) => Verdict::Keep(Why::Foreign),
                (true, 0 | 1) => self.evidence.closed(),
                (true, _) => Verdict::Keep(Why::PerhapsOthers),
            };
            let namespace = Arc::clone(&view.namespace);
            add(Lock::Chain(FoundChain { namespace, place: filter.place, view: chain.clone(), tie: None }), verdict);
        }
    }

    /// `None` for a table that drops nothing of these processes.
    fn judge_table(&self, table: &TableView) -> Option<Verdict> {
        let repaired = self.flows(|how| how.is_in_repair);
        let is_theirs = !table.flows.is_disjoint(&repaired);
        let verdict = match (self.evidence.is_named(&table.name), table.form) {
            (true, _) => Verdict::Heal,
            (false, TableForm::Closed) => self.evidence.closed(),
            (false, TableForm::Connections) if is_theirs => Verdict::Heal,
            (false, TableForm::Connections) if !table.flows.is_disjoint(&self.flows(|_| true)) => {
                Verdict::Keep(Why::PerhapsOthers)
            }
            (false, TableForm::Connections | TableForm::Either) => return None,
        };
        Some(if table.foreign.is_empty() { verdict } else { Verdict::Keep(Why::Foreign) })
    }
}

/// The rules that CRIU makes for a connection.
fn rules_of(view: &NetworkView, connection: Connection) -> Vec<FoundRule> {
    let mut rules = Vec::new();
    for filter in &view.filters {
        for direction in Direction::BOTH {
            let key = RuleKey { direction, flow: connection.flow(direction), marked: true };
            let ids = filter.drops.get(&key).into_iter().flatten().map(|rule| rule.id.clone());
            rules.extend(ids.map(|id| FoundRule { place: filter.place, table: filter.table, key, id }));
        }
    }
    rules
}
