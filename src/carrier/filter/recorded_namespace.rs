// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the network namespace that the record of a dump names.

use std::sync::Arc;

use super::RecordedNamespace;
use crate::record::document::Role;
use crate::record::{Record, Trust};
use crate::system::netns::{self, NetNamespace, NetworkId};

/// Which of these namespaces is the recorded one. Its inode number may have been used again since; its cookie is not,
/// until the machine stops.
pub(super) fn find(record: Option<&Record>, namespaces: &[Arc<NetNamespace>]) -> RecordedNamespace {
    let network = record.and_then(Record::network);
    let Some((network, cookie)) = network.and_then(|network| Some((network, network.cookie?))) else {
        return RecordedNamespace::Unknown;
    };
    let id = NetworkId { device: network.device, inode: network.inode };
    match namespaces.iter().find(|namespace| namespace.id() == id).map(|namespace| netns::cookie(namespace)) {
        Some(Ok(found)) if found == cookie => RecordedNamespace::Found(id),
        Some(Ok(_)) | None => RecordedNamespace::NotFound,
        Some(Err(_)) => RecordedNamespace::Unknown,
    }
}

/// Whether the tree's network namespace has ended, by a record that is believed.
pub(super) fn has_ended(record: Option<&Record>, found: RecordedNamespace) -> bool {
    let network = record.filter(|record| record.trust == Trust::Full).and_then(Record::network);
    network.is_some_and(|network| network.role == Role::Tree) && matches!(found, RecordedNamespace::NotFound)
}

/// The recorded namespace, if it was this to the dump, and the record is believed. One that another dump had closed
/// before is not this dump's alone.
pub(super) fn believed(record: Option<&Record>, found: RecordedNamespace, role: Role) -> Option<NetworkId> {
    let network = record.filter(|record| record.trust == Trust::Full)?.network()?;
    let RecordedNamespace::Found(id) = found else { return None };
    (network.role == role && network.is_closed_once()).then_some(id)
}
