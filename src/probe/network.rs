// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks for network locks in the network namespaces where they can be.
//!
//! Rules of single connections are where CRIU ran: in the tool's own namespace, or in those that the user named. A
//! table with the run id in its name is looked for everywhere. A lock chain has no owner, so what ties its namespace
//! to the checkpoint is found out as well; that no other namespace has such a chain is no tie.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    Cause, Finding, FoundChain, FoundRule, FoundRules, FoundTable, Hints, LiveTask, Presence, ProbeError,
    RecordedNamespace, Search, Survey, Tie, metadata, record,
};
use crate::checkpoint::{Checkpoint, Device, Network};
use crate::connection::Flow;
use crate::firewall::{self, Backend, LookFailure, NetworkView, Parts, RuleKey};
use crate::record::document::Role;
use crate::residue::{
    Connection, ConnectionLock, Direction, LockTable, LockedConnection, Residue, RuleForms, TableName,
};
use crate::system::netns::{self, Found, NetNamespace};
use crate::system::{interfaces, process};

pub(super) fn look(
    checkpoint: &Checkpoint,
    locks: Vec<Residue>,
    hints: &Hints,
    survey: &mut Survey,
) -> Result<(), ProbeError> {
    let scene = Scene::open(checkpoint, &locks, hints, &mut survey.notes)?;
    let has_chain = locks.iter().any(|lock| matches!(lock, Residue::LockChain(_)));
    if has_chain && !scene.is_tied() {
        survey.notes.extend(metadata::words_of_strangers(&hints.metadata));
    }
    for residue in locks {
        match &residue {
            Residue::Connection(locked) => {
                let presence = scene.connection(locked);
                survey.findings.push(Finding { residue, presence });
            }
            Residue::LockTable(table) => {
                let found = scene.tables(table);
                survey.findings.extend(spread(residue, found, !scene.failures.is_empty()));
            }
            Residue::LockChain(_) => {
                let found = scene.chains();
                survey.findings.extend(spread(residue, found, scene.is_blind_for_chains()));
                survey.notes.extend(scene.chains_elsewhere());
            }
            Residue::LinkRemap(_) => {}
        }
    }
    scene.note_tables_of_connections(survey);
    survey.tree.criu.extend(scene.criu);
    survey.failures.extend(scene.failures);
    survey.recorded_namespace = scene.recorded;
    survey.namespaces = scene.views.iter().map(|view| view.network.namespace.to_string()).collect();
    Ok(())
}

/// The namespaces with what they hold.
#[derive(Default)]
struct Scene {
    views: Vec<View>,
    failures: Vec<LookFailure>,
    criu: Vec<LiveTask>,
    recorded: RecordedNamespace,
}

struct View {
    network: NetworkView,
    /// What ties the namespace to the checkpoint.
    tie: Option<Tie>,
    /// Whether CRIU may have run here, so that the rules of single connections would be here.
    is_crius: bool,
}

impl View {
    fn has_chain(&self) -> bool {
        self.network.filters.iter().any(|filter| filter.lock_chain.is_some())
    }
}

impl Scene {
    fn open(
        checkpoint: &Checkpoint,
        locks: &[Residue],
        hints: &Hints,
        notes: &mut Vec<String>,
    ) -> Result<Self, ProbeError> {
        let named = named_namespaces(checkpoint, hints)?;
        let mut scene = Scene::default();
        let run_id = checkpoint.run_id();
        if locks.is_empty() && run_id.is_none() {
            return Ok(scene);
        }
        let mut own = netns::current()?;
        own.paths.insert(0, PathBuf::from(OWN_NAMESPACE));
        let found = match hints.search {
            Search::Everywhere => netns::find_all(),
            Search::Named => Found::default(),
        };
        scene.failures.extend(found.problems.iter().map(|problem| LookFailure {
            namespace: "this host".to_owned(),
            part: "network namespaces",
            error: problem.to_string(),
        }));
        // What the user says is not asked of the metadata.
        let of_metadata = match named.is_empty() && !locks.is_empty() {
            true => metadata::network_namespaces(checkpoint, &hints.metadata, notes),
            false => Vec::new(),
        };
        let own_id = namespace_id(&own);
        let configured: HashSet<(u64, u64)> = of_metadata.iter().map(namespace_id).collect();
        let named_ids: HashSet<(u64, u64)> = named.iter().map(namespace_id).collect();
        let mut namespaces: BTreeMap<(u64, u64), Arc<NetNamespace>> = BTreeMap::new();
        for namespace in named.into_iter().chain([own]).chain(found.namespaces).chain(of_metadata) {
            namespaces.entry(namespace_id(&namespace)).or_insert_with(|| Arc::new(namespace));
        }
        let dump = checkpoint.record.record();
        scene.recorded = record::find(dump, namespaces.values());
        let crius = record::believed(dump, scene.recorded, Role::Criu).unwrap_or(own_id);
        let closed = record::believed(dump, scene.recorded, Role::Tree);
        let (wanted, no_flows, mut kept) = (Wanted::of(locks), HashSet::new(), 0);
        for (id, namespace) in namespaces {
            let is_crius = if named_ids.is_empty() { id == crius } else { named_ids.contains(&id) };
            let mut network = firewall::look(&namespace, wanted.parts(is_crius, &no_flows));
            limit_flows(&mut network, &mut kept);
            if let Some(run_id) = &run_id {
                scene.criu.extend(criu_by_socket(&namespace, &run_id.text));
            }
            let tie = match (named_ids.contains(&id), Some(id) == closed, configured.contains(&id)) {
                (true, ..) => Some(Tie::Named),
                (false, true, _) => Some(Tie::Recorded),
                (false, false, true) => Some(Tie::Metadata),
                (false, false, false) => None,
            };
            scene.failures.extend(network.failures.iter().cloned());
            scene.views.push(View { network, tie, is_crius });
        }
        scene.tie_by_devices(&checkpoint.network);
        Ok(scene)
    }

    /// Ties the one namespace that has the recorded devices and addresses. Two that have them say nothing.
    fn tie_by_devices(&mut self, recorded: &Network) {
        if !is_distinctive(recorded) {
            return;
        }
        let matching: Vec<usize> =
            (0..self.views.len()).filter(|at| has_devices(&self.views[*at].network.namespace, recorded)).collect();
        if let [only] = matching[..] {
            self.views[only].tie.get_or_insert(Tie::Devices);
            // What is in a namespace says more than what somebody wrote about it.
            for (at, view) in self.views.iter_mut().enumerate() {
                view.tie = view.tie.filter(|tie| at == only || *tie != Tie::Metadata);
            }
        }
    }

    fn connection(&self, locked: &LockedConnection) -> Presence {
        let ConnectionLock::Rules(forms) = locked.lock else { return Presence::InTable(0) };
        let is_blind = self.views.iter().any(|view| view.is_crius && !view.network.failures.is_empty());
        for view in self.views.iter().filter(|view| view.is_crius) {
            let rules = rules_of(&locked.connection, forms, &view.network);
            if !rules.is_empty() {
                return Presence::Rules(FoundRules { namespace: Arc::clone(&view.network.namespace), rules });
            }
        }
        if is_blind { Presence::Unreachable(Cause::Firewall) } else { Presence::Gone }
    }

    fn tables(&self, table: &LockTable) -> Vec<Presence> {
        let mut found = Vec::new();
        for view in &self.views {
            for held in &view.network.tables {
                let Some(name) = table.names.iter().find(|name| name.as_str() == held.name) else { continue };
                if !may_be_there(name, view) {
                    continue;
                }
                let tie = view.tie.or(view.is_crius.then_some(Tie::Own));
                found.push(Presence::Table(FoundTable {
                    namespace: Arc::clone(&view.network.namespace),
                    name: name.clone(),
                    view: held.clone(),
                    tie,
                }));
            }
        }
        found
    }

    /// A tree is in one network namespace: where that is known, the chains of all others are other dumps'. Metadata is
    /// known to be right only where there is such a chain.
    fn is_tied(&self) -> bool {
        self.views.iter().any(|view| match view.tie {
            Some(Tie::Metadata) => view.has_chain(),
            tie => tie.is_some(),
        })
    }

    fn chains(&self) -> Vec<Presence> {
        let mut found = Vec::new();
        for view in self.views.iter().filter(|view| view.tie.is_some() || !self.is_tied()) {
            for filter in &view.network.filters {
                let Some(chain) = &filter.lock_chain else { continue };
                found.push(Presence::Chain(FoundChain {
                    namespace: Arc::clone(&view.network.namespace),
                    place: filter.place,
                    view: chain.clone(),
                    tie: view.tie.filter(|tie| *tie != Tie::Recorded || filter.place.backend == Backend::Nft),
                }));
            }
        }
        found
    }

    /// Whether a chain may be where nobody could look.
    fn is_blind_for_chains(&self) -> bool {
        match self.is_tied() {
            true => self.views.iter().any(|view| view.tie.is_some() && !view.network.failures.is_empty()),
            false => !self.failures.is_empty(),
        }
    }

    /// Whoever named the wrong namespace should hear of the others that are closed too.
    fn chains_elsewhere(&self) -> Option<String> {
        let others: Vec<String> = self
            .views
            .iter()
            .filter(|view| self.is_tied() && view.tie.is_none())
            .filter(|view| view.has_chain())
            .map(|view| view.network.namespace.to_string())
            .collect();
        let is_any = !others.is_empty();
        is_any.then(|| format!("a chain CRIU is also in {}, which is taken for another dump's", others.join(", ")))
    }

    /// A connection that was locked by elements of a table is where the table is.
    fn note_tables_of_connections(&self, survey: &mut Survey) {
        let held: HashSet<_> = survey
            .findings
            .iter()
            .filter_map(|finding| match &finding.presence {
                Presence::Table(table) => Some(table.view.flows.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for finding in &mut survey.findings {
            if let (Residue::Connection(locked), Presence::InTable(flows)) = (&finding.residue, &mut finding.presence) {
                *flows = Direction::BOTH
                    .into_iter()
                    .filter(|direction| held.contains(&locked.connection.flow(*direction)))
                    .count();
            }
        }
    }
}

/// One finding for each place where an object was found, or one that says that it was found nowhere.
fn spread(residue: Residue, mut found: Vec<Presence>, is_blind: bool) -> Vec<Finding> {
    if found.is_empty() {
        found.push(if is_blind { Presence::Unreachable(Cause::Firewall) } else { Presence::Gone });
    }
    found.into_iter().map(|presence| Finding { residue: residue.clone(), presence }).collect()
}

/// The name of the tool's own namespace: it says which one is meant, and `--netns` takes it.
const OWN_NAMESPACE: &str = "/proc/self/ns/net";

/// What is looked for.
#[derive(Default)]
struct Wanted<'a> {
    tables: Vec<&'a str>,
    has_chain: bool,
    /// What rules of single connections drop.
    flows: HashSet<Flow>,
}

impl<'a> Wanted<'a> {
    fn of(locks: &'a [Residue]) -> Self {
        let mut wanted = Wanted::default();
        for lock in locks {
            match lock {
                Residue::LockTable(table) => wanted.tables.extend(table.names.iter().map(TableName::as_str)),
                Residue::LockChain(_) => wanted.has_chain = true,
                Residue::Connection(LockedConnection { connection, lock: ConnectionLock::Rules(_), .. }) => {
                    wanted.flows.extend(Direction::BOTH.map(|direction| connection.flow(direction)));
                }
                Residue::Connection(_) | Residue::LinkRemap(_) => {}
            }
        }
        wanted
    }

    /// What of it can be in a namespace: rules of single connections only where CRIU ran, all else in every one.
    fn parts<'b>(&'b self, is_crius: bool, no_flows: &'b HashSet<Flow>) -> Parts<'b> {
        let filters = match is_crius {
            true => (self.has_chain || !self.flows.is_empty()).then_some(&self.flows),
            false => self.has_chain.then_some(no_flows),
        };
        Parts { tables: &self.tables, filters }
    }
}

/// No more is kept of what tables hold, in all namespaces together: whoever knows the name of a table can fill one in each
/// of their own.
const FLOWS_LIMIT: usize = 1_000_000;

/// Gives up the tables of a namespace if those before hold so much already; then they are not known.
fn limit_flows(network: &mut NetworkView, kept: &mut usize) {
    *kept += network.tables.iter().map(|table| table.flows.len()).sum::<usize>();
    if *kept > FLOWS_LIMIT {
        network.tables.clear();
        network.failures.push(LookFailure {
            namespace: network.namespace.to_string(),
            part: "nf_tables",
            error: format!("tables of these names hold more than {FLOWS_LIMIT} connections"),
        });
    }
}

/// What a namespace is, whatever names it: its device and inode number.
pub(crate) fn namespace_id(namespace: &NetNamespace) -> (u64, u64) {
    (namespace.device, namespace.inode)
}

/// A table that only its pid names is looked for where it can be meant: where CRIU ran, or in a tied namespace. In
/// others another dump may have used the same pid.
fn may_be_there(name: &TableName, view: &View) -> bool {
    name.is_signed() || view.is_crius || view.tie.is_some()
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

/// The namespaces that the user named, those for the key of the images among them.
fn named_namespaces(checkpoint: &Checkpoint, hints: &Hints) -> Result<Vec<NetNamespace>, ProbeError> {
    let for_key = hints
        .external_namespaces
        .iter()
        .filter(|(key, _)| checkpoint.network.external_key.as_ref() == Some(key))
        .map(|(_, path)| path);
    let paths: Vec<&PathBuf> = hints.namespaces.iter().chain(for_key).collect();
    Ok(paths.into_iter().map(|path| netns::open(path)).collect::<Result<_, _>>()?)
}

/// Whether what is recorded could not be of just any namespace: devices like `sit0` are in all of them.
fn is_distinctive(recorded: &Network) -> bool {
    let has_address = |device: &Device| device.hardware_address.iter().any(|byte| *byte != 0);
    !recorded.addresses.is_empty() || recorded.devices.iter().any(has_address)
}

fn has_devices(namespace: &Arc<NetNamespace>, recorded: &Network) -> bool {
    let look = || Some((interfaces::links().ok()?, interfaces::addresses().ok()?));
    let Ok(Some((links, addresses))) = netns::within(namespace, look) else { return false };
    let addresses: HashSet<(u32, IpAddr)> = addresses.iter().map(|each| (each.index, each.address)).collect();
    let has_all_devices = recorded.devices.iter().all(|device| {
        links.iter().any(|link| {
            (link.index, &link.name, &link.hardware_address) == (device.index, &device.name, &device.hardware_address)
        })
    });
    has_all_devices && recorded.addresses.iter().all(|each| addresses.contains(&(each.index, each.address)))
}

/// While CRIU dumps or restores, and in tasks that a killed restore left behind, sockets with the run id in their
/// names are open (`criu/files.c`, `criu/fdstore.c`, `compel/src/lib/infect.c`).
fn criu_by_socket(namespace: &NetNamespace, run_id: &str) -> Option<LiveTask> {
    let names = netns::within(namespace, process::abstract_unix_sockets).ok()?.ok()?;
    let name = names.into_iter().find(|name| {
        let is_criu = name.starts_with(b"/crtools-") || name.starts_with(b"/criu-") || name.starts_with(b"crtools-");
        is_criu && name.ends_with(run_id.as_bytes())
    })?;
    Some(LiveTask { pid: 0, name, state: b'?' })
}
