// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu_service.socket` and `lazy-pages.socket` in the work directory, after their criu was killed. The next one fails
//! with "Address already in use".

use super::temporary::describe_entry;
use super::{Basis, Claims, Description, Kind, LeftBy};
use crate::carrier::entry::{Content, Socket};
use crate::carrier::{EntryPlace, EntryQuery, FoundEntry, Query};
use crate::checkpoint::Checkpoint;
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// A socket of CRIU's on which nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSocket;

const SHAPE: &str = "its name, its owner root, and that nobody listens on it";

impl Kind for DeadSocket {
    type Found = FoundEntry;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(_: &Checkpoint, claims: &mut Claims) {
        claims.add(DeadSocket);
    }

    fn evidence(&self) -> &[Evidence] {
        &[]
    }

    fn query(&self) -> Query {
        Query::Entry(EntryQuery {
            places: &[EntryPlace::Work],
            is_name: |name| matches!(name, b"criu_service.socket" | b"lazy-pages.socket"),
            is_own: |entry| entry.identity.owner == 0 && entry.content == Content::Socket(Socket::Dead),
        })
    }

    fn objections(&self, _: &FoundEntry, _: &Basis<'_>) -> Vec<KeepReason> {
        Vec::new()
    }

    fn describe(&self, found: Option<&FoundEntry>) -> Description {
        describe_entry("dead-socket", "Dead socket", SHAPE, found)
    }
}
