// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Points in time, as files and processes carry them.

use std::fmt;

/// A point in time since 1970-01-01 00:00:00 UTC, in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// The time `seconds` and `nanoseconds` after the epoch.
    pub const fn new(seconds: i64, nanoseconds: u32) -> Self {
        Timestamp { seconds, nanoseconds }
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds within the second.
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// The last moment that this time may stand for: archives and some filesystems (NFSv2, FAT, tar) keep whole
    /// seconds only, and then the true time lies anywhere within the second.
    pub const fn latest(self) -> Self {
        if self.nanoseconds == 0 { Timestamp::new(self.seconds, 999_999_999) } else { self }
    }
}

impl fmt::Display for Timestamp {
    /// Seconds since the epoch with nine decimals: exact, and what `stat -c %.9Z` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}
