// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--save` on the command line: where files cannot be saved, what is made and when, and runs that are killed. Needs no
//! root; what is saved and how is for the privileged tests.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use handmade::{Checkpoint, named, regular, remap};
use serde_json::{Value, json};

/// The program under test.
const CRIU_GC: &str = env!("CARGO_BIN_EXE_criu-gc");

/// A whole checkpoint, and a place for saved files beside its data.
fn example() -> (Checkpoint, PathBuf) {
    let checkpoint = Checkpoint::new(CRIU_GC);
    checkpoint.write();
    let saved = checkpoint.data().with_file_name("saved");
    (checkpoint, saved)
}

fn run(checkpoint: &Checkpoint, saved: &Path, more: &[&str]) -> Output {
    checkpoint.run(&[&["--save", saved.to_str().expect("text")], more].concat())
}

/// The run is refused in these words, and nothing is touched.
#[track_caller]
fn assert_refused(checkpoint: &Checkpoint, saved: &Path, words: &[&str]) {
    let output = run(checkpoint, saved, &[]);
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{message}");
    assert!(message.starts_with("criu-gc: error: nothing was removed: cannot save files: "), "{message}");
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    assert!(checkpoint.link().exists());
}

fn manifest(saved: &Path) -> Vec<Value> {
    let text = fs::read(saved.join("manifest.jsonl")).expect("a manifest");
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[test]
fn a_place_that_is_no_directory_is_refused() {
    let (checkpoint, saved) = example();
    let place = saved.to_str().expect("text").to_owned();
    assert_refused(&checkpoint, &saved.join("deeper"), &["cannot open directory", &place, "No such file"]);
    assert!(!saved.exists());
    fs::write(&saved, "").expect("a file");
    assert_refused(&checkpoint, &saved, &["cannot open directory", &place, "Not a directory"]);
    fs::remove_file(&saved).expect("a file");
    symlink("nothing", &saved).expect("a link");
    assert_refused(&checkpoint, &saved, &[&place]);
}

#[test]
fn a_directory_that_others_can_write_in_is_refused() {
    let (checkpoint, saved) = example();
    fs::create_dir(&saved).expect("a directory");
    fs::set_permissions(&saved, Permissions::from_mode(0o777)).expect("a mode");
    assert_refused(&checkpoint, &saved, &["is writable by users other than", saved.to_str().expect("text")]);
    fs::set_permissions(&saved, Permissions::from_mode(0o1777)).expect("a mode");
    assert_eq!(run(&checkpoint, &saved, &[]).status.code(), Some(0));
}

/// Where a link of others leads, nothing is made, not even a directory.
#[test]
fn a_way_on_which_others_decide_is_refused() {
    let (checkpoint, saved) = example();
    let (open, target) = (saved.with_file_name("open"), saved.with_file_name("target"));
    fs::create_dir(&open).expect("a directory");
    fs::create_dir(&target).expect("a directory");
    symlink(&target, open.join("link")).expect("a link");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("a mode");
    for way in [open.join("link"), open.join("link/new"), open.join("link/../target")] {
        assert_refused(
            &checkpoint,
            &way,
            &["is a symbolic link that users other than", open.join("link").to_str().expect("text")],
        );
    }
    assert_eq!(fs::read_dir(&target).expect("a directory").count(), 0);
    // What is the user's own may be a link.
    fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("a mode");
    assert_eq!(run(&checkpoint, &open.join("link"), &[]).status.code(), Some(0));
    assert!(target.join("manifest.jsonl").exists());
}

#[test]
fn a_manifest_that_is_no_file_of_its_own_is_refused() {
    let (checkpoint, saved) = example();
    fs::create_dir(&saved).expect("a directory");
    let (manifest, victim) = (saved.join("manifest.jsonl"), saved.with_file_name("victim"));
    fs::write(&victim, "precious").expect("a file");
    symlink(&victim, &manifest).expect("a link");
    assert_refused(&checkpoint, &saved, &["manifest.jsonl"]);
    fs::remove_file(&manifest).expect("a link");
    fs::hard_link(&victim, &manifest).expect("a link");
    assert_refused(&checkpoint, &saved, &["manifest.jsonl is not a regular file with a single name"]);
    fs::remove_file(&manifest).expect("a link");
    rustix::fs::mkfifoat(rustix::fs::CWD, &manifest, rustix::fs::Mode::RWXU).expect("a FIFO");
    assert_refused(&checkpoint, &saved, &["manifest.jsonl", "not a regular file"]);
    assert_eq!(fs::read_to_string(victim).expect("a file"), "precious");
}

#[test]
fn what_only_looks_saves_nothing() {
    let (checkpoint, saved) = example();
    let output = run(&checkpoint, &saved, &["--show"]);
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.code() == Some(2) && message.contains("'--show'"), "{message}");
    assert!(!saved.exists());
}

#[test]
fn a_directory_is_made_only_for_a_file() {
    let (checkpoint, saved) = example();
    fs::write(checkpoint.link(), "not what was dumped").expect("the link remap");
    assert_eq!(run(&checkpoint, &saved, &[]).status.code(), Some(1));
    assert!(!saved.exists() && checkpoint.link().exists());
    assert_eq!(run(&checkpoint, &saved, &["--allow", "other-size", "--allow", "changed-since"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(saved.join("1-link_remap.9")).expect("a file"), "not what was dumped");
}

#[test]
fn the_directory_may_be_named_by_a_symbolic_link() {
    let (checkpoint, saved) = example();
    let real = saved.with_file_name("real");
    fs::create_dir(&real).expect("a directory");
    symlink(&real, &saved).expect("a link");
    let output = run(&checkpoint, &saved, &["--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let object = &document["checkpoints"][0]["objects"][0];
    assert_eq!(
        (&object["saved_as"], &object["outcome"]),
        (&json!({ "text": saved.join("1-link_remap.9") }), &json!("removed"))
    );
    assert_eq!(fs::read_to_string(real.join("1-link_remap.9")).expect("a file"), "1234");
    assert_eq!(manifest(&real)[0]["images_directory"], json!({ "text": checkpoint.images() }));
}

/// A checkpoint with so many link remaps in one directory, and the inodes that they are.
fn example_with_links(links: u32) -> (Checkpoint, PathBuf, BTreeSet<u64>) {
    let mut checkpoint = Checkpoint::new(CRIU_GC);
    for id in (100..).step_by(2).take(links as usize) {
        let (link, original) =
            (checkpoint.data().join(format!("link_remap.{id}")), checkpoint.data().join(id.to_string()));
        fs::write(&link, "content").expect("a file");
        checkpoint.files.push(regular(named(id, &link)));
        let original = named(id + 1, &original).with(|file| file.size = Some(7));
        checkpoint.files.push(regular(original));
        checkpoint.remaps.push(remap(id + 1, id));
    }
    checkpoint.write();
    let inodes = inodes(&checkpoint.data(), "link_remap.");
    let saved = checkpoint.data().with_file_name("saved");
    (checkpoint, saved, inodes)
}

fn inodes(directory: &Path, part: &str) -> BTreeSet<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry"));
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(part));
    named.map(|entry| entry.metadata().expect("a file").ino()).collect()
}

/// Runs `criu-gc` and kills it after that time, if it has not ended. Its own child dies with it, but a moment later: what
/// both write to has come to its end then.
fn run_for(checkpoint: &Checkpoint, saved: &Path, time: Duration) -> Option<i32> {
    let mut command = Command::new(CRIU_GC);
    command.arg("-D").arg(checkpoint.images()).arg("--save").arg(saved);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("criu-gc");
    std::thread::sleep(time);
    child.kill().expect("a child");
    let mut output = child.stdout.take().expect("a pipe");
    std::io::copy(&mut output, &mut std::io::sink()).expect("the end of a pipe");
    child.wait().expect("a child").code()
}

/// Wherever a run is killed, each file is in one of the two directories, and the next run goes on. Only one that dies
/// between a hard link and its line in the manifest leaves a link that the next run keeps as changed since.
#[test]
fn runs_that_are_killed_lose_nothing_and_come_to_an_end() {
    const LINKS: u32 = 200;
    let (checkpoint, saved, all) = example_with_links(LINKS);
    let mut time = Duration::from_millis(4);
    while run_for(&checkpoint, &saved, time).is_none() {
        let here: BTreeSet<u64> = inodes(&checkpoint.data(), "link_remap.");
        let there = inodes(&saved, "-link_remap.");
        assert_eq!(here.union(&there).copied().collect::<BTreeSet<u64>>(), all, "a file is lost");
        time += Duration::from_millis(1);
    }
    assert_eq!(run(&checkpoint, &saved, &["--allow", "changed-since"]).status.code(), Some(0));
    assert_eq!(
        (inodes(&checkpoint.data(), "link_remap."), inodes(&saved, "-link_remap.")),
        (BTreeSet::new(), all.clone())
    );
    let told: BTreeSet<u64> = manifest(&saved).iter().filter_map(|line| line["inode"].as_u64()).collect();
    assert_eq!(told, all, "the manifest does not tell of all");
}
