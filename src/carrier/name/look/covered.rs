// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a path in the tool's own mount namespace may have led to at the dump: other mounts may cover it now, or the
//! filesystem may not be mounted any more.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::carrier::Elsewhere;
use crate::checkpoint::DumpSpan;
use crate::host::{Found, HiddenBy, Layers};
use crate::mounts::Place;
use crate::system::dir::FileError;

/// Looks below mounts; the links of one directory follow one another.
#[derive(Debug)]
pub(super) struct Covers {
    span: Option<DumpSpan>,
    /// Whether process 1 was started after the dump: filesystems in memory were re-created.
    is_restarted: bool,
    last: Mutex<Option<(PathBuf, Arc<Layers>)>>,
}

impl Covers {
    pub(super) fn new(span: Option<DumpSpan>, is_restarted: bool) -> Self {
        Covers { span, is_restarted, last: Mutex::new(None) }
    }

    /// Why a file that is not at its path may be there all the same.
    pub(super) fn objection(&self, place: &Place) -> Result<Option<Elsewhere>, FileError> {
        let (directory, name) = place.split();
        let layers = self.layers(directory)?;
        match layers.find(name)? {
            Some(Found::Below(mountpoint)) => return Ok(Some(Elsewhere::Covered(mountpoint.to_owned()))),
            // It came just now, or a mount that covered it went.
            Some(Found::InSight) => return Ok(Some(Elsewhere::Returned)),
            None => {}
        }
        let has_changed = self.has_changed(&layers);
        // Who may not look below a mount can still see that the dump has been at work above it.
        let decides = |cause: HiddenBy| matches!(cause, HiddenBy::Mount) || has_changed != Some(true);
        if let Some(hidden) = layers.hidden().iter().find(|hidden| decides(hidden.cause)) {
            return Ok(Some(Elsewhere::PerhapsCovered(hidden.clone())));
        }
        let untouched = layers.nearest().filter(|_| has_changed == Some(false));
        Ok(untouched.map(|nearest| Elsewhere::Untouched(nearest.to_owned())))
    }

    /// Whether there is a file of the same path below a mount.
    pub(super) fn covers_another(&self, place: &Place) -> bool {
        let (directory, name) = place.split();
        let found = |layers: &Layers| matches!(layers.find(name), Ok(Some(Found::Below(_))) | Err(_));
        self.layers(directory).map_or(true, |layers| found(&layers))
    }

    /// Whether the dump, and whoever took its link away, can have been at work there. `None`: no times are known.
    fn has_changed(&self, layers: &Layers) -> Option<bool> {
        let DumpSpan { began, ended } = self.span?;
        Some(layers.have_changed(began, ended) || self.is_restarted && layers.are_younger(ended))
    }

    fn layers(&self, directory: &Path) -> Result<Arc<Layers>, FileError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, layers)) = last.filter(|(last, _)| last == directory) {
            return Ok(layers);
        }
        // Without the lock: a filesystem that does not answer must not hold up whoever goes on without it.
        let layers = Arc::new(Layers::look(directory)?);
        let known = (directory.to_owned(), Arc::clone(&layers));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(layers)
    }
}
