// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Statistics: `stats-dump` and `stats-restore`, in CRIU's work directory.
//!
//! From `images/stats.proto`. They are read only so far as to tell which of the two it is. A pre-dump writes one like a
//! dump, and a restore writes one even where its post-restore script has failed it, so neither proves success.

/// `stats_entry`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatsEntry {
    /// Present if it was a dump.
    #[prost(message, optional, tag = "1")]
    pub dump: Option<DumpStats>,
    /// Present if it was a restore.
    #[prost(message, optional, tag = "2")]
    pub restore: Option<RestoreStats>,
}

/// `dump_stats_entry`, of which nothing is read but that it is there.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct DumpStats {}

/// `restore_stats_entry`, of which nothing is read but that it is there.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RestoreStats {}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn tells_a_dump_from_a_restore() {
        let check = |bytes: &[u8], expected: (bool, bool)| {
            let stats = StatsEntry::decode(bytes).unwrap();
            assert_eq!((stats.dump.is_some(), stats.restore.is_some()), expected);
        };
        check(&[10, 2, 8, 1], (true, false));
        check(&[18, 2, 8, 1], (false, true));
        check(&[], (false, false));
    }
}
