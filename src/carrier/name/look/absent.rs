// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What it means that a link is not where it was expected.

use std::path::Path;

use super::covered::Covers;
use super::namespaces::{InOthers, OtherNamespaces};
use crate::carrier::{Cause, Elsewhere, FoundFile, Presence};
use crate::checkpoint::{Checkpoint, DumpSpan};
use crate::host::{Absence, Host, OnlyPlace, Scope, Shared, Unseen};
use crate::mounts::{Base, Identity, MountHints, Place, Vanished};
use crate::system::author::Author;
use crate::system::dir::{Directory, FileError, FileIdentity};
use crate::time::Timestamp;
use crate::tree::trace_of;

/// Knows what a place stands for on this host.
#[derive(Debug)]
pub(super) struct Judge {
    author: Author,
    span: Option<DumpSpan>,
    written: Option<Timestamp>,
    /// The device of the root directory, if the machine was restarted since the dump: other filesystems may have changed
    /// places.
    root_after_restart: Option<(u32, u32)>,
    /// Whether the user named the root directory of the tree.
    is_root_named: bool,
    /// Why the tool's own mount namespace need not be the one that CRIU ran in.
    not_the_hosts: Option<Unseen>,
    /// The other mount namespaces, where it need not be.
    others: Option<OtherNamespaces>,
    covers: Covers,
}

impl Judge {
    pub(super) fn new(host: &Host, checkpoint: &Checkpoint, hints: &MountHints) -> Self {
        let of_others = |why: &str| Some(Unseen { scope: Scope::Directories, why: why.to_owned() });
        let not_the_hosts = match host.standing().mounts {
            Shared::Yes => host.hidden_from(&trace_of(checkpoint)),
            Shared::No => of_others("process 1 has another one"),
            Shared::Unknown => of_others("the mount namespace of process 1 cannot be seen"),
        };
        let (span, written) = (checkpoint.span(), checkpoint.written);
        let is_restarted = written.is_some_and(|written| host.is_younger_than(written.latest()));
        Judge {
            author: checkpoint.author,
            span,
            written,
            root_after_restart: if is_restarted { device_of_root() } else { None },
            is_root_named: hints.root.is_some(),
            others: not_the_hosts.is_some().then(|| OtherNamespaces::new(host)),
            not_the_hosts,
            covers: Covers::new(span, is_restarted),
        }
    }

    /// Who may have written the images.
    pub(super) fn author(&self) -> Author {
        self.author
    }

    /// Whether the user named the place.
    pub(super) fn is_told(&self, place: &Place) -> bool {
        match place.base {
            Base::Named(_) => true,
            Base::Root(_) | Base::PerhapsRoot(_) => self.is_root_named,
            Base::Mount { .. } | Base::Upper { .. } | Base::Device { .. } | Base::Recorded(_) => false,
        }
    }

    /// The answer where the nearest directory that is there has no such entry.
    pub(super) fn absent(&self, place: &Place, absence: Absence) -> Result<Presence, FileError> {
        let elsewhere = |why| Presence::Unreachable(Cause::Elsewhere(why));
        if let Some(vanished) = self.of_younger(place, *absence.directory()) {
            return Ok(vanished);
        }
        if let (Base::Upper { .. } | Base::Recorded(_), Some(unseen)) = (&place.base, &self.not_the_hosts) {
            return Ok(elsewhere(Elsewhere::OtherNamespace(unseen.clone())));
        }
        Ok(match &place.base {
            Base::Named(_) => Presence::Gone(absence.everywhere(OnlyPlace::Told)),
            Base::Root(_) | Base::PerhapsRoot(_) if self.is_root_named => {
                Presence::Gone(absence.everywhere(OnlyPlace::Told))
            }
            Base::Root(root) | Base::PerhapsRoot(root) => match self.objection(root, place)? {
                None => Presence::Gone(absence.everywhere(OnlyPlace::HostsOwn)),
                Some(why) => elsewhere(why),
            },
            // If it is another tmpfs, the dumped one has ended.
            Base::Mount { identity: Identity::Certain, .. }
            | Base::Mount { is_tmpfs: true, .. }
            | Base::Upper { identity: Identity::Certain, .. } => {
                Presence::Gone(absence.everywhere(OnlyPlace::SameFilesystem))
            }
            Base::Mount { identity: Identity::ByName | Identity::OtherOptions, .. }
            | Base::Upper { identity: Identity::ByName | Identity::OtherOptions, .. }
            | Base::Recorded(_)
            | Base::Device { .. } => match self.can_have_changed(absence.directory()) {
                true => Presence::Gone(absence.everywhere(OnlyPlace::SameFilesystem)),
                false => elsewhere(Elsewhere::OtherFilesystem),
            },
        })
    }

    /// Why a file that is not at its path in the tool's own mount namespace may be somewhere else.
    fn objection(&self, root: &Path, place: &Place) -> Result<Option<Elsewhere>, FileError> {
        let (Some(unseen), Some(others)) = (&self.not_the_hosts, &self.others) else {
            return self.covers.objection(place);
        };
        Ok(match others.look(root, place) {
            InOthers::Nothing => None,
            InOthers::Unseen => Some(Elsewhere::OtherNamespace(unseen.clone())),
            InOthers::Perhaps(namespace) if namespace.process == Some(1) => {
                Some(Elsewhere::OtherNamespace(unseen.clone()))
            }
            InOthers::Perhaps(namespace) => {
                let why = format!("{} may have it", namespace.describe());
                Some(Elsewhere::OtherNamespace(Unseen { scope: Scope::Directories, why }))
            }
        })
    }

    /// The answer for a directory of another tmpfs than the dumped one, whatever is in it: of two that have had one number
    /// the older has ended.
    pub(super) fn of_younger(&self, place: &Place, directory: FileIdentity) -> Option<Presence> {
        let written = self.written.filter(|_| place.base.identity() == Identity::OtherOptions)?;
        let absence = Absence::in_younger(directory, written)?;
        Some(Presence::Vanished(Vanished::Tmpfs(absence.everywhere(OnlyPlace::SameFilesystem))))
    }

    /// The place of a file that was found, in this directory, with how certain it is: another file may have the same path in
    /// another mount namespace, below a mount, on a filesystem that was mounted there before a restart, or in a directory
    /// that was put in the place of another.
    pub(super) fn found(&self, place: &Place, file: &FileIdentity, directory: &Directory) -> Result<Place, FileError> {
        let is_certain = self.is_certain(place, file) && !self.may_lead_elsewhere(place, file, directory)?;
        let place = place.clone();
        Ok(if is_certain { place } else { place.unconfirmed() })
    }

    fn is_certain(&self, place: &Place, file: &FileIdentity) -> bool {
        let Base::Root(root) = &place.base else { return true };
        self.is_root_named
            || match &self.others {
                Some(others) => others.is_of_first(root, place, file),
                None => {
                    self.root_after_restart.is_none_or(|root| root == file.device) && !self.covers.covers_another(place)
                }
            }
    }

    /// Whether another directory may be on the way to a file than at the dump. The link that a dump makes changes its file;
    /// so one that was changed before the dump is another's, unless the images were copied without their times. A
    /// directory that was put in the place of another shows its own change.
    fn may_lead_elsewhere(&self, place: &Place, file: &FileIdentity, directory: &Directory) -> Result<bool, FileError> {
        let Some(span) = self.span else { return Ok(false) };
        if self.is_told(place) || file.changed.latest() >= span.began {
            return Ok(false);
        }
        let mut above: Option<Directory> = None;
        for _ in place.split().0.components() {
            let directory = above.as_ref().unwrap_or(directory);
            let changed = directory.identity()?.changed;
            // Of the directories above, names come and go; one that was moved changes without that.
            if changed > span.ended && (above.is_none() || changed > directory.modified()?) {
                return Ok(true);
            }
            let Some(next) = directory.parent()? else { break };
            above = Some(next);
        }
        Ok(false)
    }

    /// Whether this is a directory where the dump can have made a link that is not there any more.
    fn can_have_changed(&self, directory: &FileIdentity) -> bool {
        self.span.is_some_and(|span| span.can_have_changed(directory))
    }

    /// Whether a file that was found was last changed before the dump: making a link changes it.
    pub(super) fn is_older_than_dump(&self, found: &FoundFile) -> bool {
        self.span.is_some_and(|span| found.identity.changed.latest() < span.began)
    }

    /// Whether a file that was found is one that the dump can have made.
    pub(super) fn can_have_made(&self, found: &FoundFile) -> bool {
        self.span.is_some_and(|span| span.made(&found.identity, &found.directory))
    }
}

/// As `stat` shows it.
fn device_of_root() -> Option<(u32, u32)> {
    Some(Directory::open(Path::new("/")).and_then(|root| root.identity()).ok()?.device)
}
