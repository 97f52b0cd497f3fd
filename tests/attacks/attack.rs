// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An attack, and what has to become of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use handmade::{Checkpoint, names_below};

/// The program under test.
const CRIU_GC: &str = env!("CARGO_BIN_EXE_criu-gc");

inventory::collect!(Attacks);

/// The attacks of a module, which adds them to the suite.
pub(crate) struct Attacks(pub(crate) fn() -> Vec<Attack>);

/// No attack may keep the tool busy for longer.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// What has to become of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// The images are refused as a whole, in these words, whatever is allowed.
    Refused(&'static str),
    /// The object is kept for this reason.
    Kept(&'static str),
    /// It is not known whether there is anything, in these words.
    NotKnown(&'static str),
    /// There is nothing of the kind.
    Nothing,
}

/// An attack.
#[derive(Clone)]
pub(crate) struct Attack {
    pub(crate) name: String,
    fate: Fate,
    images: fn(&mut Checkpoint),
    place: fn(&Checkpoint),
    link: Option<fn(&Checkpoint) -> Vec<u8>>,
    is_for_directories: bool,
}

impl Attack {
    /// By what the images say.
    pub(crate) fn of_images(name: &str, fate: Fate, images: fn(&mut Checkpoint)) -> Self {
        Attack { name: name.to_owned(), fate, images, place: |_| {}, link: None, is_for_directories: false }
    }

    /// By what lies where the images say that the link is, or among them.
    pub(crate) fn of_place(name: &str, fate: Fate, place: fn(&Checkpoint)) -> Self {
        Attack { name: name.to_owned(), fate, images: |_| {}, place, link: None, is_for_directories: false }
    }

    /// By the name of the link.
    pub(crate) fn of_name(name: &str, fate: Fate, link: fn(&Checkpoint) -> Vec<u8>) -> Self {
        Attack {
            name: name.to_owned(),
            fate,
            images: |_| {},
            place: |_| {},
            link: Some(link),
            is_for_directories: false,
        }
    }

    /// The same, where the images are in a directory only: no archive can hold them so.
    pub(crate) fn without_archive(self) -> Self {
        Attack { is_for_directories: true, ..self }
    }

    /// Tries it.
    pub(crate) fn assert_is_refused(&self) {
        let mut checkpoint = Checkpoint::new(CRIU_GC);
        plant_victims(&checkpoint);
        (self.images)(&mut checkpoint);
        if let Some(link) = self.link {
            checkpoint.link_entry().name = link(&checkpoint);
        }
        checkpoint.write();
        (self.place)(&checkpoint);
        let top = checkpoint.images().with_file_name("");
        let archive = (!self.is_for_directories).then(|| make_archive(&checkpoint));
        let named: Vec<PathBuf> = [checkpoint.images()].into_iter().chain(archive).collect();
        let before = names_below(&top);
        let all = ["other-type", "other-mode", "other-size", "changed-since", "newer-dump", "tree-unknown"];
        let allowing: Vec<&str> = all.iter().flat_map(|reason| ["--allow", reason]).collect();
        let ways = match self.fate {
            // These reasons are a person's to set aside.
            Fate::Kept(_) => vec![Vec::new(), vec!["--show"]],
            _ => vec![Vec::new(), vec!["--show"], allowing],
        };
        for (named, arguments) in named.iter().flat_map(|named| ways.iter().map(move |way| (named, way))) {
            let started = Instant::now();
            let output = run(named, arguments);
            assert!(started.elapsed() < TIME_LIMIT, "{arguments:?} took {:?}", started.elapsed());
            self.assert_fate(&output, arguments.contains(&"--show"));
            assert_eq!(names_below(&top), before, "{arguments:?} touched something");
        }
    }

    fn assert_fate(&self, output: &Output, is_shown: bool) {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = format!("{:?}: {:?}\n{stdout}{stderr}", self.fate, output.status);
        assert!(!stdout.contains("removed)") && !stderr.contains("panicked"), "{said}");
        let (status, words) = match self.fate {
            Fate::Refused(words) => {
                assert!(stdout.is_empty() && stderr.lines().count() == 1 && stderr.contains(words), "{said}");
                return assert_eq!(output.status.code(), Some(2), "{said}");
            }
            Fate::Kept(reason) => (1, reason),
            Fate::NotKnown(words) => (1, words),
            Fate::Nothing => (0, "Nothing is left."),
        };
        assert!(stdout.contains(words), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(if is_shown { 0 } else { status }), "{said}");
    }
}

/// The same images in an archive, with their times as they are.
fn make_archive(checkpoint: &Checkpoint) -> PathBuf {
    let archive = checkpoint.images().with_file_name("images.tar.gz");
    let mut command = Command::new("tar");
    command.arg("-C").arg(checkpoint.images()).args(["--format=posix", "-czf"]).arg(&archive).arg(".");
    assert!(command.status().expect("tar").success());
    archive
}

/// Runs criu-gc in an address space of 512 MiB.
fn run(named: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 524288 && exec \"$0\" \"$@\"", CRIU_GC]);
    command.arg("-D").arg(named).args(arguments).output().expect("sh")
}

/// What looks like a link remap, is as large, has the same mode and is as old: only that the images do not name it, or
/// name it wrongly, tells that it is not.
fn plant_victims(checkpoint: &Checkpoint) {
    let elsewhere = checkpoint.data().with_file_name("elsewhere");
    fs::create_dir_all(elsewhere.join("deep")).expect("a new directory");
    for directory in [checkpoint.data(), elsewhere.clone(), elsewhere.join("deep")] {
        for name in ["link_remap.7", "link_remap.8", "link_remap.90", "precious"] {
            fs::write(directory.join(name), "1234").expect("a new file");
        }
    }
    fs::write(elsewhere.join("link_remap.9"), "1234").expect("a new file");
}
