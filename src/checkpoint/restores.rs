// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of restores from the images: those that failed, and whether one can have succeeded.
//!
//! A restore links each link remap back to its old name and removes that name again when it has opened the file
//! (`open_path` in `criu/files-reg.c`). If it then fails, the times of the file and of its directory are those of the
//! restore, as if a newer dump had made the link. A newer dump needs a tree, and a tree needs a restore that
//! succeeded: the restore reads every image, so images that only failed restores have read exclude it.

use std::time::Duration;

use super::{LoggedGroup, RestoreEvidence};
use crate::evidence::Evidence;
use crate::system::reads::FirstRead;
use crate::time::{SLACK, Timestamp};

/// An engine notes the failure of a restore within this. In more time there could be another one, and a dump.
const BY_ENGINE: Duration = Duration::from_secs(60);

/// What is known of restores from the images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restores {
    /// Evidence that one succeeded.
    pub succeeded: Option<RestoreEvidence>,
    /// Those that failed, by their logs.
    pub failed: Vec<FailedRestore>,
    /// Those that did not end well, by their logs: they failed or were killed.
    pub broken: Vec<BrokenRestore>,
    /// Whether one left its log, however it ended: it may have been killed.
    pub has_log: bool,
    /// When the images that every restore reads were first read.
    pub first_read: FirstRead,
    /// Where a restore may have been tried.
    pub into: RestoredInto,
}

/// Into which network namespaces somebody may have tried to restore the images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestoredInto {
    /// Into any.
    #[default]
    Anywhere,
    /// Into none but the container's own: nobody has read the images, or they are podman's.
    Container,
}

/// A restore that failed, as its log shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRestore {
    /// The name of the log.
    pub log: String,
    /// When the log began.
    pub began: Timestamp,
    /// When its last line was written.
    pub ended: Timestamp,
    /// Who says that it failed.
    pub told_by: Teller,
}

/// Who says that a restore failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// CRIU's log.
    Criu,
    /// The engine that ran CRIU.
    Engine,
}

/// A restore whose log does not say that it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRestore {
    /// The log, as the evidence for what the restore made.
    pub log: Evidence,
    /// When its last line was written.
    pub ended: Timestamp,
    /// Whether it locked the network namespace that it restored into, and did not unlock it.
    pub has_locked: bool,
    /// The control groups that it made (`prepare_cgroup_dirs` in `criu/cgroup.c`).
    pub groups: Vec<LoggedGroup>,
    /// The sources of bind mounts that it made with the older mount engine, as the tree sees them.
    pub bound: Vec<Vec<u8>>,
}

impl FailedRestore {
    /// The restore whose log was written until `ended`, and whose last line came `took` after the first.
    pub(super) fn new(log: &str, ended: Timestamp, took: Duration) -> Self {
        FailedRestore { log: log.to_owned(), began: ended.minus(took + SLACK), ended, told_by: Teller::Criu }
    }

    /// Whether this restore can have made a change of this time.
    pub fn covers(&self, time: Timestamp) -> bool {
        self.began <= time && time <= self.ended
    }
}

impl Restores {
    /// Whether no restore can have succeeded: nobody has read the images, or a failed restore was the first to.
    pub fn are_excluded(&self) -> bool {
        self.succeeded.is_none()
            && match self.first_read {
                FirstRead::Never => true,
                FirstRead::At(time) => self.failed_at(time).is_some(),
                FirstRead::Unknown => false,
            }
    }

    /// The broken restores. After one that succeeded, what they made may be in use.
    pub fn broken(&self) -> &[BrokenRestore] {
        if self.succeeded.is_some() { &[] } else { &self.broken }
    }

    /// Drops evidence of success that a restore wrote whose log says that it failed.
    pub(super) fn discard_statistics_of_failures(&mut self) {
        let is_of_failure = |evidence: &RestoreEvidence| self.failed_at(evidence.written).is_some();
        if self.succeeded.as_ref().is_some_and(is_of_failure) {
            self.succeeded = None;
        }
    }

    /// How often broken restores have locked the network namespace once more; `changes` are the last ones of the links that
    /// are there. A restore of which only the engine tells has locked it if it opened files, which comes later.
    pub fn locks(&self, changes: &[Timestamp]) -> usize {
        let has_log = |restore: &FailedRestore| self.broken.iter().any(|broken| restore.covers(broken.ended));
        let has_opened_files = |restore: &FailedRestore| changes.iter().any(|change| restore.covers(*change));
        let by_engine = self
            .failed
            .iter()
            .filter(|restore| restore.told_by == Teller::Engine && !has_log(restore) && has_opened_files(restore));
        self.broken.iter().filter(|restore| restore.has_locked).count() + by_engine.count()
    }

    /// Adds a restore that failed by the word of the engine, which wrote the file then and had not started the container
    /// since `started`. It began when the images were first read: Docker reads them once for each restore.
    pub fn add_failure_by_engine(&mut self, file: &str, noted: Timestamp, started: Timestamp, written: Timestamp) {
        let FirstRead::At(read) = self.first_read else { return };
        if started <= written && read <= noted && noted.minus(BY_ENGINE) <= read {
            let (log, began) = (file.to_owned(), read.minus(SLACK));
            self.failed.push(FailedRestore { log, began, ended: noted, told_by: Teller::Engine });
        }
    }

    /// The failed restore that can have made a change of this time.
    pub fn failed_at(&self, time: Timestamp) -> Option<&FailedRestore> {
        self.failed.iter().find(|restore| restore.covers(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    fn failed() -> Restores {
        let failed = vec![FailedRestore::new("r.log", at(2000), Duration::from_secs(3))];
        Restores { failed, ..Restores::default() }
    }

    #[test]
    fn a_failed_restore_covers_the_time_of_its_log() {
        let covered = [1996, 1997, 2000, 2001].map(|seconds| failed().failed_at(at(seconds)).is_some());
        assert_eq!(covered, [false, true, true, false]);
    }

    #[test]
    fn a_restore_is_excluded_if_nobody_else_has_read_the_images() {
        let excluded = |first_read, restores: Restores| Restores { first_read, ..restores }.are_excluded();
        assert!(excluded(FirstRead::Never, Restores::default()));
        assert!(excluded(FirstRead::At(at(1998)), failed()));
        assert!(!excluded(FirstRead::At(at(1990)), failed()), "somebody read them before");
        assert!(!excluded(FirstRead::At(at(1998)), Restores::default()));
        assert!(!excluded(FirstRead::Unknown, failed()));
    }

    #[test]
    fn statistics_of_a_restore_that_failed_show_no_success() {
        for (written, is_discarded) in [(1995, false), (1999, true), (2003, false)] {
            let succeeded = Some(RestoreEvidence { file: "stats-restore".to_owned(), written: at(written) });
            let mut restores = Restores { succeeded, ..failed() };
            restores.discard_statistics_of_failures();
            assert_eq!(restores.succeeded.is_none(), is_discarded, "{written}");
        }
    }

    #[test]
    fn an_engine_tells_of_a_failed_restore_only_if_no_other_can_have_been() {
        let told = |first_read, noted, started| {
            let mut restores = Restores { first_read, ..Restores::default() };
            restores.add_failure_by_engine("config.v2.json", at(noted), at(started), at(1600));
            restores
        };
        let read = FirstRead::At(at(1998));
        let failed = told(read, 2000, 1500);
        assert!(failed.are_excluded() && failed.failed_at(at(1999)).is_some());
        assert_eq!((failed.locks(&[]), failed.locks(&[at(1500)]), failed.locks(&[at(1999)])), (0, 0, 1));
        for (first_read, noted, started) in [(read, 2000, 1700), (read, 2100, 1500), (read, 1990, 1500)] {
            assert_eq!(told(first_read, noted, started).failed, [], "{noted} {started}");
        }
        assert_eq!(told(FirstRead::Unknown, 2000, 1500).failed, []);
    }

    #[test]
    fn a_restore_whose_log_is_there_locks_by_its_log_alone() {
        let read = FirstRead::At(at(1998));
        for (has_locked, ended, locks) in [(true, 1999, 1), (false, 1999, 0), (true, 1500, 2)] {
            let broken =
                vec![BrokenRestore { has_locked, ended: at(ended), ..super::super::example::broken_restore() }];
            let mut restores = Restores { first_read: read, broken, ..Restores::default() };
            restores.add_failure_by_engine("config.v2.json", at(2000), at(1500), at(1600));
            assert_eq!(restores.locks(&[at(1999)]), locks, "{has_locked} {ended}");
        }
    }

    #[test]
    fn a_restore_that_succeeded_is_not_excluded() {
        let succeeded = Some(RestoreEvidence { file: "stats-restore".to_owned(), written: at(1500) });
        assert!(!Restores { first_read: FirstRead::Never, succeeded, ..failed() }.are_excluded());
    }
}
