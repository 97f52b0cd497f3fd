// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images are written to a directory and read: what counts, what is missing, what is refused.

mod completeness;
mod records;
mod work_files;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use criu_images::{Entry, FileEntry, Framing, Inventory, PstreeEntry, RegFileEntry, RemapFilePathEntry, TaskKobjIds};
use handmade::{image, named, regular, remap};

use super::super::problem::ReadError;
use super::read;
use crate::checkpoint::example::RUN_ID;
use crate::checkpoint::{Checkpoint, ImageProblem};
use crate::locate::Images;

/// The root task's pid.
const PID: u32 = 100;
/// The ids of the link remap, and of the file that it stands for.
const LINK: u32 = 9;
const ORIGINAL: u32 = 8;
/// When a file is written that a test does not date.
const WRITTEN: u64 = 1_000;

/// A directory for images.
struct Directory(tempfile::TempDir);

impl Directory {
    /// One without images.
    fn new() -> Self {
        Directory(tempfile::tempdir().unwrap())
    }

    /// One with the images of a whole dump: of one task, with one link remap.
    fn with_dump() -> Self {
        let directory = Directory::new();
        directory.write(0, &[inventory()]);
        directory.write(0, &[task(PID)]);
        directory.write(PID, &[namespaces(3)]);
        directory.write(0, &files());
        directory.write(0, &[remap(ORIGINAL, LINK)]);
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an image.
    fn write<E: Entry>(&self, id: u32, entries: &[E]) {
        self.write_file(&E::KIND.file_name(id), &image(Framing::TwoMagics, entries));
    }

    fn write_file(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
        self.date(name, WRITTEN);
    }

    /// Gives a file the time of its last change.
    fn date(&self, name: &str, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(self.path(name)).unwrap().set_modified(time).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Takes the last byte of an image away.
    fn cut(&self, name: &str) {
        let content = fs::read(self.path(name)).unwrap();
        self.write_file(name, &content[..content.len() - 1]);
    }

    fn try_read(&self) -> Result<Checkpoint, ReadError> {
        read(&Images::open(self.0.path(), None).unwrap())
    }

    #[track_caller]
    fn read(&self) -> Checkpoint {
        self.try_read().unwrap()
    }

    /// The images are refused for this.
    #[track_caller]
    fn assert_refused(&self, words: &str) {
        let text = crate::causes::with_causes(&self.try_read().unwrap_err());
        assert!(text.contains(words), "{text}");
    }
}

fn inventory() -> Inventory {
    Inventory::default().with(|inventory| {
        inventory.img_version = 2;
        inventory.root_ids = Some(namespaces(3));
        inventory.dump_criu_run_id = Some(RUN_ID.into());
    })
}

fn task(pid: u32) -> PstreeEntry {
    PstreeEntry::default().with(|task| task.pid = pid)
}

/// A task's namespaces, with this mount namespace.
fn namespaces(mounts: u32) -> TaskKobjIds {
    TaskKobjIds::default().with(|ids| {
        ids.pid_ns_id = Some(1);
        ids.net_ns_id = Some(2);
        ids.mnt_ns_id = Some(mounts);
    })
}

/// The link of the link remap, and the file that it stands for.
fn files() -> [FileEntry; 2] {
    [regular(link(LINK)), regular(original())]
}

/// A file that looks like the link of a link remap.
fn link(id: u32) -> RegFileEntry {
    named(id, format!("/data/link_remap.{id}").as_ref())
}

fn original() -> RegFileEntry {
    named(ORIGINAL, "/data/file".as_ref()).with(|file| file.size = Some(4))
}

/// Remaps of this many files, each of its own.
fn remaps(count: u32) -> Vec<RemapFilePathEntry> {
    (0..count).map(|number| remap(2 * number, 2 * number + 1)).collect()
}

/// What was noticed, an image with the words of its kind each.
fn problems(checkpoint: &Checkpoint) -> Vec<String> {
    let line = |problem: &ImageProblem| {
        let kind = format!("{:?}", problem.kind);
        let kind = kind.split(['(', ' ']).next().unwrap_or_default().to_owned();
        format!("{}: {kind}", problem.image)
    };
    checkpoint.problems.iter().map(line).collect()
}
