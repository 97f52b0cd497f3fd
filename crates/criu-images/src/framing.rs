// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The head of an image: one magic number or two.

use crate::{ByteOrder, ImageKind};

/// How an image begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// With the magic number of its kind: until CRIU 1.5, which is version 1 of the image format.
    OneMagic,
    /// With a common magic number before that of its kind: since CRIU 1.6. An inventory has one magic number all the
    /// same.
    TwoMagics,
}

impl Framing {
    /// The bytes before the first record.
    pub(crate) fn head(self, kind: ImageKind, order: ByteOrder) -> Vec<u8> {
        let head_magic = match self {
            Framing::OneMagic => None,
            Framing::TwoMagics => kind.head_magic(),
        };
        head_magic.into_iter().chain([kind.magic()]).flat_map(|magic| order.bytes(magic)).collect()
    }
}
