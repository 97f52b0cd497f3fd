// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The library as another program uses it: nothing but its public interface. Needs no root.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use criu_gc::report::{Mode, Outcome, Report, Verdict};
use criu_gc::{
    Control, Dump, ErrorKind, Event, Examination, KeepReason, Noted, Options, Part, RecordStore, Restore, UnknownKeys,
    with_causes,
};
use handmade::Checkpoint;

/// A whole checkpoint whose link remap exists.
fn example() -> Checkpoint {
    let checkpoint = Checkpoint::new("no program is run");
    checkpoint.write();
    checkpoint
}

fn examine(checkpoint: &Checkpoint, options: &Options) -> Examination {
    criu_gc::examine([checkpoint.images()], options).expect("a checkpoint")
}

/// What is to happen with the link and what happened.
fn fate(report: &Report) -> (Verdict, Option<Outcome>) {
    let [checkpoint] = report.checkpoints.as_slice() else { panic!("not one checkpoint: {report:?}") };
    let [object] = checkpoint.objects.as_slice() else { panic!("not one object: {report:?}") };
    (object.verdict, object.outcome)
}

#[test]
fn a_look_changes_nothing_and_a_removal_removes() {
    let checkpoint = example();
    let report = criu_gc::look([checkpoint.images()], &Options::new());
    assert_eq!((report.mode, fate(&report)), (Mode::Show, (Verdict::Remove, None)));
    assert!(report.leaves_something() && !report.has_errors() && checkpoint.link().exists());

    let examination = examine(&checkpoint, &Options::new());
    assert!(examination.removes_anything() && checkpoint.link().exists());
    assert_eq!(fate(&examination.report()), (Verdict::Remove, None));
    let report = examination.remove(&Control::new()).expect("nothing is saved");
    assert_eq!((report.mode, fate(&report)), (Mode::Gc, (Verdict::Remove, Some(Outcome::Removed))));
    assert!(!report.leaves_something() && !report.has_errors() && !checkpoint.link().exists());
}

#[test]
fn what_is_not_what_the_images_say_is_kept_unless_allowed() {
    let checkpoint = example();
    fs::write(checkpoint.link(), "12345").expect("a file");
    let report = examine(&checkpoint, &Options::new()).remove(&Control::new()).expect("nothing is saved");
    assert_eq!(fate(&report), (Verdict::Keep, Some(Outcome::Kept)));
    let reasons = &report.checkpoints[0].objects[0].reasons;
    assert!(reasons.iter().any(|reason| reason.name == KeepReason::OtherSize.name()), "{reasons:?}");
    assert!(checkpoint.link().exists() && report.leaves_something());

    let options = Options::new().allow(KeepReason::OtherSize).allow(KeepReason::ChangedSince);
    let report = examine(&checkpoint, &options).remove(&Control::new()).expect("nothing is saved");
    assert_eq!(fate(&report), (Verdict::Remove, Some(Outcome::Removed)));
    assert!(!checkpoint.link().exists());
}

#[test]
fn a_part_that_is_not_chosen_is_left_out_and_does_not_count_as_left() {
    let checkpoint = example();
    let options = Options::new().only(Part::Network);
    let report = examine(&checkpoint, &options).remove(&Control::new()).expect("nothing is saved");
    assert_eq!(fate(&report), (Verdict::LeftOut, Some(Outcome::LeftOut)));
    assert!(checkpoint.link().exists() && !report.leaves_something());
    let only = report.checkpoints[0].only.as_ref().expect("a part");
    assert_eq!((only.part, only.left_out, report.checkpoints[0].summary.left_out), ("network", 1, 1));
    assert!(!criu_gc::look([checkpoint.images()], &options).leaves_something());

    let options = Options::new().only(Part::Files);
    assert!(criu_gc::look([checkpoint.images()], &options).leaves_something());
    let report = examine(&checkpoint, &options).remove(&Control::new()).expect("nothing is saved");
    assert_eq!(fate(&report), (Verdict::Remove, Some(Outcome::Removed)));
    assert!(!checkpoint.link().exists() && !report.leaves_something());
}

#[test]
fn a_caller_ends_a_removal_before_its_next_step() {
    let checkpoint = example();
    let control = Control::new().end_when(|| Some("the test".to_owned()));
    let report = examine(&checkpoint, &Options::new()).remove(&control).expect("nothing is saved");
    assert_eq!(fate(&report), (Verdict::Remove, Some(Outcome::Failed)));
    let failure = report.checkpoints[0].objects[0].failure.as_deref().expect("a reason");
    assert!(failure.starts_with("the test ended the run before this step"), "{failure}");
    assert!(checkpoint.link().exists());
}

#[test]
fn files_are_saved_first() {
    let checkpoint = example();
    let saved = tempfile::tempdir().expect("a directory");
    let directory = saved.path().join("saved");
    let examination = examine(&checkpoint, &Options::new().save(&directory));
    assert!(!directory.exists(), "an examination makes nothing");
    let report = examination.remove(&Control::new()).expect("a directory to save in");
    assert_eq!(fate(&report), (Verdict::Remove, Some(Outcome::Removed)));
    assert!(report.checkpoints[0].objects[0].saved_as.is_some() && directory.join("manifest.jsonl").exists());

    let nowhere = Options::new().save("/no/such/directory/saved");
    let error = criu_gc::examine([checkpoint.images()], &nowhere).expect_err("nowhere to save");
    assert_eq!(error.kind(), ErrorKind::Save);
    // The message does not repeat its causes.
    assert_eq!(error.to_string(), "cannot save files");
    assert!(with_causes(&error).starts_with("cannot save files: cannot open "), "{}", with_causes(&error));
}

#[test]
fn one_name_of_several_that_is_wrong_stops_the_removal_of_all() {
    let checkpoint = example();
    let named = [checkpoint.images(), PathBuf::from("/no/such/checkpoint")];
    let examination = criu_gc::examine(&named, &Options::new()).expect("an examination");
    assert!(examination.report().has_errors());
    let error = examination.remove(&Control::new()).expect_err("one is missing");
    assert_eq!(error.kind(), ErrorKind::Unusable);
    assert!(checkpoint.link().exists());
    // A look shows what there is.
    let report = criu_gc::look(&named, &Options::new());
    let errors: Vec<bool> = report.checkpoints.iter().map(|checkpoint| checkpoint.error.is_some()).collect();
    assert_eq!((errors, report.has_errors()), (vec![false, true], true));
    let removed = examine(&checkpoint, &Options::new()).remove(&Control::new()).expect("a removal");
    assert!(!removed.has_errors() && !checkpoint.link().exists());
}

#[test]
fn an_option_that_cannot_be_used_is_an_error_of_every_checkpoint() {
    let checkpoint = example();
    let unknown = Options::new().external_mount("no-such-key", "/");
    let error = criu_gc::examine([checkpoint.images()], &unknown).expect_err("no image has the key");
    assert_eq!(error.kind(), ErrorKind::Option);
    assert!(criu_gc::look([checkpoint.images()], &unknown).has_errors());
    let report = criu_gc::look([checkpoint.images()], &unknown.clone().unknown_keys(UnknownKeys::Note));
    assert!(!report.has_errors() && report.checkpoints[0].notes.iter().any(|note| note.contains("no-such-key")));
    let error = criu_gc::examine([checkpoint.images()], &Options::new().root("/no/such/root")).expect_err("no root");
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Option, "cannot use --root".to_owned()));
    let report = criu_gc::look([checkpoint.images()], &Options::new().inherited_file("pipe:[1]", "/nowhere"));
    assert!(!report.has_errors(), "{report:?}");
}

#[test]
fn an_examination_keeps_others_away_and_its_wait_is_told() {
    let checkpoint = example();
    let first = examine(&checkpoint, &Options::new());
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let options = Options::new().on_event(move |event| {
        told.lock().expect("a list").push(match event {
            Event::Opening { .. } => "opening",
            Event::Opened { .. } => "opened",
            Event::Waiting { .. } => "waiting",
            _ => "something else",
        });
    });
    // A look goes on after a while, and says so.
    let report = criu_gc::look([checkpoint.images()], &options);
    assert_eq!(*events.lock().expect("a list"), ["opening", "opened", "waiting"]);
    assert!(report.checkpoints[0].notes.iter().any(|note| note.contains(" has locked ")), "{report:?}");
    drop(first);
    let report = criu_gc::look([checkpoint.images()], &Options::new());
    assert!(!report.checkpoints[0].notes.iter().any(|note| note.contains(" has locked ")), "{report:?}");
}

#[test]
fn a_dump_is_recorded() {
    let checkpoint = example();
    let recorded = criu_gc::record(&criu_gc::Dump::new(checkpoint.images())).expect("a record");
    assert_eq!((recorded.links, recorded.locks), (1, 0));
    assert!(checkpoint.images().join(recorded.file_name).exists());
    let error = criu_gc::record(&criu_gc::Dump::new(checkpoint.data())).expect_err("no images");
    assert_eq!(error.kind(), ErrorKind::Record);
}

#[test]
fn a_record_outlives_its_images() {
    let (checkpoint, place) = (example(), tempfile::tempdir().expect("a directory"));
    let store = RecordStore::at(place.path().join("criu-gc/records"));
    let dump = Dump::new(checkpoint.images());
    assert_eq!(criu_gc::record(&dump).expect("a record").store().expect("no store is named"), None);
    let recorded = criu_gc::record(&dump.record_store(store.clone())).expect("a record");
    assert!(store.records().expect("no store yet").is_empty());
    let stored = recorded.store().expect("a store").expect("a dump that left something");
    assert_eq!(store.records().expect("a store"), std::slice::from_ref(&stored.path));
    let options = Options::new().record_store(store.clone());
    assert_eq!(fate(&criu_gc::look([checkpoint.images()], &options)), (Verdict::Remove, None));
    fs::remove_dir_all(checkpoint.images()).expect("images");
    let examination = criu_gc::examine([&stored.path], &options).expect("a record");
    assert_eq!(examination.report().checkpoints[0].layout, Some("record"));
    let report = examination.remove(&Control::new()).expect("nothing is saved");
    assert_eq!(fate(&report), (Verdict::Remove, Some(Outcome::Removed)));
    assert!(!checkpoint.link().exists() && store.records().expect("a store").is_empty());
}

#[test]
fn a_restore_is_noted() {
    let (checkpoint, place) = (example(), tempfile::tempdir().expect("a directory"));
    let store = RecordStore::at(place.path().join("criu-gc/records"));
    let restore = Restore::new(checkpoint.images(), store.clone());
    assert_eq!(criu_gc::record_restore(&restore).expect("images"), Noted::NoRecord);
    let recorded = criu_gc::record(&Dump::new(checkpoint.images()).record_store(store.clone())).expect("a record");
    let stored = recorded.store().expect("a store").expect("a dump that left something");
    assert_eq!(criu_gc::record_restore(&restore).expect("images"), Noted::In(stored.path.clone()));
    let report = criu_gc::look([checkpoint.images()], &Options::new().record_store(store));
    let note = format!("{} shows that a restore from these images completed", stored.path.display());
    assert!(report.checkpoints[0].notes.contains(&note), "{report:?}");
    let error =
        criu_gc::record_restore(&Restore::new(checkpoint.data(), RecordStore::default())).expect_err("no images");
    assert_eq!(error.kind(), ErrorKind::Record);
}
