// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may be named, and how: directories with checkpoints below them, twice, by other paths.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::run::{criu_gc, criu_gc_in};
use crate::{assert_refused, example};

#[test]
fn a_directory_that_is_named_twice_counts_once() {
    let checkpoint = example();
    let images = checkpoint.images();
    let place = images.parent().unwrap();
    symlink(&images, place.join("link")).unwrap();
    let line = ["-D", "images", "images/", "./images", "link", "data/../images", images.to_str().unwrap()];
    let shown = criu_gc_in(place, &[&["--show"], line.as_slice()].concat());
    assert_eq!((shown.status, shown.stdout.matches("Link remap: ").count()), (0, 1), "{shown:?}");
    let removed = criu_gc_in(place, &line);
    assert_eq!((removed.status, removed.stdout.matches("; removed)").count()), (0, 1), "{removed:?}");
    assert!(!removed.stdout.contains("Checkpoint "), "{removed:?}");
}

#[test]
fn the_only_checkpoint_below_a_directory_is_taken() {
    for name in ["images", "checkpoint", "dump-of-monday"] {
        let checkpoint = example();
        let place = checkpoint.images();
        let place = place.parent().unwrap();
        fs::rename(checkpoint.images(), place.join("moved")).unwrap();
        fs::rename(place.join("moved"), place.join(name)).unwrap();
        let removed = criu_gc(&[place.to_str().unwrap()]);
        assert_eq!((removed.status, removed.last_line()), (0, "1 object: 1 removed."), "{name} {removed:?}");
        assert!(!checkpoint.link().exists());
    }
}

/// The examples under these names in one directory.
fn together(names: [&str; 2]) -> (tempfile::TempDir, [handmade::Checkpoint; 2]) {
    let examples = [example(), example()];
    let place = tempfile::tempdir().unwrap();
    for (name, example) in names.iter().zip(&examples) {
        let images = place.path().join(name);
        fs::create_dir_all(images.parent().unwrap()).unwrap();
        fs::rename(example.images(), images).unwrap();
    }
    (place, examples)
}

#[test]
fn a_directory_of_checkpoints_is_all_that_lie_in_it() {
    let layouts = [
        ["images", "checkpoint"],
        ["monday", "tuesday"],
        ["checkpoint", "snapshot"],
        ["web/images", "job/images"],
        ["1/ctrd-restore/checkpoint", "2/ctrd-restore/checkpoint"],
    ];
    for names in layouts {
        let (place, examples) = together(names);
        let named = place.path().to_str().unwrap();
        let shown = criu_gc(&["--show", named]);
        assert_eq!(shown.status, 0, "{shown:?}");
        for name in names {
            let heading = format!("Checkpoint {named}/{name}:");
            assert!(shown.stdout.lines().any(|line| line == heading), "{heading} {shown:?}");
        }
        assert_eq!(shown.stdout.matches("; to be removed)").count(), 2, "{shown:?}");
        let removed = criu_gc(&[named]);
        assert_eq!((removed.status, removed.stdout.matches("; removed)").count()), (0, 2), "{removed:?}");
        assert!(examples.iter().all(|example| !example.link().exists()));
    }
}

/// What cannot be used does not hide the others, and nothing of any is removed.
#[test]
fn one_checkpoint_in_a_directory_that_cannot_be_used_keeps_all() {
    let (place, examples) = together(["monday", "tuesday"]);
    let broken = place.path().join("wednesday.tar");
    fs::write(&broken, "no archive").unwrap();
    let named = place.path().to_str().unwrap();
    let shown = criu_gc(&["--show", named]);
    assert_eq!((shown.status, shown.stdout.matches("; to be removed)").count()), (2, 2), "{shown:?}");
    let refused = criu_gc(&[named]);
    assert!(refused.status == 2 && refused.stderr.contains("wednesday.tar"), "{refused:?}");
    assert!(examples.iter().all(|example| example.link().exists()));
    fs::remove_file(&broken).unwrap();
    assert_eq!(criu_gc(&[named]).status, 0);
    assert!(examples.iter().all(|example| !example.link().exists()));
}

#[test]
fn what_a_page_server_wrote_is_called_that() {
    let place = tempfile::tempdir().unwrap();
    for name in ["pages-1.img", "pagemap-1.img"] {
        fs::write(place.path().join(name), "").unwrap();
    }
    assert_refused(&[place.path().to_str().unwrap()], &["only memory pages", "page-server"]);
}

#[test]
fn after_a_word_the_current_directory_is_meant_if_it_has_images() {
    let checkpoint = example();
    let refused = criu_gc_in(&checkpoint.data(), &["gc"]);
    assert!(refused.status == 2 && refused.stderr.contains("no checkpoint"), "{refused:?}");
    let refused = criu_gc_in(&checkpoint.images(), &[]);
    assert!(refused.status == 2 && refused.stderr.contains("no checkpoint"), "{refused:?}");
    assert_eq!(criu_gc_in(&checkpoint.images(), &["show"]).last_line(), "1 object: 1 to be removed.");
    assert_eq!(criu_gc_in(&checkpoint.images(), &["gc", "-d"]).status, 0);
    assert!(!checkpoint.link().exists());
}

/// The pages about runtimes.
fn pages() -> String {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runtimes");
    fs::read_dir(pages).unwrap().map(|page| fs::read_to_string(page.unwrap().path()).unwrap()).collect()
}

/// What they name is not there, and that alone is wrong with them.
#[test]
fn the_commands_in_the_pages_about_runtimes_are_right_but_for_the_names() {
    let pages = pages();
    let commands: Vec<&str> = pages.lines().filter_map(|line| line.strip_prefix("    criu-gc ")).collect();
    assert!(commands.len() > 20, "{commands:#?}");
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let run = criu_gc(&words);
        assert_eq!(run.status, 2, "{command}: {run:?}");
        let is_absent = ["cannot open", " has no ", " have no ", "Permission denied"]
            .iter()
            .any(|words| run.stderr.contains(words));
        assert!(is_absent, "{command}: {run:?}");
    }
    for prefix in ["podman", "docker", "cri", "ctr", "lxc", "incus", "runc", "k8s"] {
        assert!(pages.contains(&format!("{prefix}:")), "{prefix} is in no page");
    }
}
