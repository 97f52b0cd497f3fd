// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds a record from findings.

use std::path::Path;

use super::repeat;
use crate::carrier::{FilterQuery, FoundChain, FoundFile, FoundRules, FoundTable, Presence, Query};
use crate::checkpoint::{Checkpoint, NetworkScope};
use crate::host;
use crate::json::Bytes;
use crate::probe::{Finding, Survey};
use crate::record::document::{
    Chain, Connection, Directory, Document, Dump, Link, Machine, Network, Role, Rule, Table, VERSION,
};
use crate::record::facts::ImagesDirectory;
use crate::record::fields::{Device, Time};
use crate::system::machine;
use crate::system::netns::{self, NetNamespace, NetworkName};

/// The record of a survey that was made while the tree was still frozen. `namespace` is the one that the dump locked;
/// nothing is told of others.
pub(super) fn document(
    directory: &Path,
    images: Option<ImagesDirectory>,
    checkpoint: &Checkpoint,
    survey: &Survey,
    namespace: Option<&NetNamespace>,
) -> Document {
    let links: Vec<Link> = survey.findings.iter().filter_map(link).collect();
    let latest = links.iter().flat_map(|link| [link.changed.0, link.directory.changed.0]).max();
    // Whatever changes one of them after the record was made gets another time than the one in the record.
    if let Some(latest) = latest {
        machine::await_later_file_time(latest);
    }
    let mut not_recorded: Vec<String> = survey.findings.iter().filter_map(not_found).collect();
    not_recorded.extend(survey.failures.iter().map(|failure| format!("{}: {}", failure.part, failure.error)));
    let network = namespace.map(|namespace| network(checkpoint, survey, namespace, &mut not_recorded));
    let facts = repeat::facts(checkpoint, survey, &links, images);
    Document {
        criu_gc_record: VERSION,
        tool: concat!("criu-gc ", env!("CARGO_PKG_VERSION")).to_owned(),
        recorded: Time(machine::now()),
        machine: Machine {
            boot_id: machine::boot_id(),
            machine_id: machine::machine_id(),
            name: machine::host_name(),
            pid_namespace: host::own_pid_namespace(),
        },
        dump: Dump {
            run_id: checkpoint.run_id().map(|id| id.text),
            images_written: checkpoint.written.map(Time),
            images_directory: Bytes::of_path(directory),
        },
        links,
        network,
        not_recorded,
        facts: Some(facts),
        restores: Vec::new(),
    }
}

fn link(finding: &Finding) -> Option<Link> {
    let (Query::Name(name), Presence::File(file)) = (finding.residue.query(), &finding.presence) else { return None };
    let FoundFile { place, filesystem, directory, identity, .. } = file;
    Some(Link {
        id: name.shape.id,
        link: Bytes(name.path),
        path: Bytes::of_path(&place.path()),
        device: Device(identity.device),
        filesystem: filesystem.uuid.map(|uuid| uuid.to_string()),
        disk_sequence: filesystem.disk_sequence,
        inode: identity.inode,
        born: identity.born.map(Time),
        changed: Time(identity.changed),
        links: identity.links,
        size: identity.size,
        directory: Directory { inode: directory.inode, changed: Time(directory.changed) },
    })
}

/// A link that ended with the tree needs no record.
fn not_found(finding: &Finding) -> Option<String> {
    let Query::Name(name) = finding.residue.query() else { return None };
    let what = match finding.presence {
        Presence::Gone(_) => "does not exist",
        Presence::Unreachable(_) => "could not be checked",
        Presence::Vanished(_)
        | Presence::Untied(_)
        | Presence::File(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::Table(_)
        | Presence::Chain(_)
        | Presence::Entry(_)
        | Presence::Task(_) => return None,
    };
    Some(format!("{} {what}", String::from_utf8_lossy(&name.path)))
}

fn network(
    checkpoint: &Checkpoint,
    survey: &Survey,
    namespace: &NetNamespace,
    not_recorded: &mut Vec<String>,
) -> Network {
    let cookie = netns::cookie(namespace).map_err(|error| not_recorded.push(error.to_string())).ok();
    let is_here = |other: &NetworkName| other.id == namespace.id();
    let mut network = Network {
        role: if checkpoint.network_scope() == NetworkScope::Criu { Role::Criu } else { Role::Tree },
        name: namespace.to_string(),
        device: namespace.id().device,
        inode: namespace.id().inode,
        cookie,
        complete: survey.failures.is_empty(),
        connections: Vec::new(),
        tables: Vec::new(),
        chains: Vec::new(),
    };
    for finding in &survey.findings {
        match &finding.presence {
            Presence::Rules(found) if is_here(&found.namespace) => {
                network.connections.extend(connection(finding, found));
            }
            Presence::Table(found) if is_here(&found.namespace) => network.tables.push(table(found)),
            Presence::Chain(found) if is_here(&found.namespace) => network.chains.push(chain(found)),
            Presence::Rules(_)
            | Presence::Table(_)
            | Presence::Chain(_)
            | Presence::InTable(_)
            | Presence::Entry(_)
            | Presence::Task(_)
            | Presence::File(_)
            | Presence::Gone(_)
            | Presence::Vanished(_)
            | Presence::Untied(_)
            | Presence::Unreachable(_) => {}
        }
    }
    network
}

fn connection(finding: &Finding, found: &FoundRules) -> Option<Connection> {
    let Query::Filter(FilterQuery::Rules { connection, .. }) = finding.residue.query() else { return None };
    let rules = found.rules.iter().map(|each| Rule::of(each.place, each.key.direction, each.table, &each.id)).collect();
    Some(Connection { local: connection.local, peer: connection.peer, rules })
}

fn table(found: &FoundTable) -> Table {
    Table { name: found.name.as_str().to_owned(), handle: found.view.handle }
}

fn chain(found: &FoundChain) -> Chain {
    let FoundChain { place, view, .. } = found;
    let jumps = view.jumps.iter().map(|(direction, id)| Rule::of(*place, *direction, view.table, id)).collect();
    Chain { command: place.to_string(), table: view.table, handle: view.handle, jumps }
}
