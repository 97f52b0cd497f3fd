// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The time that a scan may take.

use std::time::{Duration, Instant};

/// When a scan has to come to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    began: Instant,
    until: Instant,
}

impl Limit {
    /// The limit of a scan that begins now.
    pub(super) fn of(timeout: Duration) -> Self {
        let began = Instant::now();
        // Longer than anybody waits.
        const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
        Limit { began, until: began + timeout.min(FOR_EVER) }
    }

    /// When it is over.
    pub(super) fn until(self) -> Instant {
        self.until
    }

    /// Whether it is over.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.until
    }

    /// How long the scan has taken so far.
    pub(super) fn taken(self) -> Duration {
        self.began.elapsed()
    }
}
