// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the fuzz targets share: images directories and containers' directories made of arbitrary bytes, and the law that
//! every plan keeps.

pub mod container;
pub mod directory;
pub mod entries;
pub mod law;

use criu_images::ImageKind;

/// The magic numbers at the head of an image, as CRIU writes them since 1.6.
pub fn head(kind: ImageKind) -> Vec<u8> {
    kind.head_magic().into_iter().chain([kind.magic()]).flat_map(u32::to_le_bytes).collect()
}
