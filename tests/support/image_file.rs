// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes image files, in the forms in which CRIU wrote them.

use criu_images::ImageKind;
use prost::Message;

/// The form of an image's head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// The kind's own magic number only: before CRIU 1.6.
    OneMagic,
    /// A common magic number before it, as CRIU does since 1.6, except in the inventory.
    TwoMagics,
}

/// The bytes of an image that holds these entries.
pub(crate) fn image<M: Message>(kind: ImageKind, framing: Framing, entries: &[M]) -> Vec<u8> {
    let head = kind.head_magic().filter(|_| framing == Framing::TwoMagics);
    let mut bytes: Vec<u8> = head.into_iter().chain([kind.magic()]).flat_map(u32::to_le_bytes).collect();
    for entry in entries {
        bytes.extend(record(&entry.encode_to_vec()));
    }
    bytes
}

/// A record: its length, and what it holds.
pub(crate) fn record(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a record");
    [&length.to_le_bytes(), content].concat()
}
