// SPDX-License-Identifier: Apache-2.0 OR MIT
//! If any argument cannot be used, nothing of any checkpoint is touched.

use std::fs;
use std::path::Path;

use handmade::names_below;
use serde_json::json;

use crate::example;
use crate::run::{Run, criu_gc, criu_gc_in};

/// Nothing changes below the directory, and the line is refused.
#[track_caller]
fn assert_touches_nothing(place: &Path, run: impl Fn() -> Run) -> Run {
    let before = names_below(place);
    let refused = run();
    assert_eq!(refused.status, 2, "{refused:?}");
    assert_eq!(names_below(place), before, "something was touched: {refused:?}");
    refused
}

#[test]
fn one_argument_that_cannot_be_used_stops_the_removal_of_all() {
    let (good, other, bad) = (example(), example(), example());
    fs::write(bad.images().join("files.img"), "no image").unwrap();
    let empty = tempfile::tempdir().unwrap();
    let text = empty.path().join("text");
    fs::write(&text, "no archive").unwrap();
    let [good_images, other_images, bad_images] = [&good, &other, &bad].map(|one| one.images().display().to_string());
    let place = good.images();
    let place = place.parent().unwrap();
    let unusable = [
        "/no/such/place",
        &bad_images,
        empty.path().to_str().unwrap(),
        text.to_str().unwrap(),
        "list",
        "/dev/null",
        "podman:no-such-container",
    ];
    for wrong in unusable {
        for line in [
            &["-D", &good_images, "-D", wrong][..],
            &["-D", wrong, "-D", &good_images],
            &[&good_images, &other_images, wrong],
            &["gc", &good_images, wrong],
            &["clean", "-D", wrong, &good_images, "--yes"],
        ] {
            let refused = assert_touches_nothing(place, || criu_gc(line));
            assert!(refused.stderr.contains("nothing was removed"), "{line:?} {refused:?}");
            assert_eq!(refused.stdout, "", "{line:?}");
        }
    }
    for options in [
        &["--netns", "/no/such/namespace"][..],
        &["--netns", "no-such-name"],
        &["--netns", "/etc/hostname"],
        &["--external", "mnt[no-such-key]:/"],
        &["--external", "net[no-such-key]:/proc/self/ns/net"],
        &["-M", "no-such-key:/"],
        &["--root", "/no/such/root"],
        &["--work-dir", "/no/such/work"],
        &["--config", "/no/such/config"],
        &["--save", "/no/such/place/to/save"],
        &["--allow", "untied-namespace"],
        &["--dry-rum"],
        &["show"],
    ] {
        let line = [&[good_images.as_str()], options].concat();
        let _ = assert_touches_nothing(place, || criu_gc(&line));
    }
    // The honest variant.
    let removed = criu_gc(&[&good_images, &other_images]);
    assert_eq!(removed.status, 0, "{removed:?}");
    assert!(!good.link().exists() && !other.link().exists() && bad.link().exists());
}

/// Docker has all checkpoints of a container in one directory; a pattern of the shell names several.
#[test]
fn one_checkpoint_of_several_in_a_container_that_cannot_be_used_stops_the_removal_of_all() {
    let (one, other) = (example(), example());
    let container = tempfile::tempdir().unwrap();
    fs::write(container.path().join("config.v2.json"), "{}").unwrap();
    let checkpoints = container.path().join("checkpoints");
    fs::create_dir(&checkpoints).unwrap();
    for (name, checkpoint) in [("one", &one), ("other", &other)] {
        let copied =
            std::process::Command::new("cp").arg("-a").arg(checkpoint.images()).arg(checkpoints.join(name)).status();
        assert!(copied.unwrap().success());
    }
    let image = checkpoints.join("other/files.img");
    let whole = fs::read(&image).unwrap();
    fs::write(&image, "no image").unwrap();
    let named = |path: &Path| path.display().to_string();
    for line in [
        vec![named(container.path())],
        vec![named(&checkpoints)],
        vec![named(&checkpoints.join("one")), named(&checkpoints.join("other"))],
    ] {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let refused = criu_gc(&line);
        assert!(refused.status == 2 && refused.stderr.contains("nothing was removed"), "{line:?} {refused:?}");
        assert!(one.link().exists() && other.link().exists(), "{line:?} {refused:?}");
    }
    fs::write(&image, whole).unwrap();
    let removed = criu_gc(&[&named(&checkpoints), "--allow", "changed-since"]);
    assert_eq!(removed.status, 0, "{removed:?}");
    assert!(!one.link().exists() && !other.link().exists());
}

#[test]
fn a_refused_removal_is_one_document_too() {
    let (good, bad) = (example(), example());
    fs::write(bad.images().join("files.img"), "no image").unwrap();
    let refused = criu_gc(&["--json", good.images().to_str().unwrap(), bad.images().to_str().unwrap()]);
    let document = refused.document();
    assert_eq!((refused.status, &document["exit_status"], &document["mode"]), (2, &json!(2), &json!("show")));
    assert_eq!(document["checkpoints"][0]["objects"][0]["outcome"], json!(null));
    assert!(document["checkpoints"][1]["error"].is_string() && good.link().exists());
}

/// What people type who look for a command, in a directory that has none of these names.
#[test]
fn words_for_a_list_never_remove() {
    let checkpoint = example();
    let place = checkpoint.images();
    let place = place.parent().unwrap();
    for line in [
        &["list", "images"][..],
        &["status", "images"],
        &["restore", "images"],
        &["shwo", "images"],
        &["images", "list"],
        &["images", "--", "--dry-run"],
        &["gc", "list", "-D", "images"],
        &["images", "show"],
        &["--list", "images"],
        &["--simulate", "images"],
    ] {
        let refused = assert_touches_nothing(place, || criu_gc_in(place, line));
        assert!(refused.stderr.contains("did you mean --show?"), "{line:?} {refused:?}");
        assert_eq!(refused.stdout, "", "{line:?}");
    }
    for line in [
        &["show", "images"][..],
        &["-D", "images", "show"],
        &["--dry-run", "images"],
        &["images", "-n"],
        &["clean", "--sho", "images"],
    ] {
        let before = names_below(place);
        let shown = criu_gc_in(place, line);
        assert_eq!((shown.status, shown.last_line()), (0, "1 object: 1 to be removed."), "{line:?} {shown:?}");
        assert_eq!(names_below(place), before, "{line:?}");
    }
    // A directory of such a name is a directory, if it is named as one.
    fs::rename(checkpoint.images(), place.join("show")).unwrap();
    assert!(criu_gc_in(place, &["show"]).stderr.contains("no checkpoint"));
    assert_eq!(criu_gc_in(place, &["-D", "show", "-n"]).status, 0);
    let removed = criu_gc_in(place, &["./show"]);
    assert_eq!((removed.status, removed.last_line()), (0, "1 object: 1 removed."), "{removed:?}");
}
