// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network namespaces with what they hold, each entered once; and the answers that follow from them.

mod chains;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{absent, devices};
use crate::carrier::Presence;
use crate::carrier::filter::metadata::Lost;
use crate::carrier::filter::{
    FilterQuery, FoundRule, FoundRules, FoundTable, RecordedNamespace, RuleForms, TableName, Tie, recorded_namespace,
};
use crate::checkpoint::{Checkpoint, Network};
use crate::connection::{Connection, Direction, TableForm};
use crate::firewall::{self, LookFailure, NetworkView, Parts, RuleKey, TableView};
use crate::host::{self, Looked, Networks, Visited};
use crate::record::document::Role;
use crate::system::abstract_sockets;
use crate::system::netns::{NetNamespace, NetworkId};
use crate::time::Timestamp;
use crate::tree::LiveTask;

/// What is known before the namespaces are looked into.
pub(super) struct Terms<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) queries: &'a [FilterQuery],
    pub(super) parts: Parts,
    /// How much more may be kept of what namespaces hold.
    pub(super) left: AtomicUsize,
    /// The tool's own namespace.
    pub(super) own: NetworkId,
    /// Those that the user named.
    pub(super) named: BTreeSet<NetworkId>,
    /// Those that metadata of this host's own engine name.
    pub(super) configured: BTreeSet<NetworkId>,
    /// Those that any metadata names.
    pub(super) mentioned: BTreeSet<NetworkId>,
    /// What became of the names in metadata that lead to none of them.
    pub(super) lost: Lost,
    /// Where that of the record is.
    pub(super) recorded: RecordedNamespace,
    /// Those that the tree of an interrupted dump is in, by their inode numbers.
    pub(super) inhabited: BTreeSet<u64>,
}

/// No more connections and rules are kept, of all namespaces together: whoever knows the name of a table, or a
/// connection, can fill one in each namespace of their own.
pub(super) const LIMIT: usize = 2_000_000;

/// What was found.
pub(super) struct Scene<'a> {
    queries: &'a [FilterQuery],
    checkpoint: &'a Checkpoint,
    /// Where the namespace of the record is.
    recorded: RecordedNamespace,
    lost: Lost,
    visited: Visited<View>,
    /// Whether namespaces that no process is in were looked for too.
    is_everywhere: bool,
}

/// A namespace.
struct View {
    network: NetworkView,
    /// What ties it to the checkpoint.
    tie: Option<Tie>,
    /// Whether CRIU may have run here, so that the rules of single connections would be here.
    is_crius: bool,
    /// Whether it has the devices that the images record.
    has_devices: bool,
    /// Whether it is closed, has the devices of the tree's own namespace and no others, and a process from before the dump
    /// is in it.
    may_be_trees: bool,
    /// Whether metadata names it, whoever wrote that, or the record does.
    is_mentioned: bool,
    /// Whether neither a process nor a name leads to it.
    is_hidden: bool,
    /// Whether it can have been there when the images were written.
    is_old_enough: bool,
    criu: Option<LiveTask>,
}

impl View {
    /// Whether locks are expected here.
    fn is_expected(&self) -> bool {
        self.is_crius || self.tie.is_some()
    }

    fn is_whole(&self) -> bool {
        self.network.failures.is_empty()
    }
}

impl Terms<'_> {
    fn look(&self, namespace: &NetNamespace, oldest: Option<Timestamp>) -> View {
        let id = namespace.id();
        let dump = self.checkpoint.record.record();
        let crius = recorded_namespace::believed(dump, self.recorded, Role::Criu).unwrap_or(self.own);
        let closed = recorded_namespace::believed(dump, self.recorded, Role::Tree);
        let is_of_tree = self.inhabited.contains(&id.inode);
        let tie = match (self.named.contains(&id), Some(id) == closed, self.configured.contains(&id)) {
            (true, ..) => Some(Tie::Named),
            (false, true, _) => Some(Tie::Recorded),
            (false, false, _) if is_of_tree => Some(Tie::Tree),
            (false, false, true) => Some(Tie::Metadata),
            (false, false, false) => None,
        };
        let recorded = &self.checkpoint.network;
        let needs_devices = !self.queries.is_empty() && devices::is_distinctive(recorded);
        let run_id = self.checkpoint.run_id();
        let network = self.limited(firewall::look(&namespace.name, &self.parts));
        let is_old_enough = self.is_old_enough(namespace, oldest);
        // It outlives the tree by a process that shared it: the rest of a service. A container's processes end with its pid 1.
        let has_others = self.is_from_before(oldest) && self.checkpoint.shares_pid_namespace() == Some(true);
        let is_candidate = network.has_lock_chain() && has_others && self.checkpoint.has_own_network();
        View {
            network,
            tie,
            is_crius: if self.named.is_empty() { id == crius } else { self.named.contains(&id) },
            has_devices: needs_devices && devices::are_here(recorded),
            is_mentioned: self.mentioned.contains(&id)
                || matches!(self.recorded, RecordedNamespace::Found(it) if it == id),
            is_hidden: false,
            may_be_trees: is_candidate && devices::may_be_the_same(recorded),
            is_old_enough,
            criu: run_id.and_then(|run_id| criu_by_socket(&run_id.text)),
        }
    }

    /// Gives up what was read of a namespace if those before hold so much already; then it is not known.
    fn limited(&self, mut network: NetworkView) -> NetworkView {
        let in_tables = network.tables.iter().map(|table| table.flows.len());
        let in_rules = network.filters.iter().flat_map(|filter| filter.drops.values().map(Vec::len));
        let holds: usize = in_tables.chain(in_rules).sum();
        let take = |left: usize| left.checked_sub(holds);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            network.tables.clear();
            network.filters.clear();
            network.failures.push(LookFailure {
                namespace: network.namespace.to_string(),
                part: "nf_tables",
                error: format!("more than {LIMIT} connections are locked; no real dump locks that many"),
            });
        }
        network
    }

    /// A namespace that is younger than the images is not the one that the dump closed, whatever is in it. It is as old
    /// as the name or descriptor that keeps it, or as a process that is in it.
    fn is_old_enough(&self, namespace: &NetNamespace, oldest: Option<Timestamp>) -> bool {
        self.is_from_before(Some(namespace.since)) || self.is_from_before(oldest)
    }

    fn is_from_before(&self, time: Option<Timestamp>) -> bool {
        let Some(written) = self.checkpoint.written else { return false };
        time.is_some_and(|time| time <= written.latest())
    }
}

impl<'a> Scene<'a> {
    pub(super) fn open(terms: &Terms<'a>, networks: &Networks) -> Self {
        Scene {
            queries: terms.queries,
            checkpoint: terms.checkpoint,
            recorded: terms.recorded,
            lost: terms.lost,
            visited: visit(terms, networks),
            is_everywhere: false,
        }
    }

    /// The same with the namespaces that no process is in.
    pub(super) fn with(mut self, terms: &Terms<'a>, hidden: &Networks) -> Self {
        let mut visited = visit(terms, hidden);
        visited.answers.iter_mut().for_each(|(_, view)| view.is_hidden = true);
        self.visited.answers.extend(visited.answers);
        self.visited.unseen.extend(visited.unseen);
        self.is_everywhere = true;
        self.recorded = terms.recorded;
        self
    }

    /// Whether all was found where it was expected, so that no other place matters.
    pub(super) fn has_all(&self) -> bool {
        let is_there = |presences: Vec<Presence>| {
            let is_absent = |presence: &Presence| {
                matches!(presence, Presence::Unreachable(_) | Presence::Gone(_) | Presence::Untied(_))
            };
            !presences.iter().any(is_absent)
        };
        self.queries.iter().all(|query| match query {
            FilterQuery::Rules { connection, forms } => is_there(self.connection(connection, *forms)),
            FilterQuery::InTable { .. } => true,
            FilterQuery::Table { .. } => self.table_of(query).iter().all(is_certain),
            FilterQuery::Chain => self.is_tied() && is_there(self.chains()),
        })
    }

    fn views(&self) -> impl Iterator<Item = &View> {
        self.visited.answers.iter().map(|(_, view)| view)
    }

    /// Ties the one namespace that has the recorded devices and addresses. Two that have them say nothing.
    pub(super) fn tie_by_devices(&mut self, recorded: &Network) {
        if !devices::is_distinctive(recorded) {
            return;
        }
        let views = &mut self.visited.answers;
        let matching: Vec<usize> = (0..views.len()).filter(|at| views[*at].1.has_devices).collect();
        let [only] = matching[..] else { return };
        if views[only].1.is_old_enough {
            views[only].1.tie.get_or_insert(Tie::Devices);
            // What is in a namespace says more than what somebody wrote about it.
            for (at, (_, view)) in views.iter_mut().enumerate() {
                view.tie = view.tie.filter(|tie| at == only || *tie != Tie::Metadata);
            }
        }
    }

    /// The rules of a connection, where CRIU ran, or else wherever there are any.
    pub(super) fn connection(&self, connection: &Connection, forms: RuleForms) -> Vec<Presence> {
        let of = |view: &View| {
            let rules = rules_of(connection, forms, &view.network);
            let tie = if view.is_crius { view.tie.or(Some(Tie::Own)) } else { view.tie };
            let namespace = Arc::clone(&view.network.namespace);
            (!rules.is_empty()).then_some(Presence::Rules(FoundRules { namespace, rules, tie }))
        };
        if let Some(found) = self.views().filter(|view| view.is_crius).find_map(of) {
            return vec![found];
        }
        let elsewhere: Vec<Presence> = self.views().filter_map(of).collect();
        if elsewhere.is_empty() { vec![absent(self.looked_for_rules())] } else { elsewhere }
    }

    /// Where the user or the record says where CRIU ran, nothing is anywhere else.
    fn looked_for_rules(&self) -> Option<Looked> {
        let is_narrowed = self.views().any(|view| view.is_crius && matches!(view.tie, Some(Tie::Named)));
        match is_narrowed {
            true => self.looked_at(|view| view.is_crius),
            false => self.looked_everywhere(),
        }
    }

    fn looked_everywhere(&self) -> Option<Looked> {
        if self.is_everywhere { self.visited.looked(View::is_whole) } else { None }
    }

    fn looked_at(&self, is_meant: impl Fn(&View) -> bool) -> Option<Looked> {
        self.visited.looked_at(is_meant, View::is_whole)
    }

    /// The lock table, wherever it is; nothing where something else is asked for.
    pub(super) fn table_of(&self, query: &FilterQuery) -> Vec<Presence> {
        let FilterQuery::Table { names, form } = query else { return Vec::new() };
        let is_known = self.is_place_known(names, *form);
        let mut found = Vec::new();
        for (name, held, view) in self.views().flat_map(|view| named_tables(names, view)) {
            if name.is_signed() || view.is_expected() || !is_known {
                found.push(Presence::Table(FoundTable {
                    namespace: Arc::clone(&view.network.namespace),
                    name: name.clone(),
                    view: held.clone(),
                    tie: view.tie.or(view.is_crius.then_some(Tie::Own)),
                }));
            }
        }
        if found.is_empty() {
            found.push(absent(self.looked_for_table(names)));
        }
        found
    }

    /// Whether it is known where a table is meant that only its pid names: in a namespace that is tied, or where CRIU ran
    /// and there is one that locks single connections. In others another dump may have used the same pid. Where it is not
    /// known, it may be any.
    fn is_place_known(&self, names: &[TableName], form: TableForm) -> bool {
        self.views().any(|view| match view.tie {
            Some(Tie::Named | Tie::Own | Tie::Devices | Tie::Recorded | Tie::Tree) => true,
            Some(Tie::Metadata) => named_tables(names, view).next().is_some(),
            None => view.is_crius && form == TableForm::Connections && named_tables(names, view).next().is_some(),
        })
    }

    /// A table that says itself whose it is can be anywhere; another is this dump's only in a namespace that is tied.
    fn looked_for_table(&self, names: &[TableName]) -> Option<Looked> {
        let is_named = self.views().any(|view| view.tie == Some(Tie::Named));
        match names.iter().any(TableName::is_signed) && !is_named {
            true => self.looked_everywhere(),
            false if is_named => self.looked_at(|view| view.tie == Some(Tie::Named)),
            false => self.looked_everywhere(),
        }
    }

    /// A connection that was locked by elements of a table is where the table is.
    pub(super) fn in_table(&self, connection: &Connection, tables: &[Presence]) -> Presence {
        let flows = Direction::BOTH.map(|direction| connection.flow(direction));
        let held = |table: &FoundTable| flows.iter().filter(|flow| table.view.flows.contains(flow)).count();
        let held = tables.iter().map(|presence| if let Presence::Table(table) = presence { held(table) } else { 0 });
        if let Some(flows) = NonZeroUsize::new(held.max().unwrap_or_default()) {
            return Presence::InTable(flows);
        }
        // In the table it is not; if there may be a table that was not found, nobody can tell.
        let unknown = tables.iter().find(|presence| matches!(presence, Presence::Unreachable(_)));
        match (unknown, tables.first()) {
            (Some(unknown), _) => unknown.clone(),
            (None, Some(Presence::Gone(looked))) => Presence::Gone(*looked),
            (None, Some(_)) => absent(self.looked_at(|view| !view.network.tables.is_empty())),
            (None, None) => absent(None),
        }
    }

    /// What could not be looked at in the namespaces where CRIU may have run, or which are tied.
    pub(super) fn own_failures(&self) -> impl Iterator<Item = LookFailure> {
        let own = self.views().filter(|view| view.is_crius || view.tie.is_some());
        own.flat_map(|view| view.network.failures.iter().cloned())
    }

    /// What could not be looked at anywhere.
    pub(super) fn failures(&self) -> impl Iterator<Item = LookFailure> {
        let unseen = self.visited.unseen.iter().map(|unseen| LookFailure {
            namespace: "this host".to_owned(),
            part: "network namespaces",
            error: unseen.why.clone(),
        });
        unseen.chain(self.views().flat_map(|view| view.network.failures.iter().cloned()))
    }

    pub(super) fn criu(&self) -> impl Iterator<Item = LiveTask> {
        self.views().filter_map(|view| view.criu.clone())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.views().map(|view| view.network.namespace.to_string()).collect()
    }
}

fn visit(terms: &Terms<'_>, networks: &Networks) -> Visited<View> {
    host::visit(networks, |namespace, oldest| terms.look(namespace, oldest))
}

/// The tables in a namespace that have one of the names.
fn named_tables<'a>(
    names: &'a [TableName],
    view: &'a View,
) -> impl Iterator<Item = (&'a TableName, &'a TableView, &'a View)> {
    view.network.tables.iter().filter_map(move |held| {
        let name = names.iter().find(|name| name.as_str() == held.name)?;
        Some((name, held, view))
    })
}

/// Whether this is the table that was looked for, and not one that only may be it.
fn is_certain(presence: &Presence) -> bool {
    matches!(presence, Presence::Table(found) if found.name.is_signed() || found.tie.is_some())
}

fn rules_of(connection: &Connection, forms: RuleForms, network: &NetworkView) -> Vec<FoundRule> {
    let marks: &[bool] = match forms {
        RuleForms::Marked => &[true],
        RuleForms::MarkedOrNot => &[true, false],
    };
    let mut rules = Vec::new();
    for filter in &network.filters {
        for direction in Direction::BOTH {
            for marked in marks {
                let key = RuleKey { direction, flow: connection.flow(direction), marked: *marked };
                let ids = filter.drops.get(&key).into_iter().flatten();
                rules.extend(ids.map(|id| FoundRule { place: filter.place, table: filter.table, key, id: id.clone() }));
            }
        }
    }
    rules
}

/// While CRIU dumps or restores, and in tasks that a killed restore left behind, sockets with the run id in their
/// names are open (`criu/files.c`, `criu/fdstore.c`, `compel/src/lib/infect.c`).
fn criu_by_socket(run_id: &str) -> Option<LiveTask> {
    let name = abstract_sockets::here().ok()?.into_iter().find(|name| {
        let is_criu = name.starts_with(b"/crtools-") || name.starts_with(b"/criu-") || name.starts_with(b"crtools-");
        is_criu && name.ends_with(run_id.as_bytes())
    })?;
    Some(LiveTask { pid: 0, name, state: b'?' })
}
