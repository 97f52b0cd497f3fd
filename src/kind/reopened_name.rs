// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names under which a restore opens a file that had none left: its deleted name, or `NAME.cr_link` if that is taken. They
//! are links to the ghost file or link remap beside them, which the restore removes when the file is open. If the task dies
//! in between, such a name stays. Only as a second name of that inode it goes, so no content is ever lost with it.

use std::collections::BTreeMap;

use criu_images::Remap;

use super::ghost_file::suffix;
use super::original::{MountPoints, Original, absolute, split};
use super::{Basis, Claims, Description, Kind, LeftBy, Target};
use crate::carrier::name::{NameAct, NameShape};
use crate::carrier::{FoundFile, NameQuery, Query};
use crate::checkpoint::{Checkpoint, RemapRecord};
use crate::evidence::Evidence;
use crate::part::Part;
use crate::reason::KeepReason;

/// A name that a restore made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReopenedName {
    /// It, absolute, as the tree saw it.
    pub name: Vec<u8>,
    /// The name beside it: that of the ghost file or link remap.
    beside: Vec<u8>,
    original: Original,
    evidence: Vec<Evidence>,
}

const SUFFIX: &[u8] = b".cr_link";

impl Kind for ReopenedName {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        if checkpoint.remaps.is_empty() {
            return;
        }
        let points = MountPoints::of(checkpoint);
        let mut by_name: BTreeMap<Vec<u8>, ReopenedName> = BTreeMap::new();
        for remap in &checkpoint.remaps {
            for reopened in reopened(checkpoint, &points, remap).into_iter().flatten() {
                by_name.insert(reopened.name.clone(), reopened);
            }
        }
        claims.residues.extend(by_name.into_values().map(Into::into));
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        Query::Name(NameQuery {
            path: self.name.clone(),
            original: Some(self.original.name.clone()),
            mount: self.original.mount,
            size: None,
            // The last guard is that it has a twin.
            shape: NameShape { stem: "reopened", id: 0, is_own: |_, _| true },
            act: NameAct::UnlinkTwin,
            beside: Some(self.beside.clone()),
        })
    }

    fn recognises(&self, found: Option<&FoundFile>) -> bool {
        found.is_some_and(FoundFile::has_twin)
    }

    fn objections(&self, _: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        basis.about_other_criu()
    }

    fn describe(&self, _: Option<&FoundFile>) -> Description {
        Description {
            kind: "reopened-name",
            fields: vec![("name", self.name.clone().into()), ("beside", self.beside.clone().into())],
            label: "Second name",
            name: self.name.clone(),
            target: Target::Is(self.beside.clone()),
            remark: Some("made by a restore that was killed"),
            recognised: None,
        }
    }
}

/// The two names under which a restore may open the file of a remap.
fn reopened(checkpoint: &Checkpoint, points: &MountPoints, remap: &RemapRecord) -> Option<[ReopenedName; 2]> {
    let file = checkpoint.files.get(&remap.entry.orig_id)?;
    let own = absolute(&file.entry.name);
    let (directory, last) = split(&own);
    let beside = match remap.entry.remap() {
        Remap::Ghost { ghost_id } => [last, suffix(ghost_id).as_bytes()].concat(),
        Remap::Linked { file_id } => {
            let link = absolute(&checkpoint.files.get(&file_id)?.entry.name);
            let (of_link, name) = split(&link);
            (of_link == directory).then(|| name.to_vec())?
        }
        Remap::Procfs { .. } | Remap::Unknown { .. } | _ => return None,
    };
    let original = Original::of(checkpoint, points, file, "second name", &own).ok()?;
    let evidence: Vec<Evidence> = [&remap.evidence].into_iter().chain(&original.evidence).cloned().collect();
    let named = |name: Vec<u8>| ReopenedName {
        name,
        beside: beside.clone(),
        original: original.clone(),
        evidence: evidence.clone(),
    };
    Some([named(own.clone()), named([own.as_slice(), SUFFIX].concat())])
}
