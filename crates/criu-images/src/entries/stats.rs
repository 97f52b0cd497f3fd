// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Statistics: `stats-dump` and `stats-restore`, in CRIU's work directory.
//!
//! From `images/stats.proto`. They are read so far as to tell which of the two it is, and how long a dump took. A
//! pre-dump writes one like a dump, and a restore writes one even where its post-restore script has failed it, so
//! neither proves success.

use crate::message::message;

message! {
    /// `stats_entry`: what CRIU measured.
    #[derive(Copy)]
    pub struct StatsEntry {
        /// Present if it was a dump.
        #[prost(message, optional, tag = "1")]
        pub dump: Option<DumpStats>,
        /// Present if it was a restore.
        #[prost(message, optional, tag = "2")]
        pub restore: Option<RestoreStats>,
    }
}

message! {
    /// `dump_stats_entry`.
    #[derive(Copy)]
    pub struct DumpStats {
        /// How long it took to stop the tree, in microseconds.
        #[prost(uint32, optional, tag = "1")]
        pub freezing_time: Option<u32>,
        /// How long the tree stood still, in microseconds.
        #[prost(uint32, optional, tag = "2")]
        pub frozen_time: Option<u32>,
    }
}

message! {
    /// `restore_stats_entry`, of which nothing is read but that it is there.
    #[derive(Copy)]
    pub struct RestoreStats {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

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
