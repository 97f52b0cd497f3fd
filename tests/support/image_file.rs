// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes image files, in the forms in which CRIU wrote them.

use criu_images::{ByteOrder, Entry, Framing, ImageWriter};

/// The bytes of an image that holds these entries.
pub(crate) fn image<E: Entry>(framing: Framing, entries: &[E]) -> Vec<u8> {
    let mut writer = ImageWriter::with_format(Vec::new(), framing, ByteOrder::Little).expect("memory");
    for entry in entries {
        writer.write(entry).expect("memory");
    }
    writer.into_inner()
}
