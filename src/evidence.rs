// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where in the images a fact is. Every object that criu-gc removes is traced back to such a place.

use std::fmt;
use std::sync::Arc;

/// Where in the images a fact stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// The image file, by its name in the images directory.
    pub image: Arc<str>,
    /// Which record of it, from 0.
    pub record: u64,
    /// Offset of the record in the file, in bytes.
    pub offset: u64,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} record {} at offset {}", self.image, self.record, self.offset)
    }
}
