// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a watch reads of the document of a pass. It passes on the rest as it is.

use criu_gc::scan::ScanSummary;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metrics::{self, Figures};

/// What one pass saw.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Seen {
    /// How long it took.
    pub(crate) milliseconds: u64,
    /// What it found.
    pub(crate) objects: Vec<Object>,
    /// The images that it found.
    pub(crate) checkpoints: Vec<Value>,
    /// What it could not look at.
    pub(crate) cannot_be_known: Vec<String>,
    /// The counts.
    pub(crate) summary: ScanSummary,
    /// How it ended.
    pub(crate) exit_status: u8,
}

/// An object, as it is printed with an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Object {
    /// What `criu-gc rm` takes.
    pub(crate) id: Value,
    pub(crate) kind: String,
    pub(crate) class: String,
    text: Value,
    since: Option<String>,
    /// The directory of the images that it belongs to.
    pub(crate) checkpoint: Option<Value>,
    command: Option<Value>,
    #[serde(skip_serializing)]
    outcome: Option<Outcome>,
    #[serde(skip_serializing)]
    failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Removed,
    AlreadyGone,
    Kept,
    Failed,
}

/// What a pass did with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate<'a> {
    /// It is there.
    There,
    /// It was removed.
    Cleaned,
    /// It went by itself before it was removed.
    Gone,
    /// It could not be removed, for this reason.
    Failed(&'a str),
}

impl Object {
    /// What became of it.
    pub(crate) fn fate(&self) -> Fate<'_> {
        match self.outcome {
            None | Some(Outcome::Kept) => Fate::There,
            Some(Outcome::Removed) => Fate::Cleaned,
            Some(Outcome::AlreadyGone) => Fate::Gone,
            Some(Outcome::Failed) => Fate::Failed(self.failure.as_deref().unwrap_or_default()),
        }
    }
}

impl Seen {
    /// The figures of the pass.
    pub(crate) fn figures(&self) -> Figures<'_> {
        let is_left = |object: &&Object| matches!(object.fate(), Fate::There | Fate::Failed(_));
        let left = self.objects.iter().filter(is_left);
        Figures {
            objects: metrics::count(left.map(|object| (object.class.as_str(), object.kind.as_str()))),
            unknown: self.cannot_be_known.len(),
            checkpoints: self.checkpoints.len(),
            needs_attention: self.summary.leaves_something(),
            milliseconds: self.milliseconds,
        }
    }
}
