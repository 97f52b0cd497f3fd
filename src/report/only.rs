// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `--only` leaves out, and what the choice means for a restore.

use serde::Serialize;

use super::words::count;
use super::{Object, Verdict};
use crate::checkpoint::Checkpoint;
use crate::part::Part;

/// The chosen part of what a checkpoint left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct OnlyReport {
    /// `network` or `files`.
    pub part: &'static str,
    /// How many objects of the other part exist, or may exist.
    pub left_out: usize,
    /// What the choice leaves out and what it means for a restore, in sentences.
    pub consequences: Vec<String>,
}

impl OnlyReport {
    pub(super) fn new(part: Part, checkpoint: &Checkpoint, objects: &[Object]) -> Self {
        let left_out = objects.iter().filter(|object| object.verdict == Verdict::LeftOut).count();
        let consequences = match part {
            Part::Network => network(checkpoint, objects, left_out),
            Part::Files => files(objects, left_out),
        };
        OnlyReport { part: part.name(), left_out, consequences }
    }
}

fn network(checkpoint: &Checkpoint, objects: &[Object], left_out: usize) -> Vec<String> {
    let files = count(left_out as u64, "file");
    let mut sentences = vec![match left_out {
        0 => "only the network lock".to_owned(),
        _ => format!("only the network lock; {files} that a restore may need left out"),
    }];
    if !objects.iter().any(|object| object.verdict == Verdict::Remove) {
        return sentences;
    }
    sentences.push(
        "criu restore still works without the lock: it logs an error for each missing rule, chain or table, and goes on"
            .to_owned(),
    );
    // CRIU 3.16 and later record the method.
    if checkpoint.inventory.as_ref().is_some_and(|inventory| inventory.entry.network_lock_method.is_none()) {
        sentences
            .push("a CRIU before 3.16 dumped this: criu#514 reports a failed restore without the rules".to_owned());
    }
    if checkpoint.locked_sockets().next().is_some() {
        sentences.push(
            "a peer that sends before the restore gets a reset: its connection is dead, also after the restore"
                .to_owned(),
        );
    }
    sentences
}

fn files(objects: &[Object], left_out: usize) -> Vec<String> {
    let locks = count(left_out as u64, "object");
    let mut sentences = vec![match left_out {
        0 => "only the files".to_owned(),
        _ => format!("only the files; {locks} of the network lock left out, which still drop packets"),
    }];
    let is_removed = |object: &&Object| object.verdict == Verdict::Remove && object.subject.kind == "link-remap";
    if objects.iter().any(|object| is_removed(&object)) {
        sentences.push("without its link remaps criu cannot restore the checkpoint".to_owned());
    }
    sentences
}
