// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The statistics of the dump: when it began and ended.

use std::io::Read;
use std::time::Duration;

use criu_images::{DumpStats, ImageReader, StatsEntry};

use super::super::problem::ReadError;
use super::Reader;
use crate::locate::Written;
use crate::time::{SLACK, Timestamp};

/// The statistics of a dump that came to its end.
pub(super) struct EndOfDump {
    written: Timestamp,
    statistics: DumpStats,
}

impl Reader<'_> {
    /// A dump writes `stats-dump` when all images are written (`cr_dump_finish` in `criu/cr-dump.c`).
    pub(super) fn end_of_dump(&mut self) -> Result<Option<EndOfDump>, ReadError> {
        let Some(file) = self.images.work_file("stats-dump")? else { return Ok(None) };
        let Some(Written { said: written, .. }) = file.written else { return Ok(None) };
        // Whoever may have written it but not the images has no say in whether they are whole.
        let is_believed = self.author.or(file.author) == self.author && self.is_later(written);
        let statistics = statistics(file).and_then(|statistics| statistics.dump).filter(|_| is_believed);
        Ok(statistics.map(|statistics| EndOfDump { written, statistics }))
    }

    /// What the dump left was made while the tree stood still, and the statistics are written right after that. Without
    /// them the images themselves are the only clock, and a second has to be enough for what came before the first.
    pub(super) fn began(&self, end: &Option<EndOfDump>) -> Option<Timestamp> {
        const UNKNOWN: Duration = Duration::from_secs(1);
        match end {
            Some(EndOfDump { written, statistics }) => {
                let micros = |time: Option<u32>| Duration::from_micros(time.unwrap_or_default().into());
                let took = micros(statistics.freezing_time) + micros(statistics.frozen_time);
                Some(written.minus(took + SLACK))
            }
            None => self.times.first_of_all().map(|first| first.minus(UNKNOWN)),
        }
    }

    /// Whether something was written after the images, as far as is known.
    pub(super) fn is_later(&self, written: Timestamp) -> bool {
        self.times.last().is_none_or(|images| images.said <= written.latest())
    }
}

pub(super) fn statistics(file: impl Read) -> Option<StatsEntry> {
    let record = ImageReader::open(file).ok()?.next()?;
    Some(record.ok()?.entry)
}
