// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of the dump, under whatever name: `criu dump -o FILE` names it as the user wants.

use std::io::{BufRead, BufReader};

use criu_images::Inventory;

use super::super::problem::ReadError;
use super::{BUFFER, Reader};
use crate::checkpoint::{ImageProblem, ImageProblemKind, LogFacts, LogFile, Record, Rollback, log};
use crate::locate::{ImageFile, is_log};
use crate::system::author::Author;
use crate::time::Timestamp;

/// What runtimes and most people call it.
pub(super) const USUAL_NAME: &str = "dump.log";

/// A log that was read.
#[derive(Debug, Default)]
pub(super) struct DumpLog {
    pub(super) facts: LogFacts,
    pub(super) file: Option<LogFile>,
    written: Option<Timestamp>,
}

impl Reader<'_> {
    /// The log of the dump: the one with the usual name, or the newest other one. Without an inventory the newest counts:
    /// the directory may have been used before.
    pub(super) fn dump_log(&mut self, inventory: Option<&Record<Inventory>>) -> Result<DumpLog, ReadError> {
        if let Some((path, file)) = self.images.named_dump_log()? {
            let log = DumpLog::read(&path.display().to_string(), file);
            let log = log.ok_or_else(|| ReadError::NotALog { path: path.to_owned() })?;
            let recorded = inventory.and_then(|inventory| inventory.entry.dump_criu_run_id.as_deref());
            if log.is_of_other_run(recorded) {
                let image = path.display().to_string();
                self.problems.push(ImageProblem { image, kind: ImageProblemKind::OtherRun });
                return Ok(DumpLog::default());
            }
            self.author = self.author.or(log.author());
            return Ok(log);
        }
        let usual = self.usual_log(inventory)?;
        if inventory.is_some() && usual.file.is_some() {
            return Ok(usual);
        }
        let run_id = inventory.and_then(|inventory| inventory.entry.dump_criu_run_id.as_deref());
        let is_of_run = |log: &DumpLog| match (&log.facts.run_id, run_id) {
            (Some(logged), Some(recorded)) => logged.text.as_bytes() == recorded,
            _ => true,
        };
        let newest = self.other_logs().into_iter().filter(is_of_run).max_by_key(|log| log.written);
        Ok(newest.filter(|newest| newest.written > usual.written).unwrap_or(usual))
    }

    /// One whose run id is not the inventory's is of another run in the same directory: then the images may be a mixture,
    /// and nothing of the log is used.
    fn usual_log(&mut self, inventory: Option<&Record<Inventory>>) -> Result<DumpLog, ReadError> {
        let file = match self.images.work_file(USUAL_NAME) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(DumpLog::default()),
            // CRIU lets only its own user read it. It is a hint, and whoever may not read it can be told the rest.
            Err(error) if error.is_not_permitted() => {
                self.note_log(ImageProblemKind::NotPermitted);
                return Ok(DumpLog::default());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(log) = DumpLog::read(USUAL_NAME, file) else { return Ok(DumpLog::default()) };
        let recorded = inventory.and_then(|inventory| inventory.entry.dump_criu_run_id.as_deref());
        if log.is_of_other_run(recorded) {
            self.note_log(ImageProblemKind::OtherRun);
            return Ok(DumpLog::default());
        }
        self.author = self.author.or(log.author());
        Ok(log)
    }

    /// Files beside the images that are logs of dumps, by their content. Whoever could not write the images could have put
    /// one there: that one is passed over.
    fn other_logs(&self) -> Vec<DumpLog> {
        let read = |name: String| {
            let file = self.images.work_file(&name).ok()??;
            let is_authors = self.author.or(file.author) == self.author;
            DumpLog::read(&name, file).filter(|log| is_authors && log.facts.is_of_dump())
        };
        self.images.logs(USUAL_NAME).into_iter().skip(1).filter_map(read).collect()
    }

    fn note_log(&mut self, kind: ImageProblemKind) {
        self.problems.push(ImageProblem { image: USUAL_NAME.into(), kind });
    }

    /// The name of the log if it proves that CRIU took back what a failed dump had done: nobody but root can have written
    /// it, or taken away an image that shows more; it is newer than the images, and of the same run where they are whole
    /// (a post-dump script can undo a dump); and there was no restore, which may have left something else.
    pub(super) fn rollback(
        &self,
        log: &DumpLog,
        inventory: Option<&Record<Inventory>>,
        absence: Author,
    ) -> Option<String> {
        let file = log.file.as_ref()?;
        let is_of_run = |inventory: &Record<Inventory>| {
            let recorded = inventory.entry.dump_criu_run_id.as_deref();
            recorded.is_some() && recorded == log.facts.run_id.as_ref().map(|id| id.text.as_bytes())
        };
        let is_proof = inventory.is_none_or(is_of_run)
            && log.facts.failed == Some(Rollback::Whole)
            && [file.author, absence] == [Author::Trusted; 2]
            && self.is_later(log.written?)
            && matches!(self.images.work_file("restore.log"), Ok(None));
        is_proof.then(|| file.name.clone())
    }
}

impl DumpLog {
    /// `None` where it cannot be read, or does not begin as a log of CRIU does.
    fn read(name: &str, file: ImageFile) -> Option<Self> {
        let born = file.born();
        let (author, written) = (file.author, file.written.map(|written| written.said));
        let mut content = BufReader::with_capacity(BUFFER, file);
        if name != USUAL_NAME && !is_log(content.fill_buf().ok()?) {
            return None;
        }
        let facts = log::read(content).ok()?;
        Some(DumpLog { facts, file: Some(LogFile { name: name.to_owned(), author, born, written }), written })
    }

    /// Whether it has another run id than the inventory.
    fn is_of_other_run(&self, recorded: Option<&[u8]>) -> bool {
        let logged = self.facts.run_id.as_ref().map(|id| id.text.as_bytes());
        recorded.zip(logged).is_some_and(|(recorded, logged)| recorded != logged)
    }

    fn author(&self) -> Author {
        self.file.as_ref().map_or(Author::Trusted, |file| file.author)
    }
}
