// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How reports and manifests write an entry of an image.

use serde::Serialize;

use crate::evidence::Evidence;

/// An entry of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    /// The image file.
    pub image: String,
    /// Which record, from 0.
    pub record: u64,
    /// Its offset in bytes.
    pub offset: u64,
}

impl EvidenceReport {
    /// The report of an entry.
    pub fn new(evidence: &Evidence) -> Self {
        EvidenceReport { image: evidence.image.to_string(), record: evidence.record, offset: evidence.offset }
    }
}
