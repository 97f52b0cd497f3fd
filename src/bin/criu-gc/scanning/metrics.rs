// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--metrics`: the counts as Prometheus text, for node_exporter's textfile collector. The file is replaced as a whole.

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
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let written = fill(&directory, &part, &text(report, now.as_secs()));
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

fn text(report: &ScanReport, seconds: u64) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let is_left =
        |object: &&ScanObject| !matches!(object.outcome, Some(ScanOutcome::Removed | ScanOutcome::AlreadyGone));
    for object in report.objects.iter().filter(is_left) {
        *counts.entry((object.class, object.kind)).or_default() += 1;
    }
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: &[(String, String)]| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let row = |((class, kind), count): (&(&str, &str), &usize)| {
        (format!("{{class=\"{class}\",kind=\"{kind}\"}}"), count.to_string())
    };
    let objects: Vec<(String, String)> = counts.iter().map(row).collect();
    let plain = |value: String| [(String::new(), value)];
    gauge("criu_gc_objects", "Objects of CRIU on this host, by class and kind.", &objects);
    let unknown = report.cannot_be_known.len();
    gauge("criu_gc_unknown", "Checks that could not be made.", &plain(unknown.to_string()));
    gauge("criu_gc_checkpoints", "Images directories that were found.", &plain(report.checkpoints.len().to_string()));
    let needs = u8::from(report.leaves_something());
    gauge("criu_gc_needs_attention", "Whether something needs a hand.", &plain(needs.to_string()));
    let milliseconds = report.milliseconds;
    let duration = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    gauge("criu_gc_scan_duration_seconds", "How long the look took.", &plain(duration));
    gauge("criu_gc_last_scan_timestamp_seconds", "When the last scan ended.", &plain(seconds.to_string()));
    text
}
