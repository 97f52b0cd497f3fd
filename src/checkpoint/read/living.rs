// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the images know of a tree that lives on after its dump: what a cure of the living gives back.

use std::collections::HashMap;

use criu_images::{CoreEntry, ImageKind, InetSkEntry};

use super::super::problem::ReadError;
use super::Reader;
use crate::checkpoint::Record;
use crate::checkpoint::budget::Fact;
use crate::connection::Connection;
use crate::locate::Images;

/// How threads and connections were before the dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LivingFacts {
    /// The signals that each thread blocked, by its id in its own pid namespace.
    pub blocked_signals: HashMap<u32, u64>,
    /// `SO_REUSEADDR` of each TCP connection.
    pub reuses_address: HashMap<Connection, bool>,
}

/// Reads them. Images that were cut tell less.
pub fn living_facts(images: &Images) -> Result<LivingFacts, ReadError> {
    let mut reader = Reader::new(images);
    let mut facts = LivingFacts::default();
    for thread in images.ids(ImageKind::Core) {
        reader.budget.charge(Fact::Task, 0)?;
        let core: Option<Record<CoreEntry>> = reader.first(thread)?;
        let blocked = core.and_then(|core| core.entry.blocked_signals());
        facts.blocked_signals.extend(blocked.map(|blocked| (thread, blocked)));
    }
    reader.records(0, |file: criu_images::FileEntry, _, order, budget| {
        budget.charge(Fact::Connection, 0)?;
        facts.reuses_address.extend(file.isk.as_ref().and_then(|socket| reuses_address(socket, order)));
        Ok(())
    })?;
    Ok(facts)
}

fn reuses_address(socket: &InetSkEntry, order: criu_images::ByteOrder) -> Option<(Connection, bool)> {
    let connection = Connection { local: socket.local(order)?, peer: socket.peer(order)? };
    // What was not on is not written.
    socket.is_tcp_connection().then(|| (connection, socket.opts.and_then(|opts| opts.reuseaddr).unwrap_or_default()))
}
