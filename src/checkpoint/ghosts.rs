// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what the images say about ghost files: open files that had no name left at the dump.

use std::collections::HashMap;
use std::io::BufReader;

use criu_images::{Entry, GhostFileEntry, ImageReader, Remap};

use super::budget::{Budget, Fact};
use super::problem::ReadError;
use super::{GhostRecord, Record, RemapRecord};
use crate::evidence::Evidence;
use crate::locate::{ImageFile, Images};
use crate::system::author::Author;

/// The first record is short, and the content after it is not read.
const BUFFER: usize = 4096;

/// What each ghost file of the remaps looked like. One whose image is missing or cut cannot be restored, so nothing is
/// left of it.
pub(super) fn read(
    images: &Images,
    remaps: &[RemapRecord],
    author: &mut Author,
    budget: &mut Budget,
) -> Result<HashMap<u32, GhostRecord>, ReadError> {
    let mut ghosts = HashMap::new();
    for remap in remaps {
        let Remap::Ghost { ghost_id } = remap.entry.remap() else { continue };
        let name = GhostFileEntry::KIND.file_name(ghost_id);
        let Some(file) = images.image(&name)? else { continue };
        *author = author.or(file.author);
        let Some(ghost) = first(file, &name) else { continue };
        // Its remap is charged already.
        budget.charge(Fact::Id, ghost.entry.symlink_target.as_ref().map_or(0, Vec::len))?;
        ghosts.insert(ghost_id, ghost);
    }
    Ok(ghosts)
}

/// The content of the file follows after the first record.
fn first(file: ImageFile, name: &str) -> Option<GhostRecord> {
    let record = ImageReader::open(BufReader::with_capacity(BUFFER, file)).ok()?.next()?.ok()?;
    let evidence = Evidence { image: name.into(), record: record.index, offset: record.offset };
    Some(Record { entry: record.entry, evidence })
}
