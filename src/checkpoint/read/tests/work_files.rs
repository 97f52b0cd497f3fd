// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs and statistics: when the dump was, and what came of the images since.

use criu_images::{DumpStats, RestoreStats, StatsEntry};

use super::*;
use crate::checkpoint::{FinalState, LogFacts};
use crate::time::Timestamp;

const OTHER_RUN: &str = "fedcba98-7654-3210-fedc-ba9876543210";

fn seconds(seconds: i64, nanoseconds: u32) -> Option<Timestamp> {
    Some(Timestamp::new(seconds, nanoseconds))
}

fn write_statistics(directory: &Directory, name: &str, entry: StatsEntry) {
    directory.write_file(name, &image(Framing::TwoMagics, &[entry]));
}

fn of_dump(freezing: u32, frozen: u32) -> StatsEntry {
    let dump =
        DumpStats::default().with(|dump| (dump.freezing_time, dump.frozen_time) = (Some(freezing), Some(frozen)));
    StatsEntry::default().with(|statistics| statistics.dump = Some(dump))
}

fn of_restore() -> StatsEntry {
    StatsEntry::default().with(|statistics| statistics.restore = Some(RestoreStats::default()))
}

/// A log of a dump by this run.
fn log(run: &str) -> String {
    format!(
        "(00.000001) CRIU run id = {run}\n(00.1) Dumping processes (pid: 4711 comm: sh)\n(00.5) Unfreezing tasks into 2\n"
    )
}

#[test]
fn the_images_tell_when_they_were_written() {
    let directory = Directory::with_dump();
    directory.date("remap-fpath.img", WRITTEN - 5);
    let checkpoint = directory.read();
    assert_eq!((checkpoint.written, checkpoint.written_until), (seconds(1_000, 0), seconds(1_000, 0)));
    assert_eq!(checkpoint.times.first(), seconds(995, 0));
}

#[test]
fn without_statistics_the_dump_began_a_second_before_its_first_image() {
    let directory = Directory::with_dump();
    // An image that names no residue is a clock all the same.
    directory.date("pstree.img", WRITTEN - 7);
    assert_eq!(directory.read().began, seconds(992, 0));
}

#[test]
fn with_statistics_the_dump_began_when_the_tree_was_stopped() {
    let directory = Directory::with_dump();
    directory.date("pstree.img", WRITTEN - 7);
    write_statistics(&directory, "stats-dump", of_dump(1_000_000, 500_000));
    directory.date("stats-dump", WRITTEN + 10);
    assert_eq!(directory.read().began, seconds(1_008, 480_000_000));
}

#[test]
fn a_time_to_come_is_none() {
    let directory = Directory::with_dump();
    directory.date("files.img", 100_000_000_000);
    let checkpoint = directory.read();
    assert_eq!((checkpoint.written, checkpoint.began), (None, None));
    assert!(checkpoint.times.has_future);
}

#[test]
fn statistics_of_a_restore_show_that_it_succeeded() {
    let directory = Directory::with_dump();
    write_statistics(&directory, "stats-restore", of_restore());
    let restored = directory.read().restores.succeeded.unwrap();
    assert_eq!((restored.file.as_str(), Some(restored.written)), ("stats-restore", seconds(1_000, 0)));
    directory.date("stats-restore", WRITTEN - 1);
    assert_eq!(directory.read().restores.succeeded, None, "it is of an earlier use of the directory");
}

#[test]
fn statistics_that_tell_of_no_restore_show_none() {
    let directory = Directory::with_dump();
    write_statistics(&directory, "stats-restore", of_dump(1, 1));
    assert_eq!(directory.read().restores.succeeded, None);
    directory.write_file("stats-restore", b"no statistics");
    assert_eq!(directory.read().restores.succeeded, None);
}

#[test]
fn a_log_shows_a_restore_only_if_it_succeeded() {
    let directory = Directory::with_dump();
    directory.write_file("restore.log", b"(00.1) Restoring\n");
    assert_eq!(directory.read().restores.succeeded, None);
    directory.write_file("restore.log", b"(00.1) Restoring\n(00.2) Restore finished successfully. Tasks resumed.\n");
    assert_eq!(directory.read().restores.succeeded.unwrap().file, "restore.log");
}

#[test]
fn the_log_of_the_dump_adds_what_no_image_tells() {
    let directory = Directory::with_dump();
    directory.write_file("dump.log", log(RUN_ID).as_bytes());
    let checkpoint = directory.read();
    assert_eq!((checkpoint.log.root_pid, checkpoint.log.final_state), (Some(4711), Some(FinalState::Dead)));
    assert_eq!(problems(&checkpoint), Vec::<String>::new());
}

/// The directory was used twice, and the images may be a mixture.
#[test]
fn nothing_of_the_log_of_another_run_counts() {
    let directory = Directory::with_dump();
    directory.write_file("dump.log", log(OTHER_RUN).as_bytes());
    let checkpoint = directory.read();
    assert_eq!((&checkpoint.log, problems(&checkpoint)), (&LogFacts::default(), vec!["dump.log: OtherRun".to_owned()]));
}

/// Before 4.1 no inventory has a run id, and a dump that was killed has no inventory: then the log tells it.
#[test]
fn a_log_is_not_of_another_run_where_one_of_both_tells_no_run() {
    let directory = Directory::with_dump();
    directory.write(0, &[inventory().with(|inventory| inventory.dump_criu_run_id = None)]);
    directory.write_file("dump.log", log(OTHER_RUN).as_bytes());
    assert_eq!(problems(&directory.read()), Vec::<String>::new());
    directory.remove("inventory.img");
    assert_eq!(directory.read().run_id().unwrap().text, OTHER_RUN);
}
