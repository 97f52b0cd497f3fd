// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Single entries, and image files of them in the forms in which CRIU wrote them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use criu_images::{ByteOrder, Entry, FileEntry, Framing, ImageWriter, InetSkEntry, RegFileEntry, RemapFilePathEntry};

/// The bytes of an image that holds these entries.
///
/// # Panics
/// If an entry cannot be written, which none of these tests wants.
pub fn image<E: Entry>(framing: Framing, entries: &[E]) -> Vec<u8> {
    let mut writer = ImageWriter::with_format(Vec::new(), framing, ByteOrder::Little).expect("memory");
    for entry in entries {
        writer.write(entry).expect("memory");
    }
    writer.into_inner()
}

/// A regular file of `files.img`, as it stands in its record.
pub fn regular(entry: RegFileEntry) -> FileEntry {
    entry.into()
}

/// A socket of `files.img`.
pub fn socket(entry: InetSkEntry) -> FileEntry {
    entry.into()
}

/// The entry of a file of which nothing but the name is known.
pub fn named(id: u32, path: &Path) -> RegFileEntry {
    RegFileEntry::default().with(|file| {
        file.id = id;
        file.name = path.as_os_str().as_bytes().to_vec();
    })
}

/// A remap as CRIU writes it since 1.4.
pub fn remap(orig_id: u32, remap_id: u32) -> RemapFilePathEntry {
    RemapFilePathEntry::default().with(|remap| {
        remap.orig_id = orig_id;
        remap.remap_id = remap_id;
        remap.remap_type = Some(0);
    })
}

/// Where the record of this number begins in an image.
pub fn offset<E: Entry>(entries: &[E], number: usize) -> usize {
    image(Framing::TwoMagics, &entries[..number]).len()
}
