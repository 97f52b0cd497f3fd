// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands of a page of docs/runtimes, run as they stand there but for the words in capitals.

use std::path::Path;

use testkit::{CommandExt, Finished, SEARCH_PATH, TestHost};

use crate::stored::stored;
use crate::tool::binary;

/// What each page says for the time after the images were discarded.
const BY_RECORD: [&str; 2] =
    ["criu-gc /var/lib/criu-gc/records/RUNID.json --show", "criu-gc /var/lib/criu-gc/records/RUNID.json"];

/// A page, and which of its commands no test has run so far.
pub(crate) struct Page {
    name: &'static str,
    left: Vec<String>,
}

impl Page {
    /// The page of this name.
    pub(crate) fn read(name: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runtimes").join(name);
        let text = std::fs::read_to_string(path).expect("a page");
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        Page { name, left: lines.map(str::to_owned).collect() }
    }

    /// Runs the next command of the page, which must be this one, with words in place of those in capitals.
    #[track_caller]
    pub(crate) fn run(&mut self, host: &TestHost, command: &str, words: &[(&str, &Path)]) -> Finished {
        assert!(!self.left.is_empty(), "{} has no more commands than before {command}", self.name);
        assert_eq!(self.left.remove(0), command, "{}", self.name);
        let filled = words.iter().fold(command.to_owned(), |line, (word, value)| {
            let parts = line.split(' ').map(|part| part.replace(word, &value.display().to_string()));
            parts.collect::<Vec<_>>().join(" ")
        });
        let program = binary();
        let mut shell = host.command("sh");
        let directory = program.parent().expect("a directory");
        shell.env("PATH", format!("{}:{SEARCH_PATH}", directory.display()));
        let finished = shell.args(["-c", &filled]).finish();
        assert_eq!(finished.code(), 0, "{}: {finished}", self.name);
        finished
    }

    /// Runs the page's last commands, when the images with a record have been discarded.
    #[track_caller]
    pub(crate) fn run_by_record(&mut self, host: &TestHost, images: &Path, discard: impl FnOnce()) {
        let images = host.path(images);
        let record = stored(&images);
        discard();
        assert!(!images.exists(), "void: the images are there");
        let run_id = Path::new(record.file_stem().expect("a run id"));
        let [shown, removed] = BY_RECORD.map(|command| self.run(host, command, &[("RUNID", run_id)]));
        assert!(shown.stdout.contains("to be removed)") && removed.stdout.contains("removed)"), "{removed}");
        assert!(!host.path(record).exists(), "{removed}");
    }

    /// Fails if a command of the page was not run.
    #[track_caller]
    pub(crate) fn assert_all_run(self) {
        assert!(self.left.is_empty(), "no test runs what {} says: {:#?}", self.name, self.left);
    }
}
