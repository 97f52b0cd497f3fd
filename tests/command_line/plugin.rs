// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contract of a plugin of checkpointctl (its `cmd/plugin.go`, since 2026-02): an executable `checkpointctl-NAME` in PATH,
//! which is asked for its description, and then replaces checkpointctl with the words of the user.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::example;
use crate::run::{CRIU_GC, Run};

/// How long checkpointctl waits for the description.
const TIME: Duration = Duration::from_millis(500);
/// The status of a plugin that has one.
const STATUS: i32 = 42;

/// The plugin as a package installs it, run as checkpointctl runs it: by its whole path, which is also its first word.
fn plugin(directory: &Path, words: &[&str]) -> Run {
    let path = directory.join("checkpointctl-gc");
    if !path.exists() {
        symlink(CRIU_GC, &path).expect("a link");
    }
    Run::new(Command::new(&path).arg0(&path).args(words).output().expect("the plugin"))
}

#[test]
fn the_plugin_describes_itself_in_one_line_and_in_time() {
    let directory = tempfile::tempdir().unwrap();
    // The first run may have to read the program from a disk.
    let _ = plugin(directory.path(), &["--plugin-description"]);
    let start = Instant::now();
    let described = plugin(directory.path(), &["--plugin-description"]);
    assert!(start.elapsed() < TIME, "{described:?} took {:?}", start.elapsed());
    assert_eq!((described.status, described.stderr.as_str()), (STATUS, ""), "{described:?}");
    let lines: Vec<&str> = described.stdout.lines().collect();
    assert!(matches!(lines[..], [line] if !line.trim().is_empty()), "{described:?}");
}

/// checkpointctl asks with this word alone. With others it is a mistake of the user's.
#[test]
fn the_description_is_asked_for_by_one_word_alone() {
    let directory = tempfile::tempdir().unwrap();
    for words in [&["--plugin-description", "--show"][..], &["--show", "--plugin-description"]] {
        let run = plugin(directory.path(), words);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{words:?} {run:?}");
    }
    let tool = Command::new(CRIU_GC).arg("--plugin-description").output().unwrap();
    assert_eq!(tool.status.code(), Some(2), "criu-gc is no plugin under its own name");
}

#[test]
fn the_plugin_does_and_says_what_criu_gc_does() {
    let checkpoint = example();
    let images = checkpoint.images();
    let images = images.to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for words in
        [&["--show", images][..], &["--show", "--json", images], &["--show", "--exit-code", images], &["--version"]]
    {
        let tool = Run::new(Command::new(CRIU_GC).args(words).output().unwrap());
        assert_eq!(plugin(directory.path(), words), tool, "{words:?}");
    }
    let removed = plugin(directory.path(), &[images]);
    assert_eq!((removed.status, removed.last_line()), (0, "1 object: 1 removed."), "{removed:?}");
    assert!(!checkpoint.link().exists());
    assert_eq!(plugin(directory.path(), &["/no/such/archive.tar"]).status, 2);
}
