// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What restores left beside the images: their statistics and logs, and the access times of the images.

use std::io::BufReader;
use std::time::Duration;

use criu_images::ImageKind;

use super::super::problem::ReadError;
use super::work_files::statistics;
use super::{BUFFER, Reader};
use crate::archive::Source;
use crate::checkpoint::{BrokenRestore, FailedRestore, RestoreEvidence, RestoredInto, Restores, Task, log};
use crate::evidence::Evidence;
use crate::locate::{Layout, RESTORE_LOG, Written};
use crate::system::author::Author;
use crate::system::reads::FirstRead;
use crate::time::Timestamp;

/// A log without times (below `-v3`) is that of one restore if it was written within this: a restore overwrites the log
/// of an earlier one in place, and one that succeeds with another log, a dump, and one more restore take longer.
const ONE_RUN: Duration = Duration::from_millis(150);

/// An engine begins with the archive of a dump within this.
const WITH_THE_DUMP: Duration = Duration::from_secs(10);

impl Reader<'_> {
    /// What is known of restores. Files older than the images are from an earlier use of the directory.
    pub(super) fn restores(&self, root: Option<&Task>) -> Result<Restores, ReadError> {
        let mut restores = Restores {
            succeeded: self.restore_statistics()?,
            // One that cannot be opened is there too.
            has_log: !matches!(self.images.work_file(RESTORE_LOG), Ok(None)),
            first_read: self.first_read(root),
            ..Restores::default()
        };
        for name in self.images.logs(RESTORE_LOG) {
            self.add_log(&name, &mut restores)?;
        }
        restores.discard_statistics_of_failures();
        restores.into = self.restored_into(&restores);
        Ok(restores)
    }

    /// podman restores what is in a container's directory into that container. Other images may have been restored
    /// anywhere, and for that somebody had to read them, or the archive in which they are.
    fn restored_into(&self, restores: &Restores) -> RestoredInto {
        let is_of_container = self.images.layout() == Layout::Podman;
        let is_unread = match self.images.archive() {
            Some(archive) => archive.first_read() == FirstRead::Never && self.is_original(archive),
            None => restores.first_read == FirstRead::Never,
        };
        let is_untried = is_unread && !restores.has_log && restores.succeeded.is_none();
        if is_of_container || is_untried { RestoredInto::Container } else { RestoredInto::Anywhere }
    }

    /// Whether an archive was made with the images. A copy that was made later does not tell who read the original.
    fn is_original(&self, archive: &Source) -> bool {
        let written = self.times.last().map(|written| written.said);
        let is_early = |born: Timestamp| written.is_some_and(|written| born.minus(WITH_THE_DUMP) <= written);
        archive.author() == Author::Trusted && archive.born().is_some_and(is_early)
    }

    /// A restore writes `stats-restore` when it has succeeded, and when only a script after it failed
    /// (`restore_root_task` in `criu/cr-restore.c`).
    fn restore_statistics(&self) -> Result<Option<RestoreEvidence>, ReadError> {
        let name = "stats-restore";
        let Some(file) = self.images.work_file(name)? else { return Ok(None) };
        let Some(Written { said: written, .. }) = file.written else { return Ok(None) };
        let shows_restore = self.is_later(written) && statistics(file).is_some_and(|found| found.restore.is_some());
        Ok(shows_restore.then(|| RestoreEvidence { file: name.into(), written }))
    }

    /// A log that says that a restore succeeded counts whoever wrote it. One that says that it failed explains changes
    /// of what is going to be removed, so it must be root's, and nobody may have touched it since.
    fn add_log(&self, name: &str, restores: &mut Restores) -> Result<(), ReadError> {
        let file = match self.images.work_file(name) {
            Ok(Some(file)) => file,
            Err(error) if name == RESTORE_LOG => return Err(error.into()),
            Ok(None) | Err(_) => return Ok(()),
        };
        let Some(Written { said: written, .. }) = file.written.filter(|written| self.is_later(written.said)) else {
            return Ok(());
        };
        let is_believed = file.author == Author::Trusted && file.is_untouched();
        let age = file.age_when_written().filter(|age| *age <= ONE_RUN);
        let Ok(facts) = log::read(BufReader::with_capacity(BUFFER, file)) else { return Ok(()) };
        restores.has_log |= facts.restore_finished || facts.restore_failed;
        if facts.restore_finished && restores.succeeded.is_none() {
            restores.succeeded = Some(RestoreEvidence { file: name.to_owned(), written });
        }
        let is_of_restore = name == RESTORE_LOG || facts.restore_failed || !facts.made_groups.is_empty();
        let is_of_dump = facts.root_pid.is_some() || facts.dump_finished;
        if is_of_restore && !is_of_dump && !facts.restore_finished && is_believed {
            restores.broken.push(BrokenRestore {
                log: Evidence { image: name.into(), record: 0, offset: 0 },
                ended: written,
                has_locked: self.is_restored_without_rules() && facts.has_locked,
                groups: facts.made_groups,
                bound: facts.bound,
            });
        }
        if let Some(took) =
            facts.took.or(age).filter(|_| facts.restore_failed && !facts.restore_finished && is_believed)
        {
            restores.failed.push(FailedRestore::new(name, written, took));
        }
        Ok(())
    }

    /// Whether the engine restores every container with `--empty-ns network`: then CRIU locks the namespace once more, because
    /// it does not restore the rules that were in it.
    fn is_restored_without_rules(&self) -> bool {
        matches!(self.images.layout(), Layout::Podman | Layout::Docker)
    }

    /// When the images were first read that every restore reads before it opens a file. Of what other users may have
    /// written, they can set the times.
    fn first_read(&self, root: Option<&Task>) -> FirstRead {
        let (Author::Trusted, Some(root)) = (self.author, root) else { return FirstRead::Unknown };
        let of_root = [ImageKind::Core, ImageKind::Ids, ImageKind::Mm].map(|kind| kind.file_name(root.pid));
        let names = of_root.into_iter().chain([ImageKind::Pstree.file_name(0)]);
        // Each has to be read, so the one that was read last, or never, tells when all of them had been.
        names.map(|name| self.images.first_read(&name)).max().unwrap_or_default()
    }
}
