// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line: help, exit status, JSON, the log file. Needs no root.
//!
//! `CRIU_GC_WRITE_SNAPSHOTS=1 cargo test --test command_line` writes the texts in tests/command_line anew.

mod all_or_nothing;
mod log;
mod names;
mod plugin;
mod restore_line;
mod run;

use std::fs;

use handmade::{Checkpoint, LINK, ORIGINAL, remap};
use run::{CRIU_GC, Run, assert_snapshot, criu_gc};
use serde_json::{Value, json};

/// A whole checkpoint whose link remap exists.
fn example() -> Checkpoint {
    let checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.write();
    checkpoint
}

fn run(checkpoint: &Checkpoint, arguments: &[&str]) -> Run {
    Run::new(checkpoint.run(arguments))
}

/// The command line is refused with status 2, in words that have all these among them.
#[track_caller]
fn assert_refused(arguments: &[&str], words: &[&str]) {
    let run = criu_gc(arguments);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not in {}", run.stderr);
    }
}

/// Words may come from others: a shell's pattern gives the names of their directories.
#[test]
fn what_the_words_hold_is_escaped_in_every_message() {
    let odd = "\u{1b}]0;x\u{7}\u{202e}\n";
    for words in [
        vec![format!("--{odd}")],
        vec!["--allow".to_owned(), odd.to_owned()],
        vec!["--external".to_owned(), format!("mnt[{odd}")],
        vec![format!("--show={odd}")],
        vec!["--show".to_owned(), odd.to_owned()],
        vec!["--yes".to_owned(), "-W".to_owned(), odd.to_owned(), odd.to_owned()],
        vec!["--save".to_owned(), format!("{odd}/x"), "/".to_owned()],
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let run = criu_gc(&words);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{words:?}: {run:?}");
        assert!(!run.stderr.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{words:?}: {run:?}");
        let says = |line: &str| line.starts_with("criu-gc: error: ") || line.starts_with("error: ");
        assert!(run.stderr.lines().next().is_some_and(says), "{words:?}: {run:?}");
        assert!(run.stderr.contains("\\u{1b}]0;x\\u{7}\\u{202e}\\n"), "{words:?}: {run:?}");
    }
}

#[test]
fn the_help_teaches() {
    assert_snapshot("help.txt", &criu_gc(&["--help"]));
    assert_snapshot("short-help.txt", &criu_gc(&["-h"]));
}

#[test]
fn the_version_is_that_of_the_package() {
    for option in ["-V", "--version"] {
        let run = criu_gc(&[option]);
        let version = concat!("criu-gc ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, version, ""));
    }
}

#[test]
fn a_wrong_command_line_is_refused_before_anything_is_looked_at() {
    assert_refused(&["--shwo", "/nowhere"], &["--shwo", "--show"]);
    assert_refused(&["-D"], &["-D needs a value"]);
    assert_refused(&[], &["no checkpoint: name its directory or archive", "-D DIR"]);
    assert_refused(&["--show"], &["no checkpoint: name its directory or archive"]);
    assert_refused(&["gc"], &["no checkpoint: name its directory or archive"]);
    assert_refused(&["--exit-code", "-D", "/nowhere"], &["--show"]);
    for wrong in ["mnt[]:/x", "disk[a]:/x", "mnt[a]", "mnt[a]:", "net", ""] {
        assert_refused(
            &["-D", "/nowhere", "--external", wrong],
            &["--external", "expected mnt[KEY]:PATH, net[KEY]:PATH"],
        );
    }
}

#[test]
fn a_reason_that_cannot_be_allowed_is_refused_with_those_that_can() {
    assert_refused(&["-D", "/nowhere", "--allow", "untied-namespace"], &["--netns PATH"]);
    assert_refused(&["-D", "/nowhere", "--allow", "criu-at-work"], &["wait until that criu exits"]);
    for wrong in ["all", "Tree-Alive", ""] {
        assert_refused(
            &["-D", "/nowhere", "--allow", wrong],
            &["tree-alive, tree-unknown, unknown-version, other-type", "foreign-content"],
        );
    }
    assert_refused(&["-D", "/nowhere", "--force"], &["--force"]);
    assert_refused(&["-D", "/nowhere", "--only", "rules"], &["--only", "choose one of network, files"]);
    assert_refused(&["-D", "/nowhere", "--only", "network", "--save", "/x"], &["--only network leaves out"]);
}

#[test]
fn every_way_to_name_a_directory_leads_to_the_same() {
    let checkpoint = example();
    let directory = checkpoint.images();
    let directory = directory.to_str().unwrap();
    let shown = run(&checkpoint, &["--show"]);
    assert_eq!(shown.status, 0, "{shown:?}");
    for words in [
        &["gc", "-D", directory, "--show"][..],
        &["clean", "--show", "--images-dir", directory],
        &["--show", directory],
        &["gc", directory, "--show"],
    ] {
        assert_eq!(criu_gc(words), shown, "{words:?}");
    }
}

#[track_caller]
fn assert_status(checkpoint: &Checkpoint, arguments: &[&str], status: i32, last: &str) {
    let run = run(checkpoint, arguments);
    assert_eq!((run.status, run.last_line()), (status, last), "{run:?}");
}

/// The table of the help.
#[test]
fn the_exit_status_tells_how_it_ended() {
    let mut checkpoint = example();
    assert_status(&checkpoint, &["--show"], 0, "1 object: 1 to be removed.");
    assert_status(&checkpoint, &["--show", "--exit-code"], 1, "1 object: 1 to be removed.");
    fs::write(checkpoint.link(), "longer than it was").unwrap();
    let kept = "Kept, other-size (1 object): its size differs from the dumped file's. To remove: --allow other-size";
    assert_status(&checkpoint, &["--show"], 0, kept);
    assert_status(&checkpoint, &["--show", "--exit-code"], 1, kept);
    assert_status(&checkpoint, &[], 1, kept);
    assert!(checkpoint.link().exists());
    assert_status(&checkpoint, &["--allow", "other-size"], 0, "1 object: 1 removed.");
    assert!(!checkpoint.link().exists());
    for arguments in [&[][..], &["--show"], &["--show", "--exit-code"]] {
        assert_status(&checkpoint, arguments, 0, "Nothing is left.");
    }
    // The images are newer than the removal; a dump would have changed the directory too.
    fs::write(checkpoint.link().with_file_name("neighbour"), "").unwrap();
    checkpoint.remaps.push(remap(ORIGINAL, LINK).with(|remap| remap.remap_type = Some(7)));
    checkpoint.write();
    let unsure = "Nothing found, but some checks could not be made.";
    assert_status(&checkpoint, &["--show"], 0, unsure);
    assert_status(&checkpoint, &["--show", "--exit-code"], 1, unsure);
    assert_status(&checkpoint, &[], 1, unsure);
    fs::write(checkpoint.images().join("files.img"), "no image").unwrap();
    for arguments in [&[][..], &["--show"], &["--show", "--exit-code"]] {
        assert_status(&checkpoint, arguments, 2, "");
    }
}

#[test]
fn several_directories_are_told_apart_and_the_gravest_status_counts() {
    let (good, bad) = (example(), example());
    fs::write(bad.images().join("files.img"), "no image").unwrap();
    let (one, two) = (good.images(), bad.images());
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let shown = criu_gc(&["--show", "-D", one, two, "--exit-code"]);
    assert_eq!((shown.status, shown.stderr.lines().count()), (2, 1), "{shown:?}");
    assert!(shown.stdout.starts_with(&format!("Checkpoint {one}:\nLink remap: ")), "{shown:?}");
    let other = example();
    let both = criu_gc(&["--show", one, other.images().to_str().unwrap()]);
    let headings = both.stdout.lines().filter(|line| line.starts_with("Checkpoint ")).count();
    assert_eq!((both.status, headings), (0, 2), "{both:?}");
}

#[test]
fn json_is_one_document_for_success_and_for_failure() {
    let checkpoint = example();
    let shown = run(&checkpoint, &["--show", "--json", "--exit-code"]);
    let document = shown.document();
    assert_eq!((shown.status, &document["exit_status"]), (1, &json!(1)));
    assert_eq!((&document["schema"], &document["mode"]), (&json!(1), &json!("show")));
    let report = &document["checkpoints"][0];
    assert_eq!(report["images_directory"], json!({ "text": checkpoint.images().to_str() }));
    assert_eq!((&report["error"], &report["objects"][0]["verdict"]), (&Value::Null, &json!("remove")));
    assert_eq!(report["objects"][0]["outcome"], Value::Null);
    let removed = run(&checkpoint, &["--json"]).document();
    assert_eq!((&removed["mode"], &removed["exit_status"]), (&json!("gc"), &json!(0)));
    assert_eq!(removed["checkpoints"][0]["objects"][0]["outcome"], "removed");
    fs::write(checkpoint.images().join("files.img"), "no image").unwrap();
    let failed = run(&checkpoint, &["--json", "--show"]);
    let document = failed.document();
    assert_eq!((failed.status, &document["exit_status"]), (2, &json!(2)));
    let error = document["checkpoints"][0]["error"].as_str().unwrap();
    assert_eq!(failed.stderr, format!("criu-gc: error: {error}\n"));
    assert_eq!(document["checkpoints"][0]["objects"], json!([]));
}

#[test]
fn every_field_of_the_document_is_described() {
    let described = include_str!("../../docs/json.md");
    let shown = run(&example(), &["--show", "--json"]).document();
    let mut fields = Vec::new();
    collect_fields(&shown, &mut fields);
    let missing: Vec<&String> = fields.iter().filter(|field| !described.contains(&format!("{field}`"))).collect();
    assert!(fields.len() > 30 && missing.is_empty(), "{missing:?}");
}

fn collect_fields(value: &Value, fields: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_fields(value, fields)),
        Value::Object(object) => {
            for (field, value) in object.iter().filter(|(field, _)| *field != "text") {
                fields.push(field.clone());
                collect_fields(value, fields);
            }
        }
        _ => {}
    }
}

#[test]
fn entries_of_the_images_are_named_on_request() {
    let checkpoint = example();
    let plain = run(&checkpoint, &["--show"]).stdout;
    let said = run(&checkpoint, &["--show", "-v"]).stdout;
    assert!(!plain.contains("named by"));
    assert!(said.contains("    named by remap-fpath.img record 0 at offset 8\n"), "{said}");
    let without: String =
        said.lines().filter(|line| !line.contains("named by")).flat_map(|line| [line, "\n"]).collect();
    assert_eq!(without, plain);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_work() {
    use std::process::{Command, Stdio};
    let checkpoint = example();
    let mut command = Command::new(CRIU_GC);
    let mut child = command.arg(checkpoint.images()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!checkpoint.link().exists());
}
