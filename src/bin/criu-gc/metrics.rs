// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts as Prometheus text, for node_exporter's textfile collector (`--metrics`) and for `/metrics` of a watch. A file is
//! replaced as a whole.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

use criu_gc::scan::{ScanObject, ScanOutcome, ScanReport};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;

/// What the name of the file ends with until it is whole: the collector reads only `.prom`.
const UNFINISHED: &str = ".part";

/// Writes the file, which everybody may read: the collector runs as a user of its own. On failure the older file stays.
pub(crate) fn write(path: &Path, report: &ScanReport) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let directory = openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut part = OsString::from(name);
    part.push(UNFINISHED);
    let written = fill(&directory, &part, &Figures::of(report).text());
    let written = written.and_then(|()| Ok(renameat(&directory, &part, &directory, name)?));
    if written.is_err() {
        // The next run replaces what cannot be taken away.
        let _ = unlinkat(&directory, &part, AtFlags::empty());
    }
    written
}

fn fill(directory: &OwnedFd, part: &OsString, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || openat(directory, part, flags, Mode::RUSR | Mode::WUSR);
    let file = match create() {
        Err(Errno::EXIST) => {
            unlinkat(directory, part, AtFlags::empty())?;
            create()?
        }
        created => created?,
    };
    fchmod(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?;
    let mut file = File::from(file);
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The figures of one scan.
#[derive(Debug, Default)]
pub(crate) struct Figures<'a> {
    /// How many objects there are of a class and kind.
    pub(crate) objects: BTreeMap<(&'a str, &'a str), usize>,
    /// Checks that could not be made.
    pub(crate) unknown: usize,
    /// Images directories.
    pub(crate) checkpoints: usize,
    /// Whether something needs a hand.
    pub(crate) needs_attention: bool,
    /// How long the look took.
    pub(crate) milliseconds: u64,
}

impl<'a> Figures<'a> {
    fn of(report: &'a ScanReport) -> Self {
        let is_left =
            |object: &&ScanObject| !matches!(object.outcome, Some(ScanOutcome::Removed | ScanOutcome::AlreadyGone));
        let left = report.objects.iter().filter(is_left);
        Figures {
            objects: count(left.map(|object| (object.class, object.kind))),
            unknown: report.cannot_be_known.len(),
            checkpoints: report.checkpoints.len(),
            needs_attention: report.leaves_something(),
            milliseconds: report.milliseconds,
        }
    }

    /// The text; the scan has ended now.
    pub(crate) fn text(&self) -> String {
        let row = |((class, kind), count): (&(&str, &str), &usize)| {
            (format!("{{class=\"{class}\",kind=\"{kind}\"}}"), count.to_string())
        };
        let objects: Vec<(String, String)> = self.objects.iter().map(row).collect();
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let duration = format!("{}.{:03}", self.milliseconds / 1000, self.milliseconds % 1000);
        let gauge = |name, help, value: String| family(name, "gauge", help, &[(String::new(), value)]);
        [
            family("criu_gc_objects", "gauge", "Objects of CRIU on this host, by class and kind.", &objects),
            gauge("criu_gc_unknown", "Checks that could not be made.", self.unknown.to_string()),
            gauge("criu_gc_checkpoints", "Images directories that were found.", self.checkpoints.to_string()),
            gauge(
                "criu_gc_needs_attention",
                "Whether something needs a hand.",
                u8::from(self.needs_attention).to_string(),
            ),
            gauge("criu_gc_scan_duration_seconds", "How long the look took.", duration),
            gauge("criu_gc_last_scan_timestamp_seconds", "When the last scan ended.", seconds.to_string()),
            build(),
        ]
        .concat()
    }
}

/// Counts objects by class and kind.
pub(crate) fn count<'a>(objects: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<(&'a str, &'a str), usize> {
    let mut counts = BTreeMap::new();
    for object in objects {
        *counts.entry(object).or_default() += 1;
    }
    counts
}

/// Which release this is: a roll-out is watched by it.
fn build() -> String {
    let version = (format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), "1".to_owned());
    family("criu_gc_build_info", "gauge", "The release of criu-gc.", &[version])
}

/// The rows of one name, each with its labels and value.
pub(crate) fn family(name: &str, kind: &str, help: &str, rows: &[(String, String)]) -> String {
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in rows {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
    text
}
