// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `NAME.criu-sk-ghost`: a file of the user's own. If a Unix socket was deleted before the dump, and a file has its name by
//! now, a restore moves that file aside, binds the socket, and moves the file back. Killed in between, it leaves the file under
//! the other name; and the next restore may put another file over it. So it gets its own name back, before all else.

use super::basis::is_directory;
use super::original::{MountPoints, mount_of_socket, split};
use super::{Basis, Claims, Description, Kind, LeftBy, Target};
use crate::carrier::name::{FileMount, NameAct, NameShape};
use crate::carrier::{FoundFile, NameQuery, Query};
use crate::checkpoint::{Checkpoint, UnixSocketRecord};
use crate::evidence::Evidence;
use crate::mounts;
use crate::part::Part;
use crate::reason::KeepReason;

/// A file that a restore moved aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedFile {
    /// Its name, absolute, as the tree saw it.
    pub name: Vec<u8>,
    /// Its own name.
    original: Vec<u8>,
    mount: FileMount,
    /// The entry of the socket.
    evidence: Vec<Evidence>,
}

const SUFFIX: &[u8] = b".criu-sk-ghost";

impl Kind for ParkedFile {
    type Found = FoundFile;
    const LEFT_BY: LeftBy = LeftBy::KilledRestore;
    const PART: Part = Part::Files;

    fn claim(checkpoint: &Checkpoint, claims: &mut Claims) {
        if checkpoint.deleted_sockets.is_empty() {
            return;
        }
        let points = MountPoints::of(checkpoint);
        let mut files: Vec<ParkedFile> =
            checkpoint.deleted_sockets.iter().filter_map(|socket| parked(&points, socket)).collect();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        files.dedup_by(|one, other| one.name == other.name);
        claims.residues.extend(files.into_iter().map(Into::into));
    }

    fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn query(&self) -> Query {
        Query::Name(NameQuery {
            path: self.name.clone(),
            original: Some(self.original.clone()),
            mount: self.mount,
            size: None,
            shape: NameShape { stem: "criu-sk-ghost", id: 0, is_own: |name, _| name.ends_with(SUFFIX) },
            act: NameAct::RenameBack,
            beside: Some(split(&self.original).1.to_vec()),
        })
    }

    fn objections(&self, file: &FoundFile, basis: &Basis<'_>) -> Vec<KeepReason> {
        let mut reasons = basis.about_other_criu();
        if is_directory(file.identity.mode) {
            reasons.push(KeepReason::Directory);
        }
        if file.beside.is_some() {
            reasons.push(KeepReason::NameTaken);
        }
        reasons
    }

    fn describe(&self, _: Option<&FoundFile>) -> Description {
        Description {
            kind: "parked-file",
            fields: vec![("name", self.name.clone().into()), ("original", self.original.clone().into())],
            label: "Your file",
            name: self.name.clone(),
            target: Target::Is(self.original.clone()),
            remark: Some("moved aside by a restore that was killed"),
            recognised: None,
        }
    }
}

fn parked(points: &MountPoints, socket: &UnixSocketRecord) -> Option<ParkedFile> {
    let original = socket.entry.path().filter(|path| mounts::is_plain_path(path))?;
    let mount = mount_of_socket(points, socket.entry.mount_id(), &original);
    Some(ParkedFile { name: [&original, SUFFIX].concat(), original, mount, evidence: vec![socket.evidence.clone()] })
}
