// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the store knows about a checkpoint, and when it no longer has to know it.

use crate::causes::with_causes;
use crate::checkpoint::{self, Checkpoint};
use crate::host;
use crate::locate::Given;
use crate::record::document::Document;
use crate::record::store::{RecordStore, StoreError};
use crate::record::{Beside, Company, Record, Trust};
use crate::system::author::Author;

/// Adds what the stored record of a dump says: that it was restored, and the identities, unless a record next to the
/// images tells them. Gives what should be said of the store.
pub(super) fn complete(checkpoint: &mut Checkpoint, store: &RecordStore) -> Option<String> {
    match store.record(checkpoint.identity().as_images_id(), checkpoint.author) {
        Ok(record) => {
            record.into_iter().for_each(|record| add(checkpoint, record));
            None
        }
        Err(error) => Some(not_used(&error)),
    }
}

fn add(checkpoint: &mut Checkpoint, record: Record) {
    checkpoint.restores.succeeded = checkpoint::restore_of(&record).or(checkpoint.restores.succeeded.take());
    let is_told = match &checkpoint.record {
        Beside::Found(beside) => beside.trust == Trust::Full || record.trust == Trust::KeepOnly,
        Beside::Nothing | Beside::Ignored(_) => false,
    };
    if !is_told {
        checkpoint.record = Beside::Found(Box::new(record));
    }
}

/// Removes the stored record of a checkpoint of which nothing is left, and gives what should be said of that. Somebody
/// else's images may have any run id. The note of a restore stays as long as there are images that could be tried once
/// more.
pub(in super::super) fn prune(given: &Given, checkpoint: &Checkpoint, store: &RecordStore) -> Option<String> {
    if checkpoint.author != Author::Trusted || checkpoint.is_pre_dump() {
        return None;
    }
    let company = match given {
        Given::Images(_) => Company::Images,
        Given::Record(_) => Company::Alone,
    };
    let (identity, theirs) = (checkpoint.identity(), store.clone());
    let pruned = host::answer(&[store.path()], move || {
        let images = identity.as_images_id();
        let is_needed = |document: &Document| company == Company::Images && !document.restores.is_empty();
        match theirs.find(images)? {
            Some((_, document)) if !is_needed(&document) => theirs.remove(images).map(drop),
            Some(_) | None => Ok(()),
        }
    });
    match pruned {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(not_used(&error)),
        None => Some(host::does_not_answer(store.path())),
    }
}

fn not_used(error: &StoreError) -> String {
    format!("the store of records cannot be used: {}", with_causes(error))
}
