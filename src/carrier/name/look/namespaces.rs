// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Other mount namespaces, if the tool's own may not be the one in which CRIU ran: what has the same path there.

use std::path::Path;
use std::sync::OnceLock;

use crate::host::{Host, MountNamespace, Sight, look_in};
use crate::mounts::Place;
use crate::system::dir::{Directory, FileError, FileIdentity, Reach};

/// The other mount namespaces, that of process 1 first.
#[derive(Debug)]
pub(super) struct OtherNamespaces {
    namespaces: Vec<MountNamespace>,
    /// Whether that of process 1 is among them.
    has_first: bool,
    /// Their root directories; opened once, for ten thousand links may be looked for.
    roots: OnceLock<Vec<Result<Directory, FileError>>>,
}

/// What a path is in other mount namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InOthers {
    /// In none of them there is such a file, that of process 1 included.
    Nothing,
    /// In this one there is a file, or it cannot be looked at.
    Perhaps(MountNamespace),
    /// That of process 1 cannot be seen.
    Unseen,
}

impl OtherNamespaces {
    pub(super) fn new(host: &Host) -> Self {
        let first = host.first_mounts();
        let has_first = first.is_some();
        let mut namespaces: Vec<MountNamespace> = first.into_iter().collect();
        for namespace in host.other_mounts() {
            if namespaces.iter().all(|known| known.number != namespace.number) {
                namespaces.push(namespace);
            }
        }
        OtherNamespaces { namespaces, has_first, roots: OnceLock::new() }
    }

    /// What the path of a place below this root directory is in the others.
    pub(super) fn look(&self, root: &Path, place: &Place) -> InOthers {
        if !self.has_first {
            return InOthers::Unseen;
        }
        let is_nothing = |root: &Result<Directory, FileError>, inside: &Path| {
            root.as_ref().is_ok_and(|opened| matches!(entry(opened, inside, place), Ok(None)))
        };
        let inside = root.strip_prefix("/").unwrap_or(root);
        let mut all = self.namespaces.iter().zip(self.roots());
        match all.find(|(_, opened)| !is_nothing(opened, inside)) {
            Some((namespace, _)) => InOthers::Perhaps(namespace.clone()),
            None => InOthers::Nothing,
        }
    }

    /// Whether the path of a place leads to this file in the mount namespace of process 1 too.
    pub(super) fn is_of_first(&self, root: &Path, place: &Place, file: &FileIdentity) -> bool {
        let first = self.roots().first().filter(|_| self.has_first);
        let Some(Ok(first)) = first else { return false };
        let found = entry(first, root.strip_prefix("/").unwrap_or(root), place);
        found.is_ok_and(|found| found.is_some_and(|found| found.is_same_inode(file)))
    }

    fn roots(&self) -> &[Result<Directory, FileError>] {
        self.roots.get_or_init(|| self.namespaces.iter().map(MountNamespace::open_root).collect())
    }
}

/// What a path below a root directory is. CRIU names none that leads over a symbolic link.
fn entry(root: &Directory, inside: &Path, place: &Place) -> Result<Option<FileIdentity>, FileError> {
    let (directory, name) = place.split();
    let opened = match root.below(&inside.join(directory), Reach::AcrossMounts) {
        Ok(opened) => opened,
        Err(error) if error.is_no_directory() => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match look_in(&opened, name)? {
        Sight::Found(identity) => Some(identity),
        Sight::Absent(_) => None,
    })
}
