// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What it means that a link is not where it was looked for.

use std::path::Path;

use super::super::{Cause, Elsewhere, Presence, trace_of};
use crate::checkpoint::Checkpoint;
use crate::host::{Absence, Host, MountNamespace, OnlyPlace, Scope, Shared, Sight, Unseen, look_in};
use crate::mounts::{Base, Identity, MountHints, Place};
use crate::system::author::Author;
use crate::system::dir::{FileIdentity, Reach};
use crate::time::Timestamp;

/// Knows what a place stands for on this host.
#[derive(Debug)]
pub(super) struct Judge {
    author: Author,
    began: Option<Timestamp>,
    written: Option<Timestamp>,
    /// Whether the user named the root directory of the tree.
    is_root_named: bool,
    /// Why the tool's own mount namespace need not be the one that CRIU ran in.
    not_the_hosts: Option<Unseen>,
    /// The mount namespace of process 1, where it is another.
    first: Option<MountNamespace>,
}

impl Judge {
    pub(super) fn new(host: &Host, checkpoint: &Checkpoint, hints: &MountHints) -> Self {
        let of_others = |why: &str| Some(Unseen { scope: Scope::Directories, why: why.to_owned() });
        let not_the_hosts = match host.standing().mounts {
            Shared::Yes => host.hidden_from(&trace_of(checkpoint)),
            Shared::No => of_others("process 1 has another one"),
            Shared::Unknown => of_others("the mount namespace of process 1 cannot be seen"),
        };
        Judge {
            author: checkpoint.author,
            began: checkpoint.began,
            written: checkpoint.written,
            is_root_named: hints.root.is_some(),
            not_the_hosts,
            first: host.first_mounts(),
        }
    }

    /// Who may have written the images.
    pub(super) fn author(&self) -> Author {
        self.author
    }

    /// The answer where the nearest directory that is there has no such entry.
    pub(super) fn absent(&self, place: &Place, absence: Absence) -> Presence {
        let elsewhere = |why| Presence::Unreachable(Cause::Elsewhere(why));
        match &place.base {
            Base::Named(_) => Presence::Gone(absence.everywhere(OnlyPlace::Told)),
            Base::Root(_) if self.is_root_named => Presence::Gone(absence.everywhere(OnlyPlace::Told)),
            Base::Root(root) => match &self.not_the_hosts {
                None => Presence::Gone(absence.everywhere(OnlyPlace::HostsOwn)),
                Some(_) if self.is_absent_for_first(root, place) => {
                    Presence::Gone(absence.everywhere(OnlyPlace::HostsOwn))
                }
                Some(unseen) => elsewhere(Elsewhere::OtherNamespace(unseen.clone())),
            },
            Base::Upper(_) | Base::Recorded(_) if self.not_the_hosts.is_some() => match &self.not_the_hosts {
                Some(unseen) => elsewhere(Elsewhere::OtherNamespace(unseen.clone())),
                None => elsewhere(Elsewhere::OtherFilesystem),
            },
            Base::Mount { identity: Identity::Certain, .. } => {
                Presence::Gone(absence.everywhere(OnlyPlace::SameFilesystem))
            }
            Base::Mount { identity: Identity::ByName, .. }
            | Base::Upper(_)
            | Base::Recorded(_)
            | Base::Device { .. } => match self.has_seen_the_dump(absence.directory()) {
                true => Presence::Gone(absence.everywhere(OnlyPlace::SameFilesystem)),
                false => elsewhere(Elsewhere::OtherFilesystem),
            },
        }
    }

    /// Where the dump made a link, and whoever took it away, they changed the directory; and it was there before.
    fn has_seen_the_dump(&self, directory: &FileIdentity) -> bool {
        let (Some(began), Some(written)) = (self.began, self.written) else { return false };
        directory.changed >= began && directory.born.is_none_or(|born| born <= written.latest())
    }

    /// Whether the mount namespace of process 1, which is another, has no such file either.
    fn is_absent_for_first(&self, root: &Path, place: &Place) -> bool {
        let Some(first) = &self.first else { return false };
        let (directory, name) = place.split();
        let inside = root.strip_prefix("/").unwrap_or(root).join(directory);
        let Ok(opened) = first.open_root().and_then(|root| root.below(&inside, Reach::AcrossMounts)) else {
            return false;
        };
        look_in(&opened, name).is_ok_and(|sight| matches!(sight, Sight::Absent(_)))
    }
}
