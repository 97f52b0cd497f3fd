// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Points in time, as files and processes carry them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// How far two times may be apart that belong to one moment: processes tell their start in hundredths of a second, and the
/// times of files lag behind the clock by up to a tick of the kernel.
pub const SLACK: Duration = Duration::from_millis(20);

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

    /// The same moment as a time of the standard library; `None` before the epoch.
    pub fn of(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Timestamp::new(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()))
    }

    /// The whole second in RFC 3339, in UTC; `None` for a time that has no such form.
    pub fn to_rfc3339(self) -> Option<String> {
        // The last second of the year 9999.
        const LAST: u64 = 253_402_300_799;
        let seconds = u64::try_from(self.seconds).ok().filter(|seconds| *seconds <= LAST)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Some(humantime::format_rfc3339_seconds(time).to_string())
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds within the second.
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// The time so much before this one.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let total = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds);
        let earlier = total - i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 2);
        let seconds = i64::try_from(earlier.div_euclid(1_000_000_000)).unwrap_or(i64::MIN);
        Timestamp::new(seconds, u32::try_from(earlier.rem_euclid(1_000_000_000)).unwrap_or(0))
    }

    /// The last moment that this time may stand for: archives and some filesystems (NFSv2, FAT, tar) keep whole
    /// seconds only, and then the true time lies anywhere within the second.
    pub const fn latest(self) -> Self {
        if self.nanoseconds == 0 { Timestamp::new(self.seconds, 999_999_999) } else { self }
    }
}

/// Text that is no time as [`Timestamp`] prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time in seconds with nine decimals")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let (seconds, decimals) = text.split_once('.').ok_or(NotATime)?;
        let is_exact = decimals.len() == 9 && decimals.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = (seconds.parse(), decimals.parse());
        let (Ok(seconds), Ok(nanoseconds), true) = (parsed.0, parsed.1, is_exact) else { return Err(NotATime) };
        Ok(Timestamp::new(seconds, nanoseconds))
    }
}

impl fmt::Display for Timestamp {
    /// Seconds since the epoch with nine decimals: exact, and what `stat -c %.9Z` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        for time in [Timestamp::new(0, 0), Timestamp::new(1_790_000_000, 7), Timestamp::new(-5, 999_999_999)] {
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for text in ["", "1", "1.", "1.5", "1.0000000000", "x.000000000", "1.+00000001", "1.00000000-"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
        }
    }
}
